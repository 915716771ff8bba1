package submit

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mox/config"
	"mox/dkim"
	"mox/dns"
	"mox/internal/testkit"
	"mox/queue/queuedb"
	"mox/smtp"
)

// keyZone knows the key records of selectors.
type keyZone struct {
	dns.Resolver // Nil: no other lookups.

	txt map[string]string
}

func (z keyZone) LookupTXT(_ context.Context, name string) ([]string, dns.Result, error) {
	if txt, ok := z.txt[name]; ok {
		return []string{txt}, dns.Result{}, nil
	}
	return nil, dns.Result{}, dns.ErrNotFound
}

// signEnv is testEnv with keys for domains, each with an RSA and an Ed25519 selector.
func signEnv(t testing.TB, domains ...string) (*env, keyZone) {
	t.Helper()
	e := testEnv(t, false, nil)
	conf := e.s.opts.Config.Snapshot()
	dyn := conf.Dynamic
	z := keyZone{txt: map[string]string{}}
	dir := t.TempDir()
	for _, name := range domains {
		f := dyn.Domains[name]
		f.DKIM = &config.DKIMFields{Selectors: map[string]config.SelectorFields{}, Sign: []string{"rsa", "ed"}}
		rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
		tcheck(t, err)
		_, edKey, err := ed25519.GenerateKey(rand.Reader)
		tcheck(t, err)
		d, err := dns.ParseDomain(name)
		tcheck(t, err)
		for sel, key := range map[string]crypto.Signer{"rsa": rsaKey, "ed": edKey} {
			data, err := dkim.FormatPrivateKey(key)
			tcheck(t, err)
			file := filepath.Join(dir, sel+"."+name+".pem")
			tcheck(t, os.WriteFile(file, data, 0600))
			f.DKIM.Selectors[sel] = config.SelectorFields{PrivateKeyFile: file}
			r, err := dkim.NewRecord(key.Public())
			tcheck(t, err)
			z.txt[sel+"._domainkey."+d.ASCII+"."] = r.String()
		}
		dyn.Domains[name] = f
	}
	snap, err := config.New(conf.Static, dyn)
	tcheck(t, err)
	e.s = New(Options{Config: config.NewHolder(snap), Store: e.st, Queue: e})
	return e, z
}

// results verifies a message and describes the results.
func (z keyZone) results(t testing.TB, text string) string {
	t.Helper()
	l, err := dkim.Verify(t.Context(), nil, z, strings.NewReader(text), int64(len(text)), dkim.VerifyOptions{})
	tcheck(t, err)
	var s []string
	for _, r := range l {
		d := "?"
		if r.Signature != nil {
			d = r.Signature.Domain.ASCII
		}
		s = append(s, string(r.Status)+":"+d)
	}
	return strings.Join(s, " ")
}

// identityTag matches a tag "i" of a signature, which folded base64 cannot look like: it has no ";".
var identityTag = regexp.MustCompile(`;\s*i\s*=`)

func TestMessagesAreSignedWithAllSelectorsOfTheFromDomain(t *testing.T) {
	t.Parallel()
	e, z := signEnv(t, "example.org")
	for name, text := range map[string]string{
		"complete":       goodHeader + "\r\nbody \t text\r\n\r\n\r\n",
		"without fields": "From: ann+variant@example.org\r\n\r\nbody\r\n", // Date and Message-Id are added, and signed.
		"signed before":  "DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=rsa; h=from; bh=eA==; b=eA==\r\n" + goodHeader + "\r\nbody\r\n",
		"8-bit":          "From: \xc3\xbc@example.org\r\nSubject: \xc3\xa9\r\n\r\nb\xc3\xa9\r\n",
		"empty body":     goodHeader + "\r\n",
		"large":          goodHeader + "\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 20000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res, err := e.s.Submit(ctxbg, submission(t, text, "b@one.example"))
			tcheck(t, err)
			_, got := e.content(t, res.Messages[0])
			if r := z.results(t, got); !strings.HasPrefix(r, "pass:example.org pass:example.org") {
				t.Errorf("got %s for %.1000s", r, got)
			}
			if !strings.HasPrefix(got, "DKIM-Signature:") || strings.Index(got, "Received: x\r\n") > strings.Index(got, text) || !strings.HasSuffix(got, text) {
				t.Errorf("order of %.1500s", got)
			}
			sigs, _, _ := strings.Cut(got, "Received: x\r\n")
			if identityTag.MatchString(sigs) || strings.Contains(sigs, "ann@") || strings.Contains(sigs, "ann+") {
				t.Errorf("signature has an identity: %s", sigs)
			}
			changed := strings.Replace(got, "\r\nFrom: ", "\r\nFrom: x@elsewhere.example\r\nFrom: ", 1)
			if r := z.results(t, changed); strings.Contains(r, "pass") {
				t.Errorf("with another From field: %s", r)
			}
		})
	}
}

