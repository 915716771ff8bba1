package clientconf

import (
	"encoding/xml"
	"errors"
	"net/http"

	"mox/config"
)

// AutodiscoverPath is where Outlook asks. Letters can be upper and lower case.
const AutodiscoverPath = "/autodiscover/autodiscover.xml"

// Names of the documents, from the specification of the Autodiscover protocol (MS-OXDSCLI).
const (
	autodiscoverResponse = "http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006"
	outlookResponse      = "http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a"
)

// autodiscoverRequest is what Outlook sends. Its name spaces are not checked: programs
// that write another one mean the same.
type autodiscoverRequest struct {
	XMLName xml.Name `xml:"Autodiscover"`
	Request struct {
		Email  string `xml:"EMailAddress"`
		Schema string `xml:"AcceptableResponseSchema"`
	} `xml:"Request"`
}

type autodiscoverAnswer struct {
	XMLName  xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006 Autodiscover"`
	Response struct {
		XMLName xml.Name `xml:"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a Response"`
		Account struct {
			AccountType string            `xml:"AccountType"`
			Action      string            `xml:"Action"`
			Protocols   []outlookProtocol `xml:"Protocol"`
		} `xml:"Account"`
	}
}

type outlookProtocol struct {
	Type           string `xml:"Type"`
	Server         string `xml:"Server"`
	Port           int    `xml:"Port"`
	DomainRequired string `xml:"DomainRequired"`
	LoginName      string `xml:"LoginName"`
	SPA            string `xml:"SPA"` // Authentication of Windows.
	SSL            string `xml:"SSL"`
	Encryption     string `xml:"Encryption"`
	AuthRequired   string `xml:"AuthRequired"`
}

// Autodiscover answers requests of Outlook for [AutodiscoverPath].
func (h *Handlers) Autodiscover() http.Handler {
	return h.handler(func(w http.ResponseWriter, r *http.Request) ([]byte, error) {
		var req autodiscoverRequest
		var size *http.MaxBytesError
		if err := xml.NewDecoder(http.MaxBytesReader(w, r.Body, maxAutodiscover)).Decode(&req); errors.As(err, &size) {
			return nil, errorf(http.StatusRequestEntityTooLarge, "the request is larger than %d bytes", maxAutodiscover)
		} else if err != nil {
			return nil, errorf(http.StatusBadRequest, "the request is not an Autodiscover document in XML")
		}
		if schema := req.Request.Schema; schema != "" && schema != outlookResponse {
			return nil, errorf(http.StatusBadRequest, "this server has settings for IMAP and SMTP only (response schema %s)", outlookResponse)
		}
		a, err := parseAddress(req.Request.Email)
		if err != nil {
			return nil, err
		}
		s := h.conf.Snapshot()
		dom, err := domain(s, a.Domain, metricAutodiscover)
		if err != nil {
			return nil, err
		}
		imap, submission, err := services(s, dom)
		if err != nil {
			return nil, err
		}
		var answer autodiscoverAnswer
		account := &answer.Response.Account
		account.AccountType, account.Action = "email", "settings"
		account.Protocols = []outlookProtocol{
			newOutlookProtocol("IMAP", a.String(), imap[0]),
			newOutlookProtocol("SMTP", a.String(), submission[0]),
		}
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		return marshal(answer)
	}, http.MethodPost)
}

// newOutlookProtocol returns the element for a service. Encryption SSL is TLS from the
// start, and TLS is STARTTLS. Programs that know element SSL only find out by the port.
func newOutlookProtocol(typ, login string, c config.ClientService) outlookProtocol {
	p := outlookProtocol{typ, c.Host.ASCII, c.Port, "off", login, "off", "on", "SSL", "on"}
	if c.STARTTLS {
		p.Encryption = "TLS"
	}
	return p
}
