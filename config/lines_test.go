package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

const linesStatic = `DataDir: data
LogLevel: info
Hostname: mx.example.org
Listeners:
	public:
		IPs:
			- 192.0.2.1
		SMTP:
			Enabled: true
			NoSTARTTLS: true
Postmaster:
	Account: ann
	Mailbox: Postmaster
`

const linesDynamic = `Domains:
	example.org: nil
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
`

// Each error must lead to the place in the file that is to be changed.
func TestEachErrorHasALineAndAField(t *testing.T) {
	t.Parallel()
	const tls = "\t\tTLS:\n\t\t\tKeyCerts:\n\t\t\t\t-\n\t\t\t\t\tCertFile: none.pem\n\t\t\t\t\tKeyFile: none.pem\n"
	for name, tc := range map[string]struct {
		old, new string // In one of the files: a text is in one only.
		field    string
		line     string // What is on it, without space around.
	}{
		// What the file cannot be read with.
		"unknown key":            {"LogLevel: info", "LogLevel: info\nLoglevel: info", "Loglevel", "Loglevel: info"},
		"duplicate key":          {"LogLevel: info", "LogLevel: info\nLogLevel: info", "LogLevel", "LogLevel: info"},
		"spaces":                 {"\t\t\t- 192.0.2.1", "        - 192.0.2.1", "        - 192.0.2.1", "- 192.0.2.1"},
		"no space after colon":   {"LogLevel: info", "LogLevel:info", "LogLevel", "LogLevel:info"},
		"not a bool":             {"Enabled: true", "Enabled: yes", "Listeners.public.SMTP.Enabled", "Enabled: yes"},
		"not a number":           {"Enabled: true", "Enabled: true\n\t\t\tPort: smtp", "Listeners.public.SMTP.Port", "Port: smtp"},
		"missing key":            {"Hostname: mx.example.org\n", "", "Hostname", ""},
		"missing key in section": {"\tMailbox: Postmaster\n", "", "Postmaster.Mailbox", "Postmaster:"},
		"nothing below a key":    {"\t\t\t- 192.0.2.1\n", "", "Listeners.public.IPs", "IPs:"},
		// mox.conf.
		"log level":           {"LogLevel: info", "LogLevel: loud", "LogLevel", "LogLevel: loud"},
		"package level":       {"LogLevel: info", "LogLevel: info\nPackageLogLevels:\n\tqueue: loud", "PackageLogLevels.queue", "queue: loud"},
		"hostname":            {"mx.example.org", "MX.example.org", "Hostname", "Hostname: MX.example.org"},
		"resolver":            {"LogLevel: info", "LogLevel: info\nDNSResolver:\n\t- localhost", "DNSResolver[0]", "- localhost"},
		"authority file":      {"LogLevel: info", "LogLevel: info\nTLS:\n\tCA:\n\t\tCertFiles:\n\t\t\t- none.pem", "TLS.CA.CertFiles[0]", "- none.pem"},
		"acme url":            {"LogLevel: info", "LogLevel: info\nACME:\n\tx:\n\t\tDirectoryURL: http://x\n\t\tContactEmail: ann@example.org", "ACME.x.DirectoryURL", "DirectoryURL: http://x"},
		"acme contact":        {"LogLevel: info", "LogLevel: info\nACME:\n\tx:\n\t\tDirectoryURL: https://x\n\t\tContactEmail: ann", "ACME.x.ContactEmail", "ContactEmail: ann"},
		"ip":                  {"- 192.0.2.1", "- mx", "Listeners.public.IPs[0]", "- mx"},
		"natip":               {"\t\tSMTP:", "\t\tNATIPs:\n\t\t\t- 127.0.0.1\n\t\tSMTP:", "Listeners.public.NATIPs[0]", "- 127.0.0.1"},
		"port":                {"Enabled: true", "Enabled: true\n\t\t\tPort: 70000", "Listeners.public.SMTP.Port", "Port: 70000"},
		"port is used twice":  {"\t\tSMTP:", "\t\tMetricsHTTP:\n\t\t\tEnabled: true\n\t\t\tPort: 25\n\t\tSMTP:", "Listeners.public.MetricsHTTP", "MetricsHTTP:"},
		"dnsbl":               {"NoSTARTTLS: true", "NoSTARTTLS: true\n\t\t\tDNSBLs:\n\t\t\t\t- a..b", "Listeners.public.SMTP.DNSBLs[0]", "- a..b"},
		"no tls":              {"\t\tSMTP:", "\t\tIMAPS:\n\t\t\tEnabled: true\n\t\tSMTP:", "Listeners.public", "public:"},
		"tls version":         {"\t\tSMTP:", tls + "\t\t\tMinVersion: 1.2\n\t\tSMTP:", "Listeners.public.TLS.MinVersion", "MinVersion: 1.2"},
		"certificate file":    {"\t\tSMTP:", tls + "\t\tSMTP:", "Listeners.public.TLS.KeyCerts[0]", "-"},
		"no such authority":   {"\t\tSMTP:", "\t\tTLS:\n\t\t\tACME: x\n\t\tSMTP:", "Listeners.public.TLS.ACME", "ACME: x"},
		"host key":            {"\t\tSMTP:", tls + "\t\t\tHostPrivateKeyFiles:\n\t\t\t\t- none.key\n\t\tSMTP:", "Listeners.public.TLS.HostPrivateKeyFiles[0]", "- none.key"},
		"limit network":       {"\t\tSMTP:", "\t\tLimits:\n\t\t\tExemptNetworks:\n\t\t\t\t- 192.0.2.1/24\n\t\tSMTP:", "Listeners.public.Limits.ExemptNetworks[0]", "- 192.0.2.1/24"},
		"proxy":               {"\t\tSMTP:", "\t\tProxyProtocol:\n\t\t\tNetworks:\n\t\t\t\t- 0.0.0.0/0\n\t\tSMTP:", "Listeners.public.ProxyProtocol.Networks", "Networks:"},
		"mailbox":             {"Mailbox: Postmaster", "Mailbox: a//b", "Postmaster.Mailbox", "Mailbox: a//b"},
		"postmaster account":  {"Account: ann", "Account: bob", "Postmaster.Account", "Account: bob"},
		"host reports":        {"LogLevel: info", "LogLevel: info\nHostTLSRPT:\n\tAccount: bob\n\tMailbox: X\n\tLocalpart: x", "HostTLSRPT.Account", "Account: bob"},
		"initial mailbox":     {"LogLevel: info", "LogLevel: info\nInitialMailboxes:\n\tRegular:\n\t\t- Inbox", "InitialMailboxes.Regular[0]", "- Inbox"},
		"transport":           {"LogLevel: info", "LogLevel: info\nTransports:\n\tx:\n\t\tSubmission:\n\t\t\tHost: a..b", "Transports.x.Submission.Host", "Host: a..b"},
		"retry period":        {"LogLevel: info", "LogLevel: info\nQueueRetryPeriod: 1000h", "QueueRetryPeriod", "QueueRetryPeriod: 1000h"},
		"negative quota":      {"LogLevel: info", "LogLevel: info\nQuotaMessageSize: -1", "QuotaMessageSize", "QuotaMessageSize: -1"},
		"trace period":        {"LogLevel: info", "LogLevel: info\nKeepTracePeriod: 1s", "KeepTracePeriod", "KeepTracePeriod: 1s"},
		"policy without http": {"\texample.org: nil", "\texample.org:\n\t\tMTASTS:\n\t\t\tPolicyID: 1\n\t\t\tMode: enforce\n\t\t\tMaxAge: 24h", "Domains.example.org.MTASTS", "MTASTS:"},
		// domains.conf.
		"domain":            {"\texample.org: nil", "\texample.org: nil\n\tx..y: nil", "Domains.x..y", "x..y: nil"},
		"separator":         {"\texample.org: nil", "\texample.org:\n\t\tLocalpartCatchallSeparators:\n\t\t\t- +\n\t\t\t- +", "Domains.example.org.LocalpartCatchallSeparators[1]", "- +"},
		"dkim file":         {"\texample.org: nil", "\texample.org:\n\t\tDKIM:\n\t\t\tSelectors:\n\t\t\t\ta:\n\t\t\t\t\tPrivateKeyFile: none.pem", "Domains.example.org.DKIM.Selectors.a.PrivateKeyFile", "PrivateKeyFile: none.pem"},
		"dmarc account":     {"\texample.org: nil", "\texample.org:\n\t\tDMARC:\n\t\t\tLocalpart: x\n\t\t\tAccount: bob\n\t\t\tMailbox: X", "Domains.example.org.DMARC.Account", "Account: bob"},
		"alias member":      {"\texample.org: nil", "\texample.org:\n\t\tAliases:\n\t\t\tall:\n\t\t\t\tAddresses:\n\t\t\t\t\t- bob@example.org", "Domains.example.org.Aliases.all.Addresses[0]", "- bob@example.org"},
		"account domain":    {"Domain: example.org", "Domain: other.example", "Accounts.ann.Domain", "Domain: other.example"},
		"account name":      {"\tann:", "\tan/n:\n\t\tDomain: example.org\n\tann:", "Accounts.an/n", "an/n:"},
		"destination":       {"\t\t\tann@example.org: nil", "\t\t\tann@example.org: nil\n\t\t\tann@other.example: nil", "Accounts.ann.Destinations.ann@other.example", "ann@other.example: nil"},
		"destination twice": {"\t\t\tann@example.org: nil", "\t\t\tann@example.org: nil\n\t\t\tANN@example.org: nil", "Accounts.ann.Destinations.ann@example.org", "ann@example.org: nil"},
		"ruleset":           {"\t\t\tann@example.org: nil", "\t\t\tann@example.org:\n\t\t\t\tRulesets:\n\t\t\t\t\t-\n\t\t\t\t\t\tMsgFromRegexp: (\n\t\t\t\t\t\tMailbox: X", "Accounts.ann.Destinations.ann@example.org.Rulesets[0].MsgFromRegexp", "MsgFromRegexp: ("},
		"rejects":           {"\t\tDestinations:", "\t\tRejectsMailbox: Inbox\n\t\tDestinations:", "Accounts.ann.RejectsMailbox", "RejectsMailbox: Inbox"},
		"junk threshold":    {"\t\tDestinations:", "\t\tJunkFilter:\n\t\t\tThreshold: 2\n\t\tDestinations:", "Accounts.ann.JunkFilter.Threshold", "Threshold: 2"},
		"junk regexp":       {"\t\tDestinations:", "\t\tAutomaticJunkFlags:\n\t\t\tEnabled: true\n\t\t\tJunkMailboxRegexp: (\n\t\tDestinations:", "Accounts.ann.AutomaticJunkFlags.JunkMailboxRegexp", "JunkMailboxRegexp: ("},
		"route":             {"Accounts:", "Routes:\n\t-\n\t\tTransport: x\nAccounts:", "Routes[0].Transport", "Transport: x"},
		"monitored list":    {"Accounts:", "MonitorDNSBLs:\n\t- a..b\nAccounts:", "MonitorDNSBLs[0]", "- a..b"},
		"web handler":       {"Accounts:", "WebHandlers:\n\t-\n\t\tDomain: example.org\n\t\tPathRegexp: (\nAccounts:", "WebHandlers[0].PathRegexp", "PathRegexp: ("},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{StaticName: linesStatic, DynamicName: linesDynamic}
			found := false
			for file, text := range files {
				if strings.Contains(text, tc.old) {
					files[file] = strings.Replace(text, tc.old, tc.new, 1)
					found = true
				}
			}
			if !found {
				t.Fatalf("%q is in no file", tc.old)
			}
			errs := loadErrors(t, filepath.Join(testkit.Dir(t, files), StaticName))
			match := false
			for _, e := range errs {
				data, err := os.ReadFile(e.File)
				if err != nil {
					t.Fatal(err)
				}
				lines := strings.Split(string(data), "\n")
				if e.Text == "" || e.Field == "" || e.Line > len(lines) || e.Line < 1 && tc.line != "" {
					t.Errorf("error %q has field %q and line %d", e, e.Field, e.Line)
					continue
				}
				match = match || e.Field == tc.field && (tc.line == "" || strings.TrimSpace(lines[e.Line-1]) == tc.line)
			}
			if !match {
				t.Errorf("got %q, expected field %s at line %q", errs, tc.field, tc.line)
			}
		})
	}
}

