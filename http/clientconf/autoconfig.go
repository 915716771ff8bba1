package clientconf

import (
	"encoding/xml"
	"net/http"

	"mox/config"
)

// Path of the document, below the host autoconfig.<domain>, and below the directory
// /.well-known/autoconfig of the domain itself.
const AutoconfigPath = "/mail/config-v1.1.xml"

// clientConfig is the document of Thunderbird, which many other mail programs read too.
type clientConfig struct {
	XMLName  xml.Name      `xml:"clientConfig"`
	Version  string        `xml:"version,attr"`
	Provider emailProvider `xml:"emailProvider"`
	Update   struct {
		URL string `xml:"url,attr"`
	} `xml:"clientConfigUpdate"`
}

type emailProvider struct {
	ID               string       `xml:"id,attr"`
	Domain           string       `xml:"domain"`
	DisplayName      string       `xml:"displayName"`
	DisplayShortName string       `xml:"displayShortName"`
	Incoming         []mailServer `xml:"incomingServer"`
	Outgoing         []mailServer `xml:"outgoingServer"`
}

type mailServer struct {
	Type           string `xml:"type,attr"`
	Hostname       string `xml:"hostname"`
	Port           int    `xml:"port"`
	SocketType     string `xml:"socketType"`
	Username       string `xml:"username"`
	Authentication string `xml:"authentication"`
}

// addressPlaceholder is what programs put the address in for.
const addressPlaceholder = "%EMAILADDRESS%"

// Autoconfig answers requests for [AutoconfigPath] with the settings for the domain of
// the address in parameter emailaddress, or of the host if there is none.
func (h *Handlers) Autoconfig() http.Handler {
	return h.handler(func(w http.ResponseWriter, r *http.Request) ([]byte, error) {
		s := h.conf.Snapshot()
		username := addressPlaceholder
		d, err := hostDomain(r, "autoconfig")
		if email := r.URL.Query().Get("emailaddress"); email != "" && email != addressPlaceholder {
			a, aerr := parseAddress(email)
			if aerr != nil {
				return nil, aerr
			}
			username, d = a.String(), a.Domain
		} else if err != nil {
			return nil, errNotOurs
		}
		dom, err := domain(s, d, metricAutoconf)
		if err != nil {
			return nil, err
		}
		imap, submission, err := services(s, dom)
		if err != nil {
			return nil, err
		}
		c := clientConfig{Version: "1.1", Provider: emailProvider{
			ID:               dom.Domain.ASCII,
			Domain:           dom.Domain.ASCII,
			DisplayName:      dom.Domain.Name(),
			DisplayShortName: dom.Domain.Name(),
			Incoming:         mailServers("imap", username, imap),
			Outgoing:         mailServers("smtp", username, submission),
		}}
		c.Update.URL = "https://autoconfig." + dom.Domain.ASCII + AutoconfigPath
		w.Header().Set("Content-Type", "text/xml; charset=utf-8")
		return marshal(c)
	}, http.MethodGet, http.MethodHead)
}

// mailServers returns elements for services. What goes through TLS is called clear text
// there: the other choice means CRAM-MD5, which few accounts have and which does not
// protect passwords that leak from the server.
func mailServers(typ, username string, l []config.ClientService) []mailServer {
	var servers []mailServer
	for _, c := range l {
		socket := "SSL"
		if c.STARTTLS {
			socket = "STARTTLS"
		}
		servers = append(servers, mailServer{typ, c.Host.ASCII, c.Port, socket, username, "password-cleartext"})
	}
	return servers
}

// marshal returns a document with its declaration.
func marshal(v any) ([]byte, error) {
	data, err := xml.MarshalIndent(v, "", "\t")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(data, '\n')...), nil
}
