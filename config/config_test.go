package config

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var testStatic = `# A comment.
DataDir: ../data
LogLevel: info
Hostname: mx.example.org
Listeners:
	public:
		IPs:
			- 192.0.2.10
			- 2001:db8::10
		TLS:
			KeyCerts:
				-
					CertFile: mx.crt
					KeyFile: /etc/mx.key
		SMTP:
			Enabled: true
		Submissions:
			Enabled: true
		IMAPS:
			Enabled: true
Postmaster:
	Account: ann
	Mailbox: Postmaster
`

var testDynamic = `Domains:
	example.org:
		LocalpartCatchallSeparator: +
	case.example:
		LocalpartCaseSensitive: true
		LocalpartCatchallSeparators:
			- +
			- -
	off.example:
		Disabled: true
	☺.example: nil
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
			Ann@case.example: nil
			ann@off.example: nil
			ann@☺.example:
				Mailbox: inbox/Smile
	bob:
		Domain: case.example
		QuotaMessageSize: 1000
		CRAMMD5: true
		Destinations:
			bob.s@example.org:
				Mailbox: Lists
			ann@case.example: nil
			@case.example:
				Mailbox: Other
			gone@example.org:
				SMTPError: 550 moved to carrier pigeon
			away@example.org:
				SMTPError: 421
			postmaster@case.example: nil
`

func testLoad(static, dynamic string) (*Snapshot, error) {
	return load("/etc/mox/mox.conf", []byte(static), []byte(dynamic))
}

func testSnapshot(t *testing.T) *Snapshot {
	t.Helper()
	s, err := testLoad(testStatic, testDynamic)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return s
}

// errorLines returns the errors one a line.
func errorLines(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var errs Errors
	if !errors.As(err, &errs) {
		t.Fatalf("got error %T %v, expected Errors", err, err)
	}
	var b strings.Builder
	for _, e := range errs {
		b.WriteString(strings.ReplaceAll(e.Error(), "/etc/mox/", "") + "\n")
	}
	return b.String()
}

// change replaces text that must be in s once.
func change(t *testing.T, s, from, to string) string {
	t.Helper()
	if strings.Count(s, from) != 1 {
		t.Fatalf("text %q is %d times in configuration", from, strings.Count(s, from))
	}
	return strings.Replace(s, from, to, 1)
}

