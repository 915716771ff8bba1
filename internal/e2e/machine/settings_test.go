//go:build linux

package machine

import (
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// testSettings asks for settings as mail programs do.
func (w *world) testSettings(t *testing.T) {
	ca := filepath.Join(testkit.PublicDir(t), "ca.pem")
	testkit.WriteFile(t, ca, w.authority.trusted)
	const outlook = `<?xml version="1.0" encoding="utf-8"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>` + address +
		`</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>`
	for _, tc := range []struct {
		name  string
		args  []string
		wants []string
	}{
		{"Thunderbird", []string{"https://autoconfig." + domain + "/mail/config-v1.1.xml?emailaddress=" + address},
			[]string{"HTTP/2 200", `<clientConfig version="1.1">`, `<incomingServer type="imap">`, "<hostname>" + hostname + "</hostname>", "<port>993</port>", "<socketType>SSL</socketType>",
				`<outgoingServer type="smtp">`, "<port>465</port>", "<username>" + address + "</username>"}},
		// The host is where the SRV record of autodiscover leads.
		{"Outlook", []string{"--data-binary", outlook, "-H", "Content-Type: text/xml", "https://" + hostname + "/autodiscover/autodiscover.xml"},
			[]string{"HTTP/2 200", "<Type>IMAP</Type>", "<Server>" + hostname + "</Server>", "<Port>993</Port>", "<Type>SMTP</Type>", "<Port>465</Port>", "<LoginName>" + address + "</LoginName>"}},
		{"Apple", []string{"https://autoconfig." + domain + "/profile.mobileconfig?addresses=" + address},
			[]string{"HTTP/2 200", "application/x-apple-aspen-config", "com.apple.mail.managed", hostname, "<integer>993</integer>", "<integer>465</integer>"}},
		{"MTA-STS", []string{"https://mta-sts." + domain + "/.well-known/mta-sts.txt"},
			[]string{"HTTP/2 200", "text/plain", "version: STSv1", "mode: enforce", "mx: " + hostname, "max_age: "}},
		{"HTTP/1.1", []string{"--http1.1", "https://mta-sts." + domain + "/.well-known/mta-sts.txt"}, []string{"HTTP/1.1 200", "mode: enforce"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cmd := w.outside(t, append([]string{testkit.Tool(t, "curl"), "-sS", "-i", "--max-time", "60", "--cacert", ca}, tc.args...)...)
			var out []byte
			var err error
			w.client.Do(t, func() { out, err = cmd.CombinedOutput() })
			if err != nil {
				t.Fatalf("curl: %v\n%s", err, out)
			}
			for _, want := range tc.wants {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
		})
	}
}