// loadErrors returns what is wrong with a configuration, as "mox config test" does.
func loadErrors(t *testing.T, path string) Errors {
	t.Helper()
	s, err := Load(path)
	if err == nil {
		err = s.CheckFiles()
	}
	var errs Errors
	if !errors.As(err, &errs) {
		t.Fatalf("got error %v", err)
	}
	return errs
}

func TestAllErrorsOfBothFilesAreReported(t *testing.T) {
	t.Parallel()
	errs := loadErrors(t, filepath.Join(testkit.Dir(t, map[string]string{
		StaticName:  strings.NewReplacer("info", "loud", "192.0.2.1", "x", "Account: ann", "Account: bob").Replace(linesStatic),
		DynamicName: strings.NewReplacer("ann@example.org", "ann@other.example", "Domain: example.org", "Domain: x.example").Replace(linesDynamic),
	}), StaticName))
	var got []string
	for _, e := range errs {
		got = append(got, filepath.Base(e.File)+" "+e.Field)
	}
	want := "mox.conf LogLevel, mox.conf Listeners.public.IPs[0], mox.conf Postmaster.Account, domains.conf Accounts.ann.Domain, domains.conf Accounts.ann.Destinations.ann@other.example"
	if s := strings.Join(got, ", "); s != want {
		t.Errorf("got %s", s)
	}
}