func TestErrorsOfMoxConfNameLineAndField(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, from, to, want string
	}{
		{"unknown field", "LogLevel: info", "LogLevel: info\nNoSuchField: true", `mox.conf:4: NoSuchField: unknown key "NoSuchField"`},
		{"unknown nested field", "\t\tSMTP:\n", "\t\tSMTP:\n\t\t\tGreylist:\n\t\t\t\t- a.example\n", `mox.conf:16: Listeners.public.SMTP.Greylist: unknown key "Greylist"`},
		{"duplicate field", "LogLevel: info", "LogLevel: info\nLogLevel: info", `mox.conf:4: LogLevel: duplicate key in struct`},
		{"missing field", "Hostname: mx.example.org\n", "", `mox.conf: Hostname: required field Hostname is missing`},
		{"missing nested field", "\t\t\t\t\tKeyFile: /etc/mx.key\n", "", `mox.conf:12: Listeners.public.TLS.KeyCerts[0].KeyFile: required field KeyFile is missing`},
		{"no space after colon", "LogLevel: info", "LogLevel:info", `mox.conf:3: LogLevel: missing space after colon in struct`},
		{"empty list", "\t\t\t- 192.0.2.10\n\t\t\t- 2001:db8::10\n", "", `mox.conf:7: Listeners.public.IPs: value is missing: nothing is indented under it`},
		{"empty at end of file", "\tAccount: ann\n\tMailbox: Postmaster\n", "", `mox.conf:21: Postmaster: value is missing: nothing is indented under it`},
		{"bad boolean", "Hostname: mx.example.org", "Hostname: mx.example.org\nPedantic: yes", `mox.conf:5: Pedantic: bad boolean value "yes"`},
		{"log level", "LogLevel: info", "LogLevel: verbose", `mox.conf:3: LogLevel: unknown log level "verbose", use one of error, warn, info, debug, trace, traceauth, tracedata`},
		{"log level of package", "LogLevel: info", "LogLevel: info\nPackageLogLevels:\n\tstore: loud", `mox.conf:5: PackageLogLevels.store: unknown log level "loud", use one of error, warn, info, debug, trace, traceauth, tracedata`},
		{"hostname as A-label", "Hostname: mx.example.org", "Hostname: xn--74h.example", `mox.conf:4: Hostname: domain "xn--74h.example" must be written in unicode and lower case, as "☺.example"`},
		{"hostname in upper case", "Hostname: mx.example.org", "Hostname: MX.example.org", `mox.conf:4: Hostname: domain "MX.example.org" must be written in unicode and lower case, as "mx.example.org"`},
		{"data directory empty", "DataDir: ../data", "DataDir: ", `mox.conf:2: DataDir: directory is empty`},
		{"resolver", "LogLevel: info", "LogLevel: info\nDNSResolver:\n\t- 127.0.0.1:53\n\t- dns.example:53", `mox.conf:6: DNSResolver[1]: "dns.example:53" is not an IP address with a port, such as 127.0.0.1:53 or [::1]:53`},
		{"proxies", "\t\tSMTP:\n", "\t\tProxyProtocol:\n\t\t\tNetworks:\n\t\t\t\t- 192.0.2.0/33\n\t\t\t\t- ::/0\n\t\tSMTP:\n",
			"mox.conf:17: Listeners.public.ProxyProtocol.Networks[0]: \"192.0.2.0/33\" is not an IP address or network, such as 192.0.2.0/24\n" +
				"mox.conf:16: Listeners.public.ProxyProtocol.Networks: ::/0 is everywhere: everyone could claim to be anyone"},
		{"lmtp without socket", "\t\tSMTP:\n", "\t\tLMTP:\n\t\t\tEnabled: true\n\t\t\tSocket: \n\t\tSMTP:\n", `mox.conf:17: Listeners.public.LMTP.Socket: path is empty`},
		{"lmtp with a path that is too long", "\t\tSMTP:\n", "\t\tLMTP:\n\t\t\tEnabled: true\n\t\t\tSocket: /" + strings.Repeat("x", 100) + "\n\t\tSMTP:\n",
			`mox.conf:17: Listeners.public.LMTP.Socket: path "/` + strings.Repeat("x", 100) + `" is longer than 100 octets, which systems do not support for sockets`},
		{"listener address", "\t\t\t- 2001:db8::10\n", "\t\t\t- localhost\n", `mox.conf:9: Listeners.public.IPs[1]: "localhost" is not an IP address`},
		{"port", "\t\tIMAPS:\n\t\t\tEnabled: true\n", "\t\tIMAPS:\n\t\t\tEnabled: true\n\t\t\tPort: 70000\n", `mox.conf:21: Listeners.public.IMAPS.Port: port 70000 is not between 1 and 65535`},
		{"same port twice", "\t\tIMAPS:\n\t\t\tEnabled: true\n", "\t\tIMAPS:\n\t\t\tEnabled: true\n\t\t\tPort: 465\n",
			"mox.conf:19: Listeners.public.IMAPS: 192.0.2.10:465 is already used by Listeners.public.Submissions\n" +
				"mox.conf:19: Listeners.public.IMAPS: [2001:db8::10]:465 is already used by Listeners.public.Submissions"},
		{"TLS version", "\t\tTLS:\n", "\t\tTLS:\n\t\t\tMinVersion: SSLv3\n", `mox.conf:11: Listeners.public.TLS.MinVersion: unknown TLS version "SSLv3", use one of TLSv1.0, TLSv1.1, TLSv1.2, TLSv1.3`},
		{"no TLS section", "\t\tTLS:\n\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: mx.crt\n\t\t\t\t\tKeyFile: /etc/mx.key\n", "",
			`mox.conf:6: Listeners.public: a TLS section with certificates is needed for: SMTP with STARTTLS, Submissions, IMAPS`},
		{"STARTTLS required and not offered", "\t\tSMTP:\n", "\t\tSMTP:\n\t\t\tNoSTARTTLS: true\n\t\t\tRequireSTARTTLS: true\n",
			`mox.conf:17: Listeners.public.SMTP.RequireSTARTTLS: cannot be required while NoSTARTTLS keeps it from being offered`},
		{"exempt networks", "\t\tSMTP:\n", "\t\tLimits:\n\t\t\tExemptNetworks:\n\t\t\t\t- 10.0.0.1/8\n\t\t\t\t- example.org\n\t\t\t\t- 10.0.0.1\n\t\tSMTP:\n",
			"mox.conf:17: Listeners.public.Limits.ExemptNetworks[0]: network \"10.0.0.1/8\" has bits set after its prefix, perhaps 10.0.0.0/8 is meant\n" +
				"mox.conf:18: Listeners.public.Limits.ExemptNetworks[1]: \"example.org\" is not an IP address or network, such as 192.0.2.0/24"},
		{"postmaster account", "\tAccount: ann\n", "\tAccount: eve\n", `mox.conf:22: Postmaster.Account: account "eve" is not in domains.conf`},
		{"postmaster mailbox", "Mailbox: Postmaster", "Mailbox: a//b", `mox.conf:23: Postmaster.Mailbox: "a//b": mailbox name has an empty level`},
		{"negative quota of messages", "LogLevel: info", "LogLevel: info\nQuotaMessages: -1", `mox.conf:4: QuotaMessages: cannot be negative`},
		{"negative quota", "LogLevel: info", "LogLevel: info\nQuotaMessageSize: -1", `mox.conf:4: QuotaMessageSize: cannot be negative`},
		{"initial mailboxes", "LogLevel: info", "LogLevel: info\nInitialMailboxes:\n\tSpecialUse:\n\t\tSent: inbox\n\tRegular:\n\t\t- a/b\n\t\t- Work\n\t\t- Work",
			"mox.conf:6: InitialMailboxes.SpecialUse.Sent: Inbox is always created, do not list it\n" +
				"mox.conf:8: InitialMailboxes.Regular[0]: mailbox \"a/b\" cannot have a parent\n" +
				"mox.conf:10: InitialMailboxes.Regular[2]: mailbox \"Work\" is listed twice"},
		{"all errors, not only the first", "LogLevel: info\nHostname: mx.example.org", "LogLevel: loud\nHostname: mx..example.org",
			"mox.conf:3: LogLevel: unknown log level \"loud\", use one of error, warn, info, debug, trace, traceauth, tracedata\n" +
				"mox.conf:4: Hostname: empty label: \"mx..example.org\""},
		{"all errors of syntax", "LogLevel: info\n", "LogLevel: info\nA: 1\nPedantic: 1\nHostname: x\n",
			"mox.conf:4: A: unknown key \"A\"\nmox.conf:5: Pedantic: bad boolean value \"1\"\nmox.conf:7: Hostname: duplicate key in struct"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := testLoad(change(t, testStatic, tc.from, tc.to), testDynamic)
			if got := strings.TrimSuffix(errorLines(t, err), "\n"); got != tc.want {
				t.Fatalf("got:\n%s\nexpected:\n%s", got, tc.want)
			}
		})
	}
}

