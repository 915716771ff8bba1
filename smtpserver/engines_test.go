package smtpserver

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"

	"mox/config"
	"mox/dns"
	"mox/internal/deliver"
	"mox/internal/identity"
	"mox/internal/inbound"
	"mox/internal/submit"
	"mox/mlog"
	"mox/smtp"
	"mox/store"
)

// testPassword is that of all accounts in testDynamic.
const testPassword = "correct horse battery"

// users is a checker that all tests share: to make accounts takes time.
var users = sync.OnceValues(func() (*identity.Checker, error) {
	dir, err := os.MkdirTemp("", "mox-smtpserver")
	if err != nil {
		return nil, err
	}
	usersDir = dir
	snap, err := config.New(testStatic(dir), testDynamic())
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Dir: dir, Log: mlog.Discard()})
	if err != nil {
		return nil, err
	}
	checker, err := identity.New(identity.Options{
		Store:  st,
		Config: config.NewHolder(snap),
		Dir:    dir,
		Limits: config.Limits{AuthFailuresPerMinute: -1, AuthFailuresPerDay: -1},
	})
	if err != nil {
		return nil, err
	}
	for _, account := range []string{"ann", "bob", "left"} {
		if err := checker.SetPassword(ctx, account, testPassword); err != nil {
			return nil, err
		}
	}
	return checker, nil
})

var usersDir string // Set by users.

func testUsers(t testing.TB) *identity.Checker {
	t.Helper()
	c, err := users()
	if err != nil {
		t.Fatalf("making accounts: %v", err)
	}
	return c
}

// engines are in-memory stand-ins for what the server is given.
type engines struct {
	mu        sync.Mutex
	delivered []deliveredMessage
	submitted []submittedMessage
	notified  []submit.Failed
	reported  []submit.Delivered
	facts     []inbound.Facts  // Of what was delivered.
	fail      map[string]error // By recipient.
}

type deliveredMessage struct {
	rcpt, from     string
	trace, content string
}

type submittedMessage struct {
	account, from  string
	rcpts          []string
	mail           smtp.MailCommand
	dsn            []smtp.RcptCommand
	trace, content string
}

func newEngines() *engines { return &engines{fail: map[string]error{}} }

func (e *engines) Decide(_ context.Context, f inbound.Facts) inbound.Verdict {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range []smtp.Path{f.Rcpt, f.Recipient.Canonical.Path()} {
		if err := e.fail["reject "+p.XString(true)]; err != nil {
			return inbound.Verdict{Err: smtp.AsError(err), Reason: "test", KeepCopy: true, Slow: true}
		}
	}
	return inbound.Verdict{Accept: true, Reason: "test"}
}