func TestMessageOfADomainWithoutKeysIsNotSigned(t *testing.T) {
	t.Parallel()
	e, _ := signEnv(t)
	res, err := e.s.Submit(ctxbg, submission(t, goodHeader+"\r\nbody\r\n", "b@one.example"))
	tcheck(t, err)
	if _, got := e.content(t, res.Messages[0]); strings.Contains(got, "DKIM-Signature") {
		t.Errorf("got %s", got)
	}
}

func TestNotificationIsSignedByTheClosestDomainAboveTheHostname(t *testing.T) {
	t.Parallel()
	e, z := signEnv(t, "example.org") // The hostname is mx.example.org.
	sub := submission(t, goodHeader+"\r\nbody\r\n")
	tcheck(t, e.s.NotifyDelivered(ctxbg, Delivered{
		Mail:       smtp.MailCommand{ReversePath: path(t, "sender@elsewhere.example")},
		Recipients: []DeliveredRecipient{{RcptCommand: smtp.RcptCommand{ForwardPath: path(t, "ann@example.org")}}},
		Spool:      sub.Spool,
	}))
	l, err := e.db.List(ctxbg, queuedb.Filter{}, queuedb.Page{})
	tcheck(t, err)
	_, got := e.content(t, l[0])
	if r := z.results(t, got); r != "pass:example.org pass:example.org" {
		t.Errorf("got %s for %s", r, got)
	}
}

func TestFurtherFieldsOfReportsAreSigned(t *testing.T) {
	t.Parallel()
	e, z := signEnv(t, "example.org")
	text := "From: postmaster@mx.example.org\r\nTo: a@one.example\r\nSubject: report\r\nTLS-Report-Domain: one.example\r\n\r\nbody\r\n"
	mx, err := dns.ParseDomain("mx.example.org")
	tcheck(t, err)
	sigs := e.s.SignSystem(ctxbg, mx, strings.NewReader(text), int64(len(text)), "TLS-Report-Domain", "TLS-Report-Submitter")
	if r := z.results(t, string(sigs)+text); r != "pass:example.org pass:example.org" {
		t.Errorf("got %s for %s", r, sigs)
	}
	if r := z.results(t, string(sigs)+strings.Replace(text, "Domain: one", "Domain: two", 1)); strings.Contains(r, "pass") {
		t.Errorf("after a change: %s", r)
	}
	other, err := dns.ParseDomain("elsewhere.example")
	tcheck(t, err)
	if sigs := e.s.SignSystem(ctxbg, other, strings.NewReader(text), int64(len(text))); sigs != nil {
		t.Errorf("domain of others: %s", sigs)
	}
}

// failingKey cannot sign.
type failingKey struct{ crypto.Signer }

func (failingKey) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("no signature today")
}

// It counts, so it runs alone.
func TestMessageThatCannotBeSignedGoesOut(t *testing.T) {
	e, z := signEnv(t, "example.org")
	signed, failed := testkit.Metric(t, `mox_dkim_sign_total{key="ed25519"}`), testkit.Metric(t, "mox_dkim_sign_errors_total")
	org, err := dns.ParseDomain("example.org")
	tcheck(t, err)
	d, _ := e.s.opts.Config.Snapshot().Domain(org)
	d.Sign[1].Key = failingKey{d.Sign[1].Key}
	res, err := e.s.Submit(ctxbg, submission(t, goodHeader+"\r\nbody\r\n", "b@one.example"))
	tcheck(t, err)
	if _, got := e.content(t, res.Messages[0]); strings.Contains(got, "DKIM-Signature") {
		t.Errorf("got %s", got)
	}
	if v := testkit.Metric(t, "mox_dkim_sign_errors_total"); v == failed {
		t.Errorf("errors not counted: %v", v)
	}
	d.Sign[1].Key = d.Sign[1].Key.(failingKey).Signer
	res, err = e.s.Submit(ctxbg, submission(t, goodHeader+"\r\nbody\r\n", "b@one.example"))
	tcheck(t, err)
	if _, got := e.content(t, res.Messages[0]); z.results(t, got) != "pass:example.org pass:example.org" {
		t.Errorf("got %s", got)
	}
	if v := testkit.Metric(t, `mox_dkim_sign_total{key="ed25519"}`); v == signed {
		t.Errorf("signatures not counted: %v", v)
	}
}