func TestErrorsOfDomainsConfNameLineAndField(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, from, to, want string
	}{
		{"unknown field", "\t\tDisabled: true\n", "\t\tDisabled: true\n\t\tBIMI: nil\n", `domains.conf:11: Domains.off.example.BIMI: unknown key "BIMI"`},
		{"domain as A-label", "\t☺.example: nil\n", "\txn--74h.example: nil\n",
			"domains.conf:11: Domains.xn--74h.example: domain \"xn--74h.example\" must be written in unicode and lower case, as \"☺.example\"\n" +
				"domains.conf:19: Accounts.ann.Destinations.ann@☺.example: domain \"☺.example\" of address is not in Domains"},
		{"separators of both kinds", "\t\tLocalpartCatchallSeparator: +\n", "\t\tLocalpartCatchallSeparator: +\n\t\tLocalpartCatchallSeparators:\n\t\t\t- -\n",
			`domains.conf:4: Domains.example.org.LocalpartCatchallSeparators: only one of LocalpartCatchallSeparator and LocalpartCatchallSeparators can be set`},
		{"separator twice", "\t\t\t- -\n", "\t\t\t- +\n", `domains.conf:8: Domains.case.example.LocalpartCatchallSeparators[1]: separator "+" is listed twice`},
		{"separator with at", "\t\tLocalpartCatchallSeparator: +\n", "\t\tLocalpartCatchallSeparator: @\n",
			`domains.conf:3: Domains.example.org.LocalpartCatchallSeparator: separator "@" is not possible: it cannot have an @ and must be in unicode normal form c`},
		{"rejects in Inbox", "\t\tDomain: example.org\n", "\t\tDomain: example.org\n\t\tRejectsMailbox: inbox\n", `domains.conf:15: Accounts.ann.RejectsMailbox: cannot be Inbox`},
		{"rejects without mailbox", "\t\tDomain: example.org\n", "\t\tDomain: example.org\n\t\tKeepRejects: true\n", `domains.conf:15: Accounts.ann.KeepRejects: needs RejectsMailbox`},
		{"domain of account", "\t\tDomain: example.org\n", "\t\tDomain: example.com\n", `domains.conf:14: Accounts.ann.Domain: domain "example.com" is not in Domains`},
		{"account name", "\tbob:\n", "\t../bob:\n",
			`domains.conf:21: Accounts.../bob: account name "../bob": it is also the name of a directory, it cannot start with a dot or have a slash, backslash, colon, control character, or space at its start or end`},
		{"account name with space", "\tbob:\n", "\tbob :\n", `domains.conf:21: Accounts.bob : account name "bob " has space around it`},
		{"localpart only", "\t\t\tann@example.org: nil\n", "\t\t\tann: nil\n", `domains.conf:16: Accounts.ann.Destinations.ann: address "ann" has no domain, write it as ann@domain`},
		{"domain of address", "\t\t\tann@example.org: nil\n", "\t\t\tann@example.com: nil\n", `domains.conf:16: Accounts.ann.Destinations.ann@example.com: domain "example.com" of address is not in Domains`},
		{"empty localpart", "\t\t\tann@example.org: nil\n", "\t\t\t\"\"@example.org: nil\n", `domains.conf:16: Accounts.ann.Destinations.""@example.org: localpart is empty, write the catchall as @example.org`},
		{"separator in address", "\t\t\tann@example.org: nil\n", "\t\t\tann+x@example.org: nil\n", `domains.conf:16: Accounts.ann.Destinations.ann+x@example.org: address has the separator "+" of its domain in it, so it cannot be reached`},
		{"canonical duplicate", "\t\t\tann@example.org: nil\n", "\t\t\tann@example.org: nil\n\t\t\tANN@example.org: nil\n",
			`domains.conf:16: Accounts.ann.Destinations.ann@example.org: address is already a destination of account "ann" (perhaps with other upper and lower case)`},
		{"SMTPError", "SMTPError: 421", "SMTPError: 450 later", `domains.conf:34: Accounts.bob.Destinations.away@example.org.SMTPError: must start with 421 or 550, optionally followed by a space and a text`},
		{"SMTPError with mailbox", "SMTPError: 421", "SMTPError: 421\n\t\t\t\tMailbox: Other2", `domains.conf:34: Accounts.bob.Destinations.away@example.org.SMTPError: cannot be set together with Mailbox, Rulesets or ForwardTo`},
		{"SMTPError text", "SMTPError: 421", "SMTPError: 421 später", `domains.conf:34: Accounts.bob.Destinations.away@example.org.SMTPError: text can only have printable ASCII characters`},
		{"LoginDisabled too long", "\t\tCRAMMD5: true\n", "\t\tLoginDisabled: " + strings.Repeat("x", 256) + "\n", `domains.conf:24: Accounts.bob.LoginDisabled: text is longer than 255 characters`},
		{"mailbox", "Mailbox: Lists", "Mailbox: Lists/", `domains.conf:27: Accounts.bob.Destinations.bob.s@example.org.Mailbox: "Lists/": mailbox name has an empty level`},
		{"mailbox not in normal form", "Mailbox: Lists", "Mailbox: Cafe\u0301", "domains.conf:27: Accounts.bob.Destinations.bob.s@example.org.Mailbox: \"Cafe\u0301\": mailbox name is not in unicode normal form c"},
		{"limit", "\t\tCRAMMD5: true\n", "\t\tMaxOutgoingMessagesPerDay: -1\n", `domains.conf:24: Accounts.bob.MaxOutgoingMessagesPerDay: cannot be negative`},
		{"account without fields", "Accounts:\n", "Accounts:\n\teve: nil\n", `domains.conf:13: Accounts.eve.Domain: domain name is empty`},
		{"spaces for indentation", "\t\tDisabled: true\n", "    Disabled: true\n", "domains.conf:9: Domains.off.example: value is missing: nothing is indented under it\n" +
			`domains.conf:10:     Disabled: key in struct starting with space (perhaps mixed tab/space indenting)`},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := testLoad(testStatic, change(t, testDynamic, tc.from, tc.to))
			if got := strings.TrimSuffix(errorLines(t, err), "\n"); got != tc.want {
				t.Fatalf("got:\n%s\nexpected:\n%s", got, tc.want)
			}
		})
	}
}

