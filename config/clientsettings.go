package config

import (
	"cmp"
	"net/netip"
	"slices"

	"mox/dns"
)

// PublicListener is the name of the listener for everyone, where there are several.
const PublicListener = "public"

// ClientProtocol is what programs of users speak with the server.
type ClientProtocol string

const (
	ClientIMAP       ClientProtocol = "imap"
	ClientSubmission ClientProtocol = "submission"
)

// ClientService is a service that programs of users connect to.
type ClientService struct {
	Protocol ClientProtocol
	Host     dns.Domain
	Port     int
	STARTTLS bool   // TLS begins with that command, and not with the connection.
	HTTPS    bool   // On the port for HTTPS, for programs that ask for it in the TLS handshake.
	Listener string // Name of the listener.
}

// ClientServices returns the services that programs of users with addresses in a domain
// can use, the better ones first: with TLS from the start (RFC 8314 §3), then with
// STARTTLS, and then on the port for HTTPS, which gets through more firewalls. There is at most one of each kind, of listener public if that has it and of
// the first by name otherwise. Listeners on loopback addresses count only if there are no
// others. Services without TLS are left out: who logs in there shows the password.
func (s *Snapshot) ClientServices(d Domain) []ClientService {
	var kinds [6][]ClientService
	for _, l := range s.clientListeners() {
		host := d.ClientSettingsDomain
		if host.IsZero() {
			host = l.Hostname
		}
		add := func(kind int, enabled bool, c ClientService) {
			if enabled && l.TLS != nil && len(kinds[kind]) == 0 {
				c.Host, c.Listener = host, l.Name
				kinds[kind] = []ClientService{c}
			}
		}
		add(0, l.IMAPS.Enabled, ClientService{Protocol: ClientIMAP, Port: l.IMAPS.Port})
		add(1, l.IMAP.Enabled, ClientService{Protocol: ClientIMAP, Port: l.IMAP.Port, STARTTLS: true})
		add(3, l.Submissions.Enabled, ClientService{Protocol: ClientSubmission, Port: l.Submissions.Port})
		add(4, l.Submission.Enabled, ClientService{Protocol: ClientSubmission, Port: l.Submission.Port, STARTTLS: true})
		for _, p := range l.WebPorts() {
			add(2, p.Has("IMAPS"), ClientService{Protocol: ClientIMAP, Port: p.Port, HTTPS: true})
			add(5, p.Has("Submissions"), ClientService{Protocol: ClientSubmission, Port: p.Port, HTTPS: true})
		}
	}
	return slices.Concat(kinds[:]...)
}

// clientListeners returns the listeners that others can reach, in the order in which they
// are to be used.
func (s *Snapshot) clientListeners() []Listener {
	local := func(l Listener) bool {
		return !slices.ContainsFunc(l.IPs, func(ip netip.Addr) bool { return !ip.Unmap().IsLoopback() })
	}
	ls := slices.DeleteFunc(slices.Clone(s.Listeners), local)
	if len(ls) == 0 {
		ls = slices.Clone(s.Listeners)
	}
	other := func(l Listener) int {
		if l.Name == PublicListener {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(ls, func(a, b Listener) int { return cmp.Compare(other(a), other(b)) })
	return ls
}
