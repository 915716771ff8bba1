package clientconf

import (
	"crypto/sha256"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"rsc.io/qr"

	"mox/config"
	"mox/smtp"
)

// Paths of profiles and their QR codes.
const (
	AppleProfilePath = "/profile.mobileconfig"
	AppleQRCodePath  = "/profile.mobileconfig.qrcode.png"
)

// AppleProfile answers requests for [AppleProfilePath] with a profile that sets up mail on
// devices of Apple, and for [AppleQRCodePath] with a picture of the URL of that, for the
// camera of a device. Parameters are addresses, separated by commas, and name, that of the
// person.
func (h *Handlers) AppleProfile() http.Handler {
	return h.handler(func(w http.ResponseWriter, r *http.Request) ([]byte, error) {
		s := h.conf.Snapshot()
		accounts, err := profileAccounts(s, r.URL.Query())
		if err != nil {
			return nil, err
		}
		if r.URL.Path == AppleQRCodePath {
			w.Header().Set("Content-Type", "image/png")
			return profileQRCode(r)
		}
		w.Header().Set("Content-Type", "application/x-apple-aspen-config; charset=utf-8")
		w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{
			"filename": "email-account-" + fileName(accounts[0].address.String()) + ".mobileconfig",
		}))
		return marshalPlist(profile(accounts))
	}, http.MethodGet, http.MethodHead)
}

// profileAccount is what a profile says about one address.
type profileAccount struct {
	address          smtp.Address
	name             string // Of the person; can be empty.
	imap, submission config.ClientService
}

// profileAccounts returns what the parameters of a request ask for: at least one.
func profileAccounts(s *config.Snapshot, params url.Values) ([]profileAccount, error) {
	name := strings.TrimSpace(params.Get("name"))
	if len(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return nil, errorf(http.StatusBadRequest, "the name is too long or has control characters")
	}
	addresses := strings.Split(params.Get("addresses"), ",")
	if len(addresses) > maxAddresses {
		return nil, errorf(http.StatusBadRequest, "a profile can have %d addresses at most", maxAddresses)
	}
	var l []profileAccount
	for i, address := range addresses {
		a, err := parseAddress(address)
		if err != nil {
			return nil, err
		}
		dom, ok := s.Domain(a.Domain)
		if i == 0 {
			dom, err = domain(s, a.Domain, metricProfile)
		} else if !ok || dom.Disabled || dom.ReportsOnly {
			err = errNotOurs
		}
		if err != nil {
			return nil, err
		}
		imap, submission, err := services(s, dom)
		if err != nil {
			return nil, err
		}
		l = append(l, profileAccount{a, name, imap[0], submission[0]})
	}
	return l, nil
}

// profileQRCode returns a picture of the URL of the profile.
func profileQRCode(r *http.Request) ([]byte, error) {
	u := url.URL{Scheme: "https", Host: r.Host, Path: AppleProfilePath, RawQuery: r.URL.Query().Encode()}
	text := u.String()
	if len(text) > maxQR {
		return nil, errorf(http.StatusBadRequest, "the URL is too long for a QR code")
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		return nil, fmt.Errorf("make qr code: %w", err)
	}
	return code.PNG(), nil
}

// fileName returns a text as part of a name of a file.
func fileName(s string) string {
	return strings.Map(func(c rune) rune {
		if c < utf8.RuneSelf && (unicode.IsLetter(c) || unicode.IsDigit(c)) {
			return c
		}
		return '-'
	}, s)
}

// profile returns a profile with a payload for each account.
func profile(accounts []profileAccount) plistDict {
	var names []string
	var payloads []plistDict
	for _, a := range accounts {
		names = append(names, a.address.String())
		payloads = append(payloads, accountPayload(a))
	}
	all := strings.Join(names, ", ")
	return plistDict{
		{"PayloadContent", payloads},
		{"PayloadDescription", "Sets up e-mail for " + all + "."},
		{"PayloadDisplayName", "E-mail " + all},
		{"PayloadIdentifier", payloadID(accounts[0].address, names...)},
		{"PayloadType", "Configuration"},
		{"PayloadUUID", payloadUUID("profile", names...)},
		{"PayloadVersion", 1},
	}
}

// accountPayload returns the part of a profile for one account. The device asks for the
// password. With STARTTLS too, UseSSL is on: off would let the device send the password
// without TLS.
func accountPayload(a profileAccount) plistDict {
	address := a.address.String()
	d := plistDict{
		{"EmailAccountDescription", address},
		{"EmailAccountType", "EmailTypeIMAP"},
		{"EmailAddress", address},
		{"IncomingMailServerAuthentication", "EmailAuthPassword"},
		{"IncomingMailServerHostName", a.imap.Host.ASCII},
		{"IncomingMailServerPortNumber", a.imap.Port},
		{"IncomingMailServerUseSSL", true},
		{"IncomingMailServerUsername", address},
		{"OutgoingMailServerAuthentication", "EmailAuthPassword"},
		{"OutgoingMailServerHostName", a.submission.Host.ASCII},
		{"OutgoingMailServerPortNumber", a.submission.Port},
		{"OutgoingMailServerUseSSL", true},
		{"OutgoingMailServerUsername", address},
		{"OutgoingPasswordSameAsIncomingPassword", true},
		{"PayloadDescription", "Sets up e-mail for " + address + "."},
		{"PayloadDisplayName", address},
		{"PayloadIdentifier", payloadID(a.address, address) + ".email"},
		{"PayloadType", "com.apple.mail.managed"},
		{"PayloadUUID", payloadUUID("account", address)},
		{"PayloadVersion", 1},
	}
	if a.name != "" {
		d = append(plistDict{{"EmailAccountName", a.name}}, d...)
	}
	return d
}

// payloadID returns a name for a payload, below the domain of an address. It is the same
// each time, so that a device replaces the profile when it gets that again.
func payloadID(a smtp.Address, names ...string) string {
	labels := strings.Split(a.Domain.ASCII, ".")
	for i, j := 0, len(labels)-1; i < j; i, j = i+1, j-1 {
		labels[i], labels[j] = labels[j], labels[i]
	}
	return strings.Join(labels, ".") + "." + payloadUUID("id", names...)
}

// payloadUUID returns a UUID of version 8 (RFC 9562 §5.8) that is the same for the same
// names.
func payloadUUID(purpose string, names ...string) string {
	sum := sha256.Sum256([]byte("mobileconfig\x00" + purpose + "\x00" + strings.Join(names, "\x00")))
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("%X-%X-%X-%X-%X", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}