func TestErrorsOfBothFilesAreReportedTogether(t *testing.T) {
	t.Parallel()
	_, err := testLoad(
		change(t, testStatic, "LogLevel: info", "LogLevel: loud"),
		change(t, testDynamic, "SMTPError: 421", "SMTPError: 999"))
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 2 {
		t.Fatalf("got %v, expected two errors", err)
	}
	if errs[0].File != "/etc/mox/mox.conf" || errs[1].File != "/etc/mox/domains.conf" {
		t.Fatalf("got files %q and %q", errs[0].File, errs[1].File)
	}
	if want := errs[0].Error() + "; " + errs[1].Error(); err.Error() != want {
		t.Fatalf("got %q, expected %q", err, want)
	}
}

func TestLoadSaysWhatToDoAboutMissingFile(t *testing.T) {
	t.Parallel()
	_, err := Load(filepath.Join(t.TempDir(), "mox.conf"))
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "-config") {
		t.Fatalf("got %v, expected error about file that does not exist with advice", err)
	}
}

func TestLoadRefusesFileThatIsTooLarge(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "mox.conf")
	if err := os.WriteFile(path, nil, 0600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, MaxFileSize+1); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Fatalf("got %v, expected error about size", err)
	}
}

func TestOverridesAreCheckedAndKeptOverReloads(t *testing.T) {
	t.Parallel()
	pedantic := func(s *Static) { s.Pedantic = true }
	s, err := load("/etc/mox/mox.conf", []byte(testStatic), []byte(testDynamic), pedantic)
	if err != nil || !s.Pedantic {
		t.Fatalf("got pedantic %v, error %v", s.Pedantic, err)
	}
	if n, err := s.withDynamic([]byte(testDynamic)); err != nil || !n.Pedantic {
		t.Fatalf("after reload: error %v", err)
	}
	level := func(s *Static) { s.LogLevel = "loud" }
	if _, err := load("/etc/mox/mox.conf", []byte(testStatic), []byte(testDynamic), level); err == nil {
		t.Fatalf("wrong override was taken")
	}
}

