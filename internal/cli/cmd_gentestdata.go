package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"mox/config"
	"mox/dmarc/dmarcdb"
	"mox/dmarc/report"
	"mox/dns"
	"mox/imap"
	"mox/internal/authdb"
	"mox/internal/safefile"
	"mox/internal/tracedb"
	"mox/internal/training"
	"mox/mtasts/mtastsdb"
	"mox/queue/queuedb"
	"mox/smtp"
	"mox/store"
	"mox/tlsrpt"
	"mox/tlsrpt/tlsrptdb"
)

var cmdGenTestData = command{
	words:    "gentestdata",
	args:     "dir",
	unlisted: true,
	help: `Make a data directory with a little of everything, for tests of upgrades.

The directory must not exist, or be empty. There are accounts test0 without messages,
test1 with one, and test2 of a domain with an international name, with messages and a
trained junk filter; a message on hold in the queue; databases of reports, policies,
logins and message traces; the key hostkeys/mox.example.p256.pem; and the file
moxversion, which says what has made it. Nothing else depends on when or where that was.
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) != 1 {
				return usageError("")
			}
			return genTestData(ctx, e, args[0])
		}
	},
}

// testDataTime is when all happened that is in the data.
var testDataTime = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func genTestData(ctx context.Context, e *env, dir string) error {
	if err := os.MkdirAll(dir, 0770); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("directory %s is not empty", dir)
	}
	s, err := testDataConfig(dir)
	if err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		make func(ctx context.Context, e *env, s *config.Snapshot) error
	}{
		{"accounts", genTestAccounts},
		{"queue", genTestQueue},
		{"reports", genTestReports},
		{"logins and traces", genTestLogins},
		{"files", genTestFiles},
	} {
		if err := part.make(ctx, e, s); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
	}
	return nil
}

// testDataConfig returns a configuration in which the accounts are.
func testDataConfig(dir string) (*config.Snapshot, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	account := func(name, domain string) config.AccountFields {
		return config.AccountFields{Domain: domain, Destinations: map[string]config.DestinationFields{name + "@" + domain: {}}}
	}
	test2 := account("test2", "☺.example")
	test2.JunkFilter = &config.JunkFilterFields{}
	return config.New(config.Static{
		DataDir: dir, LogLevel: "info", Hostname: "mox.example",
		Listeners:  map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "test0", Mailbox: "Inbox"},
	}, config.Dynamic{
		Domains:  map[string]config.DomainFields{"mox.example": {}, "☺.example": {}},
		Accounts: map[string]config.AccountFields{"test0": account("test0", "mox.example"), "test1": account("test1", "mox.example"), "test2": test2},
	})
}

// genTestMessage returns a message. The caller closes it.
func genTestMessage(dir, from, to, subject string) (*safefile.Spool, error) {
	sp := safefile.NewSpool(safefile.SpoolOptions{Dir: dir, CRLF: true})
	_, err := fmt.Fprintf(sp, "From: <%s>\nTo: <%s>\nSubject: %s\nMessage-ID: <%[3]s@mox.example>\nDate: %[4]s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nThis is about %[3]s.\n",
		from, to, subject, testDataTime.Format(time.RFC1123Z))
	return sp, err
}

func genTestAccounts(ctx context.Context, e *env, s *config.Snapshot) (rerr error) {
	st, err := store.Open(ctx, store.Options{
		Dir: s.DataDir, Log: e.log, Now: func() time.Time { return testDataTime },
		Policy: func(account string) store.Policy { return store.Policy{Train: account == "test2"} },
	})
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, st.Close()) }()
	trainer := training.New(training.Options{Config: config.NewHolder(s), Store: st, Dir: s.DataDir})
	defer func() { rerr = errors.Join(rerr, trainer.Close()) }()
	for _, m := range []struct{ account, to, mailbox, subject string }{
		{"test0", "", "", ""},
		{"test1", "test1@mox.example", "Inbox", "one"},
		{"test2", "test2@☺.example", "Inbox", "flowers"},
		{"test2", "test2@☺.example", "Junk", "money"},
	} {
		a, err := st.Ensure(ctx, m.account)
		if err != nil {
			return err
		}
		if m.to == "" {
			continue
		}
		flags := imap.FlagSeen | imap.FlagNotJunk
		if m.mailbox == "Junk" {
			flags = imap.FlagJunk
		}
		sp, err := genTestMessage(st.TempDir(), "other@remote.example", m.to, m.subject)
		if err == nil {
			_, err = a.Append(ctx, store.NewMessage{Mailbox: m.mailbox, Create: true, Spool: sp, Flags: flags, Received: testDataTime})
		}
		if err := errors.Join(err, sp.Close()); err != nil {
			return err
		}
	}
	return trainer.Flush(ctx, "test2")
}

func genTestQueue(ctx context.Context, e *env, s *config.Snapshot) (rerr error) {
	q, err := queuedb.Open(ctx, queuedb.Options{Dir: s.DataDir, Log: e.log})
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, q.Close()) }()
	from, err := smtp.ParseReversePath("<test1@mox.example>", smtp.Strict)
	if err != nil {
		return err
	}
	to, err := smtp.ParseReversePath("<other@remote.example>", smtp.Strict)
	if err != nil {
		return err
	}
	sp, err := genTestMessage(filepath.Join(s.DataDir, "queue"), "test1@mox.example", "other@remote.example", "queued")
	if err == nil {
		_, err = q.Enqueue(ctx, queuedb.Submission{
			Account: "test1", Recipients: []queuedb.Recipient{{Sender: from, To: to}}, Spool: sp, Hold: true,
			Base:        queuedb.Base{MessageID: "<queued@mox.example>", Subject: "queued"},
			NextAttempt: testDataTime,
		})
	}
	return errors.Join(err, sp.Close())
}

const testDMARCReport = `<?xml version="1.0"?>
<feedback><version>1.0</version>
<report_metadata><org_name>remote</org_name><email>postmaster@remote.example</email><report_id>1</report_id>
<date_range><begin>1767312000</begin><end>1767398399</end></date_range></report_metadata>
<policy_published><domain>mox.example</domain><p>reject</p></policy_published>
<record><row><source_ip>192.0.2.1</source_ip><count>1</count>
<policy_evaluated><disposition>none</disposition><dkim>pass</dkim><spf>pass</spf></policy_evaluated></row>
<identifiers><header_from>mox.example</header_from></identifiers>
<auth_results><spf><domain>mox.example</domain><result>pass</result></spf></auth_results></record>
</feedback>
`

const testTLSReport = `{"organization-name":"remote","date-range":{"start-datetime":"2026-01-02T00:00:00Z","end-datetime":"2026-01-02T23:59:59Z"},
"contact-info":"postmaster@remote.example","report-id":"1","policies":[{"policy":{"policy-type":"no-policy-found","policy-domain":"mox.example"},
"summary":{"total-successful-session-count":1,"total-failure-session-count":0}}]}
`

func genTestReports(ctx context.Context, e *env, s *config.Snapshot) (rerr error) {
	closing := func(c io.Closer) { rerr = errors.Join(rerr, c.Close()) }
	remote := dns.Domain{ASCII: "remote.example"}
	dmarc, err := dmarcdb.Open(ctx, dmarcdb.Options{Dir: s.DataDir, Log: e.log})
	if err != nil {
		return err
	}
	defer closing(dmarc)
	tls, err := tlsrptdb.Open(ctx, s.DataDir)
	if err != nil {
		return err
	}
	defer closing(tls)
	results, err := tlsrptdb.OpenResults(ctx, tlsrptdb.ResultsOptions{Dir: s.DataDir, Log: e.log})
	if err != nil {
		return err
	}
	defer closing(results)
	policies, err := mtastsdb.Open(ctx, mtastsdb.Options{Dir: s.DataDir, Log: e.log})
	if err != nil {
		return err
	}
	defer closing(policies)
	return errors.Join(
		addDMARCReport(ctx, dmarc, s, remote, []byte(testDMARCReport)),
		dmarc.AddEvaluation(dmarcdb.Evaluation{
			PolicyDomain: remote.ASCII, Last: testDataTime, IntervalHours: 24, RUA: []string{"mailto:dmarc@remote.example"},
			Published: report.Policy{Domain: remote.ASCII, Policy: "none"},
			Record:    report.Record{SourceIP: netip.MustParseAddr("192.0.2.1"), Count: 1},
		}),
		addTLSReport(ctx, tls, s, remote, false, []byte(testTLSReport)),
		results.Add(testDataTime, tlsrptdb.Session{
			RecipientDomain: remote, PolicyDomain: remote, SendReport: true,
			Result: tlsrpt.PolicyResult{Policy: tlsrpt.Policy{Type: tlsrpt.PolicyNone, Domain: remote.ASCII}, Successes: 1},
		}),
	)
}

func genTestLogins(ctx context.Context, e *env, s *config.Snapshot) (rerr error) {
	logins, err := authdb.Open(ctx, authdb.Options{Dir: s.DataDir, Log: e.log})
	if err != nil {
		return err
	}
	logins.RecordLogin(authdb.LoginAttempt{Account: "test1", Last: testDataTime, LoginAddress: "test1@mox.example", RemoteIP: "192.0.2.1", Protocol: "imap", Mechanism: "PLAIN", Result: "ok"})
	if err := logins.Close(); err != nil {
		return err
	}
	traces, err := tracedb.Open(ctx, tracedb.Options{Dir: s.DataDir, Log: e.log})
	if err != nil {
		return err
	}
	traces.Step(ctx, tracedb.Step{Time: testDataTime, Kind: tracedb.Received, Result: tracedb.Accepted, MessageID: "one@mox.example", From: "other@remote.example", To: "test1@mox.example", Account: "test1"})
	return traces.Close()
}

func genTestFiles(_ context.Context, _ *env, s *config.Snapshot) error {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), []byte(strings.Repeat("k", 32)))
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	keys := filepath.Join(s.DataDir, "hostkeys")
	return errors.Join(
		os.Mkdir(keys, 0700),
		safefile.WriteFile(filepath.Join(keys, "mox.example.p256.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0600),
		safefile.WriteFile(filepath.Join(s.DataDir, "moxversion"), []byte(version()+"\n"), 0660),
	)
}