func (e *engines) Deliver(_ context.Context, d deliver.Delivery) (deliver.Result, error) {
	content, err := io.ReadAll(d.Spool.Reader())
	if err != nil {
		return deliver.Result{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	to := d.Rcpt
	if !d.DeliveredTo.IsZero() {
		to = d.DeliveredTo
	}
	if err := e.fail[to.XString(true)]; err != nil {
		return deliver.Result{}, err
	}
	e.facts = append(e.facts, d.Facts)
	e.delivered = append(e.delivered, deliveredMessage{to.XString(true), d.MailFrom.XString(true), string(d.Trace), string(content)})
	return deliver.Result{}, nil
}

func (e *engines) Submit(_ context.Context, o submit.Submission) (submit.Result, error) {
	content, err := io.ReadAll(o.Spool.Reader())
	if err != nil {
		return submit.Result{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	m := submittedMessage{account: o.Account, from: o.Mail.ReversePath.XString(true), mail: o.Mail, dsn: o.DSN, trace: string(o.Trace), content: string(content)}
	for _, r := range o.Rcpts {
		m.rcpts = append(m.rcpts, r.XString(true))
		if err := e.fail[r.XString(true)]; err != nil {
			return submit.Result{}, err
		}
	}
	e.submitted = append(e.submitted, m)
	return submit.Result{}, nil
}

func (e *engines) NotifyFailure(_ context.Context, f submit.Failed) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.fail["notify"]; err != nil {
		return err
	}
	e.notified = append(e.notified, f)
	return nil
}

func (e *engines) NotifyDelivered(_ context.Context, d submit.Delivered) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.fail["report"]; err != nil {
		return err
	}
	e.reported = append(e.reported, d)
	return nil
}

// BounceTo takes SRS0=<word>=<local-part> at example.org for an address that was made here,
// if the word is "good".
func (e *engines) BounceTo(p smtp.Path) (smtp.Address, error) {
	l := strings.SplitN(string(p.Localpart), "=", 3)
	if len(l) != 3 || l[0] != "SRS0" || p.IPDomain.Domain.ASCII != "example.org" {
		return smtp.Address{}, submit.ErrNotRewritten
	}
	if l[1] != "good" {
		return smtp.Address{}, errors.New("wrong hash")
	}
	return smtp.Address{Localpart: smtp.Localpart(l[2]), Domain: dns.Domain{ASCII: "elsewhere.example"}}, nil
}

// Bounce notes a bounce as what was delivered.
func (e *engines) Bounce(_ context.Context, b submit.Bounced) error {
	content, err := io.ReadAll(b.Spool.Reader())
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.fail["bounce"]; err != nil {
		return err
	}
	e.delivered = append(e.delivered, deliveredMessage{"bounce:" + b.To.String(), "", string(b.Prefix), string(content)})
	return nil
}

func (e *engines) messages() []deliveredMessage {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]deliveredMessage{}, e.delivered...)
}

func (e *engines) submissions() []submittedMessage {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]submittedMessage{}, e.submitted...)
}

// zone is a resolver with records from a script. Lookups that it has nothing about
// panic, as the server must not do them.
type zone struct {
	dns.Resolver
	mx    map[string][]*net.MX
	txt   map[string][]string
	ips   map[string][]net.IP
	names map[string][]string
	fail  map[string]error
}

// parseZone reads lines "name MX host", "name A address", "name TXT text", "address PTR name" and
// "name FAIL", for a temporary failure.
func parseZone(t testing.TB, text string) zone {
	t.Helper()
	z := zone{mx: map[string][]*net.MX{}, txt: map[string][]string{}, ips: map[string][]net.IP{}, names: map[string][]string{}, fail: map[string]error{}}
	for line := range strings.Lines(text) {
		f := append(strings.Fields(line), "")
		switch name := f[0]; f[1] {
		case "MX":
			z.mx[name] = append(z.mx[name], &net.MX{Host: f[2]})
		case "TXT":
			z.txt[name] = append(z.txt[name], strings.Join(f[2:len(f)-1], " "))
		case "A":
			z.ips[name] = append(z.ips[name], net.ParseIP(f[2]))
		case "PTR":
			z.names[name] = append(z.names[name], f[2])
		case "FAIL":
			z.fail[name] = dns.ErrTemporary
		default:
			t.Fatalf("malformed line of zone: %q", line)
		}
	}
	return z
}

func (z zone) LookupMX(_ context.Context, name string) ([]*net.MX, dns.Result, error) {
	return answer(z, z.mx, name)
}

func (z zone) LookupTXT(_ context.Context, name string) ([]string, dns.Result, error) {
	return answer(z, z.txt, name)
}

func (z zone) LookupIP(_ context.Context, _, name string) ([]net.IP, dns.Result, error) {
	return answer(z, z.ips, name)
}

func (z zone) LookupAddr(_ context.Context, ip net.IP) ([]string, dns.Result, error) {
	return answer(z, z.names, ip.String())
}

func answer[T any](z zone, records map[string][]T, name string) ([]T, dns.Result, error) {
	name = strings.TrimSuffix(name, ".")
	if err := z.fail[name]; err != nil {
		return nil, dns.Result{}, err
	}
	if l := records[name]; len(l) > 0 {
		return l, dns.Result{}, nil
	}
	return nil, dns.Result{}, dns.ErrNotFound
}