func TestDataDirNeedsNothingElseToBeRight(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "mox.conf")
	write(t, path, change(t, testStatic, "LogLevel: info", "LogLevel: loud"))
	if got, err := DataDir(path); err != nil || got != filepath.Join(filepath.Dir(dir), "data") {
		t.Errorf("got %q, %v", got, err)
	}
	write(t, path, change(t, testStatic, "DataDir: ../data", "DataDir: "))
	if _, err := DataDir(path); err == nil {
		t.Errorf("empty directory was taken")
	}
	write(t, path, "x")
	if _, err := DataDir(path); err == nil {
		t.Errorf("malformed file was taken")
	}
	if _, err := DataDir(path + "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got %v", err)
	}
}

func TestPathPrefersFlagThenEnvironment(t *testing.T) {
	t.Setenv(PathEnv, "")
	if got := Path(""); got != "config/mox.conf" {
		t.Errorf("got %q", got)
	}
	t.Setenv(PathEnv, "/env/mox.conf")
	if got := Path(""); got != "/env/mox.conf" {
		t.Errorf("got %q", got)
	}
	if got := Path("/flag/mox.conf"); got != "/flag/mox.conf" {
		t.Errorf("got %q", got)
	}
}

func TestDescribedFilesHaveAllFields(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		describe func(*bytes.Buffer) error
		fields   []string
	}{
		"static":  {func(b *bytes.Buffer) error { return DescribeStatic(b) }, []string{"DataDir:", "\t\tLimits:", "\t\t\tNoSTARTTLS: false", "DNSResolver:"}},
		"dynamic": {func(b *bytes.Buffer) error { return DescribeDomains(b) }, []string{"Domains:", "\t\tCRAMMD5: false", "\t\t\t\tSMTPError:"}},
	} {
		var b bytes.Buffer
		if err := tc.describe(&b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, f := range tc.fields {
			if !strings.Contains(b.String(), "\n"+f) {
				t.Errorf("%s: no %q in:\n%s", name, f, b.String())
			}
		}
	}
}

