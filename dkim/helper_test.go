package dkim

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"

	"mox/dns"
)

// txtResolver answers lookups of TXT records from a map by name, with a trailing
// dot. It counts lookups.
type txtResolver struct {
	dns.Resolver // Nil: no other lookups.

	txt       map[string][]string
	err       map[string]error
	insecure  bool
	before    func(name string) // Called before each answer.
	mu        sync.Mutex
	questions []string
}

func (r *txtResolver) LookupTXT(ctx context.Context, name string) ([]string, dns.Result, error) {
	r.mu.Lock()
	r.questions = append(r.questions, name)
	r.mu.Unlock()
	if r.before != nil {
		r.before(name)
	}
	res := dns.Result{Authentic: !r.insecure}
	if err := ctx.Err(); err != nil {
		return nil, dns.Result{}, err
	}
	if err := r.err[name]; err != nil {
		return nil, res, err
	}
	l := r.txt[name]
	if l == nil {
		return nil, res, fmt.Errorf("%w: %s", dns.ErrNotFound, name)
	}
	return l, res, nil
}

// withKeys returns a resolver that knows the keys of selectors for a domain.
func withKeys(t testing.TB, domain string, selectors ...Selector) *txtResolver {
	t.Helper()
	r := &txtResolver{txt: map[string][]string{}}
	for _, s := range selectors {
		rec, err := NewRecord(s.Key.Public())
		if err != nil {
			t.Fatal(err)
		}
		r.txt[s.Name.ASCII+"._domainkey."+domain+"."] = []string{rec.String()}
	}
	return r
}

// Keys of RFC 8463 §A.1. The RSA key has 1024 bits; the Ed25519 key is that of
// RFC 8032 §7.1, test 1.
const (
	rfc8463RSA = "MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi" +
		"Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM" +
		"KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB" +
		"AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm" +
		"6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe" +
		"zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy" +
		"6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc" +
		"uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy" +
		"WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd" +
		"WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a" +
		"licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst" +
		"o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe" +
		"uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL"
	rfc8463Ed25519 = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
)

func unbase64(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	k, err := x509.ParsePKCS1PrivateKey(unbase64(t, rfc8463RSA))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func ed25519Key(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	return ed25519.NewKeyFromSeed(unbase64(t, rfc8463Ed25519))
}

func mustDomain(t testing.TB, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomainLax(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustSelector(t testing.TB, s string, key crypto.Signer) Selector {
	t.Helper()
	d, err := ParseSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return Selector{Name: d, Key: key}
}

// verifyText verifies a message. Bare line feeds are made CRLF.
func verifyText(t testing.TB, resolver dns.Resolver, msg string, opts VerifyOptions) []Result {
	t.Helper()
	msg = crlf(msg)
	l, err := Verify(t.Context(), nil, resolver, strings.NewReader(msg), int64(len(msg)), opts)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return l
}

// statuses returns the statuses of results, separated by spaces.
func statuses(l []Result) string {
	var s []string
	for _, r := range l {
		s = append(s, string(r.Status))
	}
	return strings.Join(s, " ")
}

// errorsOf describes the errors of results.
func errorsOf(l []Result) string {
	var s []string
	for _, r := range l {
		s = append(s, fmt.Sprint(r.Err))
	}
	return strings.Join(s, "\n")
}

func crlf(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n")
}
