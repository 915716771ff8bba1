package transport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/dns"
	"mox/internal/testkit"
	"mox/mtasts"
	"mox/queue"
	"mox/queue/queuedb"
	"mox/smtp"
	"mox/tlsrpt"
)

// A world is a transport with what is around it.
type world struct {
	t       testing.TB
	ca      *testkit.CA
	dns     *testkit.DNSServer
	pool    *Pool
	memory  TLSMemory
	results *results
	policy  *policies
	direct  *Direct
	lastID  int64
}

// newWorld makes a world with a zone. Edit may change the options.
func newWorld(t testing.TB, zone testkit.DNSOptions, edit func(o *DirectOptions)) *world {
	t.Helper()
	w := &world{t: t, ca: testkit.NewCA(t), memory: NewTLSMemory(), results: &results{}, policy: &policies{}}
	w.dns = testkit.NewDNS(t, zone)
	w.pool = newPool(t, PoolOptions{})
	o := DirectOptions{
		Network:    network(t, w.dns, w.pool),
		Port:       testPort(),
		Policies:   w.policy,
		TLSMemory:  w.memory,
		TLSResults: w.results,
	}
	o.TLS = &tls.Config{RootCAs: w.ca.Pool()}
	if edit != nil {
		edit(&o)
	}
	w.direct = NewDirect(o)
	return w
}

func newPool(t testing.TB, opts PoolOptions) *Pool {
	p := NewPool(opts)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Errorf("closing pool: %v", err)
		}
	})
	return p
}

func network(t testing.TB, server *testkit.DNSServer, pool *Pool) Network {
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{server.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	return Network{
		Hostname: newHostname(t),
		Resolver: r,
		Pool:     pool,
	}
}

func newHostname(t testing.TB) dns.IPDomain { return dns.IPDomain{Domain: domain(t, "sender.example")} }

func domain(t testing.TB, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomainLax(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// content is a message.
type content struct{ *bytes.Reader }

func newContent(s string) content { return content{bytes.NewReader([]byte(s))} }

const testMessage = "From: <me@sender.example>\r\nSubject: test\r\n\r\n.hello\r\n"

// delivery is for a message to recipients of one domain.
func (w *world) delivery(rcpts ...string) queue.Delivery {
	w.lastID++
	d := queue.Delivery{Base: queuedb.Base{ID: w.lastID, Size: int64(len(testMessage))}, Content: newContent(testMessage)}
	for i, r := range rcpts {
		p, err := smtp.ParseMailbox(r, smtp.Lenient)
		if err != nil {
			w.t.Fatal(err)
		}
		d.Messages = append(d.Messages, queuedb.Message{
			ID: int64(i + 1), ContentID: d.Base.ID, Attempts: 1,
			SenderLocalpart: "me", SenderDomain: "sender.example",
			RecipientLocalpart: string(p.Localpart), RecipientDomain: smtp.FormatDomain(p.IPDomain, false),
		})
	}
	return d
}

// deliver delivers, and returns results in short: "250" or the code or "error" for
// each, with "!" if it is permanent.
func (w *world) deliver(d queue.Delivery) (string, []queue.Result) {
	w.t.Helper()
	return deliverBy(w.t, w.direct, d)
}

func deliverBy(t testing.TB, tr queue.Transport, d queue.Delivery) (string, []queue.Result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l := tr.Deliver(ctx, d)
	if len(l) != len(d.Messages) {
		t.Fatalf("%d results for %d messages", len(l), len(d.Messages))
	}
	if t.Failed() {
		return short(l), l
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, r := range l {
				t.Logf("result: %v; host %s %s, tls %s, code %d %s %q", r.Err, r.Host, r.IP, r.TLS, r.Code, r.Enhanced, r.Text)
			}
			t.Logf("transcript:\n%s", strings.Join(l[0].Transcript, "\n"))
		}
	})
	return short(l), l
}

func short(results []queue.Result) string {
	var l []string
	for _, r := range results {
		e := smtp.AsError(r.Err)
		switch {
		case r.Err == nil:
			l = append(l, fmt.Sprint(r.Code))
		case e == nil:
			l = append(l, "error")
		case e.Permanent():
			l = append(l, fmt.Sprintf("%d %s!", e.Code, e.Enhanced))
		default:
			l = append(l, fmt.Sprintf("%d %s", e.Code, e.Enhanced))
		}
	}
	return strings.Join(l, ", ")
}

// want delivers to a recipient and checks the result in short.
func (w *world) want(want string, d queue.Delivery) queue.Result {
	w.t.Helper()
	got, l := w.deliver(d)
	if got != want {
		w.t.Errorf("got %s, want %s", got, want)
	}
	return l[0]
}

// cert returns a TLS configuration of a server for names.
func (w *world) cert(names ...string) *tls.Config { return w.ca.ServerConfig(w.t, names...) }

// tlsa returns the TLSA record "3 1 1" for the certificate in config at a host.
func tlsa(host string, config *tls.Config) string {
	sum := sha256.Sum256(config.Certificates[0].Leaf.RawSubjectPublicKeyInfo)
	return fmt.Sprintf("_%d._tcp.%s TLSA 3 1 1 %s\n", testPort(), host, hex.EncodeToString(sum[:]))
}

// results collects TLS results in short.
type results struct {
	mu  sync.Mutex
	all []TLSResult
}

func (r *results) AddTLSResults(_ context.Context, _ queue.Delivery, l []TLSResult) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, l...)
}

// take returns the results so far and forgets them: one line for each, such as "sts
// one.example +1" or "tlsa mx.one.example -1 validation-failure dane-no-match".
func (r *results) take() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, tr := range r.all {
		s := fmt.Sprintf("%s %s", tr.Result.Policy.Type, tr.PolicyDomain)
		if tr.Result.Successes > 0 {
			s += fmt.Sprintf(" +%d", tr.Result.Successes)
		}
		if tr.Result.Failures > 0 {
			s += fmt.Sprintf(" -%d", tr.Result.Failures)
		}
		for _, d := range tr.Result.FailureDetails {
			s += strings.TrimRight(fmt.Sprintf(" %s %s", d.ResultType, d.FailureReasonCode), " ")
		}
		lines = append(lines, s)
	}
	r.all = nil
	return strings.Join(lines, "\n")
}

func (r *results) details() []tlsrpt.FailureDetail {
	r.mu.Lock()
	defer r.mu.Unlock()
	var l []tlsrpt.FailureDetail
	for _, tr := range r.all {
		l = append(l, tr.Result.FailureDetails...)
	}
	return l
}

// policies has the policies of domains.
type policies struct {
	mu      sync.Mutex
	byName  map[string]string
	problem error
	err     error
}

var errPolicies = errors.New("database of policies is broken")

func (p *policies) set(domain, mode string, mx ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := "version: STSv1\r\nmode: " + mode + "\r\nmax_age: 86400\r\n"
	for _, m := range mx {
		text += "mx: " + m + "\r\n"
	}
	if p.byName == nil {
		p.byName = map[string]string{}
	}
	p.byName[domain] = text
}

func (p *policies) Get(_ context.Context, domain dns.Domain) (*mtasts.Policy, error, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text, ok := p.byName[domain.ASCII]
	if p.err != nil || !ok {
		return nil, p.problem, p.err
	}
	policy, err := mtasts.ParsePolicy(text)
	return &policy, p.problem, err
}

func ptr[T any](v T) *T { return &v }