func TestCreatedFilesCanBeLoaded(t *testing.T) {
	t.Parallel()
	s := testSnapshot(t)
	dir := t.TempDir()
	if err := Create(dir, s.Static, s.Dynamic); err != nil {
		t.Fatalf("create: %v", err)
	}
	got, err := Load(filepath.Join(dir, "mox.conf"))
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	if want := filepath.Join(filepath.Dir(dir), "data"); got.DataDir != want {
		t.Errorf("got data directory %q, expected %q", got.DataDir, want)
	}
	if got.Accounts() != 2 || len(got.Listeners) != 1 {
		t.Errorf("got %d accounts and %d listeners", got.Accounts(), len(got.Listeners))
	}
	err = Create(dir, s.Static, s.Dynamic)
	if !errors.Is(err, os.ErrExist) {
		t.Errorf("creating again: got %v, expected error that file exists", err)
	}
}

func TestCreateWritesNothingForConfigurationWithErrors(t *testing.T) {
	t.Parallel()
	s := testSnapshot(t)
	st := s.Static
	st.Hostname = "bad name"
	dir := t.TempDir()
	var errs Errors
	if err := Create(dir, st, s.Dynamic); !errors.As(err, &errs) {
		t.Fatalf("got %v, expected errors", err)
	}
	if l, err := os.ReadDir(dir); err != nil || len(l) != 0 {
		t.Fatalf("directory has %v, error %v", l, err)
	}
}

func TestCheckFilesReportsCertificateThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	s := testSnapshot(t)
	err := s.CheckFiles()
	got := errorLines(t, err)
	if !strings.HasPrefix(got, "mox.conf:12: Listeners.public.TLS.KeyCerts[0]: open mx.crt:") {
		t.Fatalf("got %q", got)
	}
}

// The files must never make the parser of sconf fail in another way than with an
// error.
func FuzzLoad(f *testing.F) {
	f.Add([]byte(testStatic), []byte(testDynamic))
	f.Add([]byte("Listeners:\n\t-\n\t\t- a\n\t: x"), []byte("Domains:\n\ta: nil\n\t\tb: c\nDomains: nil\n"))
	f.Add([]byte("LogLevel:\n\n\n"), []byte("\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t- a:\n"))
	f.Fuzz(func(t *testing.T, static, dynamic []byte) {
		s, err := load("mox.conf", static, dynamic)
		if err == nil {
			if s.Hostname.IsZero() || len(s.Listeners) == 0 {
				t.Fatalf("snapshot without hostname or listeners")
			}
			return
		}
		var errs Errors
		if !errors.As(err, &errs) || len(errs) == 0 {
			t.Fatalf("got error %T %v", err, err)
		}
		for _, e := range errs {
			if e.File == "" || e.Text == "" {
				t.Fatalf("incomplete error %#v", e)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	var dyn bytes.Buffer
	dyn.WriteString("Domains:\n\texample.org: nil\nAccounts:\n\tann:\n\t\tDomain: example.org\n")
	for i := range 10000 {
		name := "u" + strings.Repeat("x", i%20) + string(rune('a'+i%26))
		dyn.WriteString("\t" + name + "-" + string(rune('a'+i/26%26)) + string(rune('a'+i/676%26)) + ":\n\t\tDomain: example.org\n")
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := load("mox.conf", []byte(testStatic), dyn.Bytes()); err != nil {
			b.Fatal(err)
		}
	}
}

func TestServicesOfAListenerHaveTheirOptions(t *testing.T) {
	t.Parallel()
	s, err := testLoad(change(t, testStatic, "\t\tSMTP:\n", "\t\tLMTP:\n\t\t\tEnabled: true\n\t\t\tSocket: run/lmtp\n\t\tProxyProtocol:\n\t\t\tNetworks:\n\t\t\t\t- 192.0.2.7\n\t\tSMTP:\n\t\t\tNoRequireTLS: true\n\t\t\tTLSSessionTicketsDisabled: false\n"), testDynamic)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	l := s.Listeners[0]
	if l.LMTP != "/etc/mox/run/lmtp" || len(l.Proxies) != 1 || l.Proxies[0].String() != "192.0.2.7/32" || !l.SMTP.NoRequireTLS || !l.SMTP.SessionTickets || !l.TLS.ClientAuth {
		t.Errorf("got listener %+v", l)
	}
	l = testSnapshot(t).Listeners[0]
	if l.LMTP != "" || l.Proxies != nil || l.SMTP.NoRequireTLS || l.SMTP.SessionTickets || !l.TLS.ClientAuth {
		t.Errorf("got listener %+v", l)
	}
}
