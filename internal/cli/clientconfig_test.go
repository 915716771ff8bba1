package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"mox/config"
	"mox/internal/testkit"
)

const clientStatic = `DataDir: data
LogLevel: info
Hostname: mx.example.org
Listeners:
	public:
		IPs:
			- 192.0.2.1
		TLS:
			KeyCerts:
				-
					CertFile: a
					KeyFile: b
		IMAPS:
			Enabled: true
			EnabledOnHTTPS: true
		Submissions:
			Enabled: true
		Submission:
			Enabled: true
Postmaster:
	Account: ann
	Mailbox: Inbox
`

const clientDynamic = `Domains:
	example.org: nil
Accounts:
	ann:
		Domain: example.org
`

func TestClientConfigPrintsSettings(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t, map[string]string{"mox.conf": clientStatic, "domains.conf": clientDynamic})
	conf := filepath.Join(dir, "mox.conf")
	r := mox(t, "", "-config", conf, "clientconfig", "example.org")
	for _, want := range []string{
		"protocol  host            port  tls             listener  note\n",
		"IMAP      mx.example.org  993   from the start  public    \n",
		"IMAP      mx.example.org  443   from the start  public    for programs that ask",
		"SMTP      mx.example.org  465   from the start  public    \n",
		"SMTP      mx.example.org  587   STARTTLS        public    only for",
		"SCRAM-SHA-256-PLUS",
	} {
		r.want(t, 0, want, "")
	}
	mox(t, "", "-config", conf, "clientconfig", "other.example").want(t, 1, "", "not in domains.conf")
	mox(t, "", "-config", conf, "clientconfig").want(t, 2, "", "usage")
}

// Parts of examples are put into a configuration that works without them.
func TestConfigExamplesAreGood(t *testing.T) {
	t.Parallel()
	for name, text := range configExamples {
		mox(t, "", "config", "example").want(t, 0, name+"\n", "")
		r := mox(t, "", "config", "example", name)
		r.want(t, 0, text, "")
		static, dynamic, ok := strings.Cut(text, "\n\n")
		if !ok || !strings.HasPrefix(static, "# Part of mox.conf") || !strings.HasPrefix(dynamic, "# Part of domains.conf") {
			t.Fatalf("%s does not have a part for each file", name)
		}
		base := clientStatic
		if i := strings.Index(static, "Listeners:\n\tpublic:\n"); i >= 0 {
			services := static[i+len("Listeners:\n\tpublic:\n"):]
			base, static = strings.Replace(base, "\t\tIMAPS:\n", services+"\n\t\tIMAPS:\n", 1), static[:i]
		}
		dir := testkit.Dir(t, map[string]string{"mox.conf": base + static + "\n", "domains.conf": clientDynamic + dynamic})
		if _, err := config.Load(filepath.Join(dir, "mox.conf")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	mox(t, "", "config", "example", "x").want(t, 1, "", "no example")
	mox(t, "", "config", "example", "x", "y").want(t, 2, "", "usage")
}
