package admin

import (
	"maps"
	"slices"
	"strconv"

	"mox/config"
	"mox/dns"
	"mox/internal/certs"
)

// srvService is a service that programs of users find with SRV records (RFC 6186, RFC
// 8314 §5.1).
type srvService struct {
	name string
	port int // Zero: not there.
	host dns.Domain
}

// clientServices returns the services for users, those with TLS from the start first. Of
// two for the same only the better one is there. Hosts are those of listeners and not
// names for settings, which are aliases: a target of a record must not be one (RFC 2782).
func clientServices(s *config.Snapshot, d config.Domain) []srvService {
	l := []srvService{{name: "imaps"}, {name: "submissions"}, {name: "imap"}, {name: "submission"}, {name: "pop3"}, {name: "pop3s"}}
	var have [2]bool
	for _, c := range s.ClientServices(d) {
		kind := 0
		if c.Protocol == config.ClientSubmission {
			kind = 1
		}
		if c.HTTPS || have[kind] {
			continue
		}
		have[kind] = true
		i := kind
		if c.STARTTLS {
			i += 2
		}
		l[i].port = c.Port
		for _, ls := range s.Listeners {
			if ls.Name == c.Listener {
				l[i].host = ls.Hostname
			}
		}
	}
	return l
}

// clientRecords returns the records by which programs of users find the server.
func clientRecords(s *config.Snapshot, d config.Domain) []Records {
	domain, host := d.Domain.ASCII, s.Hostname.ASCII
	there := Records{Comment: "How programs of users find the server."}
	missing := Records{Comment: "Services that do not exist, so that nobody looks for them. These records can be left\nout."}
	if c := d.ClientSettingsDomain; !c.IsZero() && c != s.Hostname {
		there.Records = append(there.Records, aliasRecords(s, d, c)...)
	}
	if hasAutoconfig(s) {
		there.Records = append(there.Records,
			Record{config.Subdomain("autoconfig", d.Domain).ASCII, "CNAME", host + "."},
			Record{"_autodiscover._tcp." + domain, "SRV", "0 1 443 " + host + "."})
	}
	services := clientServices(s, d)
	for _, c := range services {
		name := "_" + c.name + "._tcp." + domain
		if c.port != 0 {
			there.Records = append(there.Records, Record{name, "SRV", "0 1 " + strconv.Itoa(c.port) + " " + c.host.ASCII + "."})
		} else {
			missing.Records = append(missing.Records, Record{name, "SRV", "0 0 0 ."})
		}
	}
	switch {
	case len(there.Records) == 0:
		return nil
	case len(missing.Records) == len(services):
		return []Records{there}
	}
	return []Records{there, missing}
}

// aliasRecords returns the records that lead from a name to the server. An alias cannot
// have other records, as a domain has.
func aliasRecords(s *config.Snapshot, d config.Domain, name dns.Domain) []Record {
	if name != d.Domain {
		return []Record{{name.ASCII, "CNAME", s.Hostname.ASCII + "."}}
	}
	var l []Record
	for _, ip := range publicIPs(s) {
		typ := "AAAA"
		if ip.Is4() {
			typ = "A"
		}
		l = append(l, Record{name.ASCII, typ, ip.String()})
	}
	return l
}

// hasAutoconfig reports whether settings for mail programs are served.
func hasAutoconfig(s *config.Snapshot) bool {
	return slices.ContainsFunc(s.Listeners, func(l config.Listener) bool { return l.AutoconfigHTTPS.Enabled })
}

// caaRecords returns the records that say who may make certificates (RFC 8659), for the
// domain and the host, which names that are aliases of them are bound by too. With the
// account at the authority (RFC 8657), not even someone who controls what others see of
// the network gets one; but they are in the way when the account changes.
func caaRecords(s *config.Snapshot, domain dns.Domain) []Records {
	var l []Records
	names := slices.Compact([]string{domain.ASCII, s.Hostname.ASCII})
	all := func(data string) (r []Record) {
		for _, name := range names {
			r = append(r, Record{name, "CAA", `0 issue "` + data + `"`})
		}
		return r
	}
	for _, a := range authorities(s) {
		l = append(l, Records{Comment: "Optional: no other authority may make certificates for these names and those below.\nLeave out what does not fit, such as where other servers have names there.", Records: all(a.IssuerDomainName)})
		if uri := certs.AccountURI(s.DataDir, a.Name); uri != "" {
			l = append(l, Records{Comment: "Stricter variants of these: only with the account of this server at the authority,\nin the ways it does it. They must be changed when the account does, as when its key\nin the data directory is lost.", Off: true,
				Records: all(a.IssuerDomainName + ";accounturi=" + uri + ";validationmethods=" + validationMethods(a))})
		}
	}
	return l
}

// authorities returns the authorities in use whose name in records is known.
func authorities(s *config.Snapshot) []config.ACME {
	var l []config.ACME
	for _, name := range slices.Sorted(maps.Keys(s.ACME)) {
		if a := s.ACME[name]; a.IssuerDomainName != "" && len(s.CertificateHosts(name)) > 0 {
			l = append(l, a)
		}
	}
	return l
}

// validationMethods are how names are proven at an authority (RFC 8657 §4).
func validationMethods(a config.ACME) string {
	if a.DNS01 != nil {
		return "dns-01"
	}
	return "tls-alpn-01,http-01"
}
