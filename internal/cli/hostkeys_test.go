package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

const hostKeysConfig = `DataDir: ../data
LogLevel: info
Hostname: mail.example.org
ACME:
	le:
		DirectoryURL: https://ca.example/dir
		ContactEmail: ann@example.org
Listeners:
	public:
		IPs:
			- 127.0.0.1
		TLS:
			ACME: le
		SMTP:
			Enabled: true
Postmaster:
	Account: ann
	Mailbox: Postmaster
`

func TestHostKeysAreMadeAndRolledOver(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t, map[string]string{"mox.conf": hostKeysConfig, "domains.conf": configTestDomains})
	conf := filepath.Join(dir, "mox.conf")
	run := func(args ...string) result {
		t.Helper()
		return mox(t, "", append([]string{"-config", conf, "config"}, args...)...)
	}
	run("tlsarecords").want(t, 1, "", "mox config ensureacmehostprivatekeys")
	made := run("ensureacmehostprivatekeys")
	made.want(t, 0, "HostPrivateKeyFiles:\n\t- hostkeys/mail.example.org.p256.pem\n\t- hostkeys/mail.example.org.rsa2048.pem\n", "")
	made.want(t, 0, "_25._tcp.mail.example.org. TLSA 3 1 1 ", "")
	if again := run("ensureacmehostprivatekeys"); again.out != made.out {
		t.Errorf("keys were made again:\n%s", again.out)
	}

	_, snippet, _ := strings.Cut(made.out, "\n")
	snippet, records, _ := strings.Cut(snippet, "; For DNS, if the zone has DNSSEC:\n")
	snippet = "\t\t\t" + strings.ReplaceAll(strings.TrimSuffix(snippet, "\n"), "\n", "\n\t\t\t") + "\n"
	text := strings.Replace(hostKeysConfig, "\t\t\tACME: le\n", "\t\t\tACME: le\n"+snippet, 1)
	if err := os.WriteFile(conf, []byte(text), 0600); err != nil {
		t.Fatal(err)
	}
	run("test").want(t, 0, "config OK", "")
	if got := run("tlsarecords"); got.out != records || strings.Count(records, "\n") != 2 {
		t.Errorf("records differ:\n%s\n%s", got.out, records)
	}
	run("ensureacmehostprivatekeys").want(t, 0, "no listener with ACME is without", "")

	run("rollhostkey").want(t, 2, "", "one file is needed")
	run("rollhostkey", conf).want(t, 1, "", "is not one of HostPrivateKeyFiles")
	key := filepath.Join(dir, "hostkeys", "mail.example.org.p256.pem")
	rolled := run("rollhostkey", key)
	rolled.want(t, 0, "Publish all of these now", "")
	if n := strings.Count(rolled.out, "TLSA 3 1 1 "); n != 3 {
		t.Errorf("%d records:\n%s", n, rolled.out)
	}
	run("rollhostkey", key).want(t, 1, "", "not over yet")
}
