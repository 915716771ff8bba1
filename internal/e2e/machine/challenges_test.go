//go:build linux

package machine

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// challenge names of RFC 8555 and RFC 8737.
const (
	challengeHTTP = "http-01"
	challengeTLS  = "tls-alpn-01"
	challengeDNS  = "dns-01"
)

// only lets the authority reach the ports of a kind of challenge only, while fn runs.
func (a *certAuthority) only(t testing.TB, kind string, fn func()) {
	t.Helper()
	for challenge, port := range map[string]int{challengeHTTP: 80, challengeTLS: 443} {
		if challenge != kind {
			a.block(t, port, true)
			defer a.block(t, port, false)
		}
	}
	fn()
}

// testChallenges gets certificates for new domains, each with a challenge of another kind. Those
// of setting up were with HTTP-01.
func (w *world) testChallenges(t *testing.T) {
	for _, tc := range []struct {
		challenge, domain, config string
	}{
		{challengeTLS, "shop." + domain, ""},
		{challengeDNS, "lists." + domain, "		DNS01:\n			Provider: rfc2136\n			Server: " + w.dns.IP4() + ":53\n			KeyName: updates.\n			KeyFile: updates.key\n"},
	} {
		t.Run(tc.challenge, func(t *testing.T) { w.testChallenge(t, tc.challenge, tc.domain, tc.config) })
	}
}

// testChallenge adds a domain, for which the server requests certificates at once. It starts the
// server again before that if there is something to configure.
func (w *world) testChallenge(t *testing.T, challenge, name, config string) {
	m := w.machine
	names := []string{"autoconfig." + name, "mta-sts." + name}
	var records strings.Builder
	for _, n := range names {
		fmt.Fprintf(&records, "%s. CNAME %s.\n", n, hostname)
	}
	w.dns.add(t, domain+".", records.String())
	if config != "" {
		m.run(t, "sh", "-e", "-c", "umask 027; echo "+updateKey+" >/home/mox/config/updates.key")
		m.configure(t, "ContactEmail: "+address+"\n", config)
	}
	w.authority.only(t, challenge, func() {
		m.mox(t, "config", "domain", "add", name, "you")
		m.obtained(t, challenge, names...)
	})
}

// obtained waits for certificates, and checks how they were obtained.
func (m *machine) obtained(t testing.TB, challenge string, names ...string) {
	t.Helper()
	for _, name := range names {
		host := regexp.QuoteMeta(name)
		m.waitLog(t, `certificate obtained.* host=`+host+` `, 1)
		if !regexp.MustCompile(`challenge accepted.* identifier=` + host + ` challenge_type=` + challenge).MatchString(m.log(t)) {
			t.Errorf("the certificate of %s was not obtained with %s", name, challenge)
		}
	}
}

// configure adds lines to mox.conf, below a line that is there once, and starts the server
// again.
func (m *machine) configure(t testing.TB, below, lines string) {
	t.Helper()
	const path = "home/mox/config/mox.conf"
	conf := m.readFile(t, path)
	if strings.Count(conf, below) != 1 {
		t.Fatalf("%q is not once in mox.conf", below)
	}
	m.writeFile(t, path, strings.Replace(conf, below, below+lines, 1))
	m.mox(t, "config", "test")
	m.run(t, "systemctl", "restart", "mox")
	m.up(t)
}
