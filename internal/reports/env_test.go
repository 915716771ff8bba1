package reports

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
	"mox/dkim"
	"mox/dmarc"
	"mox/dmarc/dmarcdb"
	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/submit"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/tlsrpt/tlsrptdb"
)

// zone is a resolver that has TXT and A records, and fails for some names.
type zone struct {
	dns.Resolver // Nil: no other lookups.

	mu     sync.Mutex
	txt    map[string]string // By name without trailing dot.
	a      map[string]string
	faults map[string]error
	asked  []string
}

func (z *zone) get(m map[string]string, name string) (string, error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	name = strings.TrimSuffix(name, ".")
	z.asked = append(z.asked, name)
	if err := z.faults[name]; err != nil {
		return "", err
	}
	if v, ok := m[name]; ok {
		return v, nil
	}
	return "", dns.ErrNotFound
}

// LookupTXT implements dns.Resolver.
func (z *zone) LookupTXT(_ context.Context, name string) ([]string, dns.Result, error) {
	v, err := z.get(z.txt, name)
	if err != nil {
		return nil, dns.Result{}, err
	}
	return []string{v}, dns.Result{}, nil
}

// LookupIP implements dns.Resolver.
func (z *zone) LookupIP(_ context.Context, _, name string) ([]net.IP, dns.Result, error) {
	v, err := z.get(z.a, name)
	if err != nil {
		return nil, dns.Result{}, err
	}
	return []net.IP{net.ParseIP(v)}, dns.Result{}, nil
}

// lookups returns the names that were asked for.
func (z *zone) lookups() []string {
	z.mu.Lock()
	defer z.mu.Unlock()
	return slices.Clone(z.asked)
}

// remove removes an A record.
func (z *zone) remove(name string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	delete(z.a, name)
}

// fault makes lookups of a name fail, or not.
func (z *zone) fault(name string, err error) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.faults[name] = err
}

// env is a server that sends reports: mx.example.org, with a DKIM key of example.org.
type env struct {
	*testing.T
	dir   string
	zone  *zone
	conf  *config.Holder
	evals *dmarcdb.DB
	tls   *tlsrptdb.Results
	queue *queuedb.DB
	opts  Options
	kicks atomic.Int64 // How often the queue was told of messages.
}

// change is a change of the configuration.
type change func(*config.Static, *config.Dynamic)

