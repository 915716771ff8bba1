package dkim_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"

	"mox/dkim"
	"mox/dns"
)

// keyResolver answers each lookup of a TXT record with the same one. A program uses a
// dns.StrictResolver.
type keyResolver struct {
	dns.Resolver
	txt string
}

func (r keyResolver) LookupTXT(context.Context, string) ([]string, dns.Result, error) {
	return []string{r.txt}, dns.Result{Authentic: true}, nil
}

func Example() {
	const msg = "From: a@example.org\r\nSubject: hello\r\n\r\ntext\r\n"
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) // From ParsePrivateKey.
	record, err := dkim.NewRecord(key.Public())
	if err != nil {
		fmt.Println(err)
		return
	}
	domain, selector := dns.Domain{ASCII: "example.org"}, dns.Domain{ASCII: "2026a"}
	fields, err := dkim.Sign(strings.NewReader(msg), int64(len(msg)), domain, []dkim.Selector{{Name: selector, Key: key}}, dkim.SignOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	signed := fields + msg
	results, err := dkim.Verify(context.Background(), nil, keyResolver{txt: record.String()}, strings.NewReader(signed), int64(len(signed)), dkim.VerifyOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, r := range results {
		fmt.Println(r.Status, r.Signature.Domain, r.Signature.Algorithm, r.RecordAuthentic)
	}
	// Output: pass example.org ed25519-sha256 true
}
