package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

const configTestDomains = `# By hand.
Domains:
	example.org: nil
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
`

func TestConfigurationIsChangedInTheRunningServer(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t, map[string]string{
		"config/mox.conf": `DataDir: ../data
LogLevel: info
User: root
Hostname: mail.example.org
Listeners:
	local:
		IPs:
			- 127.0.0.1
Postmaster:
	Account: ann
	Mailbox: Postmaster
`,
		"config/domains.conf": configTestDomains,
	})
	conf := filepath.Join(dir, "config", "mox.conf")
	file := filepath.Join(dir, "config", "domains.conf")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-config", conf, "serve")
	cmd.Env = append(os.Environ(), mainEnv+"=1")
	p := testkit.Start(t, cmd)
	p.WaitLine(`ready to serve`)
	run := func(want int, out, errText, args string) {
		t.Helper()
		mox(t, "", append([]string{"-config", conf, "config"}, strings.Fields(args)...)...).want(t, want, out, errText)
	}

	run(0, "account bob was added", "", "account add bob bob@example.org")
	mox(t, "secret password\n", "-config", conf, "setaccountpassword", "bob").want(t, 0, "was set", "") // It is in use at once.
	run(0, "ann\nbob\n", "", "account list")
	run(1, "", "exists already", "account add bob bob2@example.org")
	run(1, "", "is already a destination", "account add eve bob@example.org")
	run(0, "disabled", "", "account disable bob moved")
	run(0, "bob\tmoved\n", "", "account list")
	run(0, "enabled", "", "account enable bob")
	run(2, "", "usage: mox config account disable account message", "account disable bob")
	run(0, "added", "", "address add info@example.org bob")
	run(0, "bob@example.org\ninfo@example.org\n", "", "account addresses bob")
	run(0, "bob\n", "", "address account INFO@example.org")
	run(1, "", "no account", "address account x@example.org")
	run(1, "", `domain "x.example" of address is not in Domains`, "address add info@x.example bob")

	run(0, "alias sales@example.org was added", "", "alias add sales@example.org ann@example.org bob@example.org")
	run(0, "sales@example.org\tann@example.org,bob@example.org\n", "", "alias list example.org")
	run(0, "changed", "", "alias update -postpublic false -listmembers true sales@example.org")
	run(2, "", "neither true nor false", "alias update -postpublic no sales@example.org")
	run(0, "# postpublic false\n# listmembers true\n# allowmsgfrom false\nann@example.org\nbob@example.org\n", "", "alias print sales@example.org")
	run(0, "added", "", "alias addaddr sales@example.org info@example.org")
	run(0, "removed", "", "alias rmaddr sales@example.org ann@example.org info@example.org")
	run(1, "", "last member", "address rm bob@example.org")
	run(0, "removed", "", "alias rm sales@example.org")
	run(0, "removed", "", "address rm info@example.org")

	run(0, "domain example.com was added", "", "domain add -disabled example.com eve eve")
	run(0, "enabled", "", "domain enable example.com")
	run(0, "disabled", "", "domain disable example.com")
	run(1, "", "has addresses", "domain rm example.com")
	run(0, "config OK\n", "", "test")
	run(1, "", "Postmaster.Account", "account rm ann")
	run(0, "account bob is now robert", "", "account rename bob robert")
	run(1, "", "mox.conf", "account rename ann anna")
	run(0, "0 messages were written to robert.tgz\naccount robert was removed\n", "", "account rm -export robert.tgz robert")
	if _, err := os.Stat(filepath.Join(dir, "data", "robert.tgz")); err != nil {
		t.Error(err)
	}

	data, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(data), "# By hand.\nDomains:\n\texample.org: nil\n\texample.com:\n\t\tClientSettingsDomain: mail.example.com\n\t\tLocalpartCatchallSeparator: +\n") || !strings.Contains(string(data), "\t\tDisabled: true\n") {
		t.Errorf("file is %s, %v", data, err)
	}
	if err := os.WriteFile(file, append(data, "Unknown: x\n"...), 0600); err != nil {
		t.Fatal(err)
	}
	run(1, "", "must be corrected first", "address add x@example.org ann")
	mox(t, "", "-config", conf, "stop").want(t, 0, "stopped", "")
	if err := p.Wait(); err != nil {
		t.Errorf("server: %v", err)
	}
	mox(t, "", "verifydata", filepath.Join(dir, "data")).want(t, 0, "accounts", "")
	run(1, "", "not running", "account list")
}

func TestRecordsOfADomainArePrintedAndCompared(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t, map[string]string{
		"mox.conf": `DataDir: data
LogLevel: info
User: root
Hostname: mail.example.org
Listeners:
	local:
		IPs:
			- 127.0.0.1
Postmaster:
	Account: ann
	Mailbox: Postmaster
`,
		"domains.conf": configTestDomains,
	})
	conf := "-config=" + filepath.Join(dir, "mox.conf")
	mox(t, "", conf, "config", "dnsrecords", "example.org").want(t, 0, "\nexample.org.                             MX 10 mail.example.org.\n", "")
	mox(t, "", conf, "config", "dnsrecords", "x.example").want(t, 1, "", "domain x.example does not exist")
	mox(t, "", conf, "config", "dnsrecords").want(t, 2, "", "usage: mox config dnsrecords")
	server := dnsServer(t, "com NS ns.example\n")
	mox(t, "", conf, server, "config", "dnscheck", "-skipdial", "example.org").want(t, 1, "ok      MX         mail goes to mail.example.org\n", "errors")
	if r := mox(t, "", conf, server, "config", "dnscheck", "-skipdial", "-quiet", "example.org"); r.code != 1 || strings.Contains(r.out, "ok ") || !strings.Contains(r.out, "error   DMARC      ") {
		t.Errorf("got %+v", r)
	}
	mox(t, "", conf, server, "config", "dnscheck", "x.example").want(t, 1, "", "does not exist")
}