// newEnv opens the databases. It must be called in a bubble of synctest.
func newEnv(t *testing.T, changes ...change) *env {
	t.Helper()
	e := &env{T: t, dir: t.TempDir(), zone: &zone{txt: map[string]string{}, a: map[string]string{}, faults: map[string]error{}}}
	_, key, err := ed25519.GenerateKey(nil)
	e.check(err)
	data, err := dkim.FormatPrivateKey(key)
	e.check(err)
	file := filepath.Join(e.dir, "key.pem")
	e.check(os.WriteFile(file, data, 0600))
	rec, err := dkim.NewRecord(key.Public())
	e.check(err)
	e.zone.txt["sel._domainkey.example.org"] = rec.String()

	st := config.Static{
		DataDir: e.dir, LogLevel: "error", Hostname: "mx.example.org",
		Listeners:  map[string]config.ListenerFields{"public": {IPs: []string{"203.0.113.1", "10.0.0.1", "127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "boss", Mailbox: "Postmaster"},
	}
	l := st.Listeners["public"]
	l.SMTP.Enabled, l.SMTP.NoSTARTTLS = true, true
	st.Listeners["public"] = l
	dyn := config.Dynamic{
		Domains: map[string]config.DomainFields{"example.org": {DKIM: &config.DKIMFields{
			Selectors: map[string]config.SelectorFields{"sel": {PrivateKeyFile: file}}, Sign: []string{"sel"},
		}}},
		Accounts: map[string]config.AccountFields{"boss": {Domain: "example.org"}},
	}
	for _, c := range changes {
		c(&st, &dyn)
	}
	snap, err := config.New(st, dyn)
	e.check(err)
	e.conf = config.NewHolder(snap)

	e.evals, err = dmarcdb.Open(t.Context(), dmarcdb.Options{Dir: e.dir})
	e.check(err)
	e.tls, err = tlsrptdb.OpenResults(t.Context(), tlsrptdb.ResultsOptions{Dir: e.dir})
	e.check(err)
	e.queue, err = queuedb.Open(t.Context(), queuedb.Options{Dir: e.dir, Log: mlog.Discard()})
	e.check(err)
	t.Cleanup(func() {
		for _, c := range []io.Closer{e.evals, e.tls, e.queue} {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	s := submit.New(submit.Options{Config: e.conf, Queue: e.queue, Kick: func() { e.kicks.Add(1) }})
	e.opts = Options{Config: e.conf, Resolver: e.zone, Evaluations: e.evals, TLS: e.tls, Queue: s, Sign: s, TempDir: e.dir}
	return e
}

func (e *env) check(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// run runs a new sender until the returned function is called.
func (e *env) run() (stop func()) {
	return runIt(e.T, New(e.opts).Run)
}

func runIt(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// runFor runs a new sender for a time, and returns what was queued since the start of
// the test.
func (e *env) runFor(d time.Duration) []queued {
	e.Helper()
	stop := e.run()
	time.Sleep(d)
	synctest.Wait()
	stop()
	return e.queued()
}

// queued is a message in the queue.
type queued struct {
	queuedb.Message
	base queuedb.Base
	text string
}

// queued returns what is in the queue, in order.
func (e *env) queued() []queued {
	e.Helper()
	l, err := e.queue.List(e.Context(), queuedb.Filter{}, queuedb.Page{})
	e.check(err)
	var r []queued
	for _, m := range l {
		_, base, err := e.queue.Get(e.Context(), m.ID)
		e.check(err)
		c, err := e.queue.OpenContent(base)
		e.check(err)
		text, err := io.ReadAll(c)
		e.check(err)
		e.check(c.Close())
		r = append(r, queued{m, base, string(text)})
	}
	return r
}

// to returns the recipients of messages, sorted by when they were queued.
func to(l []queued) string {
	var s []string
	for _, m := range l {
		s = append(s, m.RecipientLocalpart+"@"+m.RecipientDomain)
	}
	return strings.Join(s, " ")
}

// evaluation returns one about a message from an address.
func evaluation(domain, ip string, at time.Time) dmarcdb.Evaluation {
	return dmarcdb.Evaluation{
		Last:          at,
		IntervalHours: 24,
		RUA:           []string{"mailto:old@" + domain},
		Published:     report.Policy{Domain: domain, Policy: dmarc.PolicyReject, ADKIM: dmarc.ModeRelaxed, ASPF: dmarc.ModeRelaxed, Discovery: report.DiscoveryTreewalk},
		Record: report.Record{
			SourceIP: netip.MustParseAddr(ip), Count: 1, Disposition: report.DispositionPass, AlignedDKIM: true,
			HeaderFrom: domain, EnvelopeFrom: "b." + domain, EnvelopeTo: "example.org",
			DKIM: []report.DKIMResult{{Domain: domain, Selector: "s", Result: dkim.StatusPass}},
			SPF:  []report.SPFResult{{Domain: "b." + domain, Scope: report.ScopeMailFrom, Result: "fail"}},
		},
	}
}

// evaluate adds evaluations.
func (e *env) evaluate(l ...dmarcdb.Evaluation) {
	e.Helper()
	for _, ev := range l {
		e.check(e.evals.AddEvaluation(ev))
	}
	e.check(e.evals.Flush(e.Context()))
}

// left returns how many evaluations there are for a domain.
func (e *env) left(domain string) int {
	e.Helper()
	l, err := e.evals.Evaluations(e.Context(), domain, time.Unix(0, 0), time.Now().Add(time.Hour))
	e.check(err)
	return len(l)
}

// wants makes a domain ask for DMARC reports.
func (e *env) wants(domain string, addresses ...string) {
	e.zone.txt["_dmarc."+domain] = "v=DMARC1; p=reject; rua=mailto:" + strings.Join(addresses, ",mailto:")
}

// verified checks that a message has a good signature of example.org, and that it has
// fields.
func (e *env) verified(m queued, fields ...string) {
	e.Helper()
	l, err := dkim.Verify(e.Context(), nil, e.zone, strings.NewReader(m.text), int64(len(m.text)), dkim.VerifyOptions{})
	e.check(err)
	if len(l) != 1 || l[0].Status != dkim.StatusPass || l[0].Signature.Domain.ASCII != "example.org" {
		e.Errorf("signatures %+v", l)
		return
	}
	for _, f := range fields {
		found := false
		for _, name := range l[0].Signature.SignedHeaders {
			found = found || strings.EqualFold(name, f)
		}
		if !found {
			e.Errorf("%s is not signed: %v", f, l[0].Signature.SignedHeaders)
		}
	}
}

func parseDomain(t testing.TB, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func parseReport(t testing.TB, m queued) *report.Feedback {
	t.Helper()
	f, err := report.ParseMessage(bytes.NewReader([]byte(m.text)), int64(len(m.text)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}
