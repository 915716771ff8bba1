package arc

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"strings"
	"sync"
	"testing"

	"mox/dkim"
	"mox/dns"
	"mox/message/trace"
)

// txtResolver answers lookups of TXT records from a map by name, with a trailing
// dot.
type txtResolver struct {
	dns.Resolver // Nil: no other lookups.

	txt       map[string]string
	err       error
	mu        sync.Mutex
	questions []string
}

func (r *txtResolver) LookupTXT(ctx context.Context, name string) ([]string, dns.Result, error) {
	r.mu.Lock()
	r.questions = append(r.questions, name)
	r.mu.Unlock()
	if r.err != nil {
		return nil, dns.Result{}, r.err
	}
	if txt, ok := r.txt[name]; ok {
		return []string{txt}, dns.Result{Authentic: true}, nil
	}
	return nil, dns.Result{}, fmt.Errorf("%w: %s", dns.ErrNotFound, name)
}

var keys = sync.OnceValue(func() []dkim.Selector {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	_, e, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	return []dkim.Selector{{Name: dns.Domain{ASCII: "rsa"}, Key: r}, {Name: dns.Domain{ASCII: "ed"}, Key: e}}
})

func rsaSelector() dkim.Selector     { return keys()[0] }
func ed25519Selector() dkim.Selector { return keys()[1] }

// domainOf returns the domain that seals an instance.
func domainOf(instance int) dns.Domain {
	return dns.Domain{ASCII: fmt.Sprintf("s%d.example", instance)}
}

// zone has the keys of all domains.
func zone(t testing.TB) *txtResolver {
	t.Helper()
	z := &txtResolver{txt: map[string]string{}}
	for _, s := range keys() {
		r, err := dkim.NewRecord(s.Key.Public())
		if err != nil {
			t.Fatal(err)
		}
		for i := range MaxSets + 1 {
			z.txt[s.Name.ASCII+"._domainkey."+domainOf(i).ASCII+"."] = r.String()
		}
	}
	return z
}

func verify(t testing.TB, msg string) Result {
	t.Helper()
	r, err := Verify(t.Context(), nil, zone(t), strings.NewReader(msg), int64(len(msg)), VerifyOptions{})
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return r
}

func results(instance int) trace.AuthResults {
	return trace.AuthResults{AuthservID: domainOf(instance).ASCII, Results: []trace.Result{
		{Method: "spf", Result: "pass", Props: []trace.Prop{{Type: "smtp", Property: "mailfrom", Value: "a@example.org"}}},
	}}
}

func seal(t testing.TB, msg string, sel dkim.Selector, chain Result) string {
	t.Helper()
	n := len(chain.Sets) + 1
	h, err := Seal(strings.NewReader(msg), int64(len(msg)), domainOf(n), sel, results(n), chain, SealOptions{})
	if err != nil {
		t.Fatalf("seal: %v", err)
	}
	return h
}

const unsealed = "From: a@example.org\r\nTo: b@example.org\r\nSubject: c\r\n\r\nd\r\n"

// chain returns a message with a chain of n sets. Each second server adds a line to
// the subject, so that earlier message signatures do not verify any more if change
// is set.
func chain(t testing.TB, n int, change bool) string {
	t.Helper()
	msg := unsealed
	for i := range n {
		r := verify(t, msg)
		if i > 0 && r.Status != StatusPass {
			t.Fatalf("after %d sets: %v", i, r.Err)
		}
		if change && i == n-1 {
			msg = strings.Replace(msg, "Subject: ", "Subject: [list] ", 1)
		}
		msg = seal(t, msg, keys()[i%2], r) + msg
	}
	return msg
}