// The body is read for both signatures at once, in pieces.
func TestBodyIsReadOnceForAllSelectors(t *testing.T) {
	t.Parallel()
	e, _ := signEnv(t, "example.org")
	org, err := dns.ParseDomain("example.org")
	tcheck(t, err)
	text := "From: postmaster@example.org\r\nSubject: s\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 100000)
	r := &countingReader{r: strings.NewReader(text)}
	if sigs := e.s.SignSystem(ctxbg, org, r, int64(len(text))); bytes.Count(sigs, []byte("DKIM-Signature:")) != 2 {
		t.Fatalf("got %s", sigs)
	}
	if r.n > len(text)+1<<20 || r.max > 1<<20 {
		t.Errorf("%d bytes read of %d, at most %d at once", r.n, len(text), r.max)
	}
}

type countingReader struct {
	r      io.ReaderAt
	n, max int
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.n += n
	c.max = max(c.max, n)
	return n, err
}

func TestPrefixAndMessageAreReadAsOne(t *testing.T) {
	t.Parallel()
	want := "prefix message\r\n"
	p := prefixed{[]byte("prefix "), testkit.Spool(t, t.TempDir(), "message\r\n")}
	for off := range len(want) {
		for n := 1; n <= len(want)-off; n++ {
			b := make([]byte, n)
			if m, err := p.ReadAt(b, int64(off)); m != n || err != nil && !errors.Is(err, io.EOF) || string(b) != want[off:off+n] {
				t.Fatalf("at %d, %d bytes: got %q, %d, %v", off, n, b, m, err)
			}
		}
	}
	b := make([]byte, 100)
	if n, err := p.ReadAt(b, 5); n != len(want)-5 || !errors.Is(err, io.EOF) {
		t.Errorf("beyond the end: %d, %v", n, err)
	}
	if _, err := p.ReadAt(b, -1); err == nil {
		t.Errorf("negative offset: no error")
	}
}

// dkimpy verifies signatures of a message that it reads as JSON with key records.
const dkimpy = `
import sys, json, dkim
data = json.load(sys.stdin)
def dnsfunc(name, timeout=5):
    txt = data["txt"].get(name.decode())
    return txt.encode() if txt is not None else None
d = dkim.DKIM(data["msg"].encode())
print([d.verify(idx=i, dnsfunc=dnsfunc) for i in range(2)])
`

func TestDkimpyVerifiesSubmittedMessages(t *testing.T) {
	t.Parallel()
	python := testkit.Python(t, "dkim", "nacl")
	e, z := signEnv(t, "example.org")
	res, err := e.s.Submit(ctxbg, submission(t, "From: ann@example.org\r\nTo: b@one.example,\r\n\tc@one.example\r\nSubject: a \t b\r\n\r\n body \t text\r\n\r\n", "b@one.example"))
	tcheck(t, err)
	_, text := e.content(t, res.Messages[0])
	in, err := json.Marshal(map[string]any{"txt": z.txt, "msg": text})
	tcheck(t, err)
	cmd := exec.CommandContext(t.Context(), python, "-c", dkimpy)
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "[True, True]" {
		t.Errorf("dkimpy: %v: %s for %s", err, out, text)
	}
}

func BenchmarkSignWithTwoKeys(b *testing.B) {
	e, _ := signEnv(b, "example.org")
	org, err := dns.ParseDomain("example.org")
	tcheck(b, err)
	text := "From: postmaster@example.org\r\nSubject: s\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 150)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if sigs := e.s.SignSystem(ctxbg, org, strings.NewReader(text), int64(len(text))); sigs == nil {
			b.Fatal("not signed")
		}
	}
}
