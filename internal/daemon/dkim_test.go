package daemon

import (
	"context"
	"crypto/ed25519"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/dkim"
	"mox/dns"
)

// oneKey knows one TXT record.
type oneKey struct {
	dns.Resolver // Nil: no other lookups.

	name, txt string
}

func (r oneKey) LookupTXT(_ context.Context, name string) ([]string, dns.Result, error) {
	if name != r.name {
		return nil, dns.Result{}, dns.ErrNotFound
	}
	return []string{r.txt}, dns.Result{}, nil
}

// From submission through the queue and delivery into a mailbox, a signature holds.
func TestSubmittedMessageArrivesWithAGoodSignature(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := config.NewSelector(dir, "sel", dns.Domain{ASCII: "localhost"}, key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	change(t, filepath.Join(dir, config.DynamicName), "\tlocalhost:\n",
		"\tlocalhost:\n\t\tDKIM:\n\t\t\tSelectors:\n\t\t\t\tsel:\n\t\t\t\t\tPrivateKeyFile: "+f.PrivateKeyFile+"\n\t\t\tSign:\n\t\t\t\t- sel\n")
	d := start(t, dir)
	c := d.imap(t)
	if err := c.PrintfLine("i idle"); err != nil {
		t.Fatal(err)
	}
	d.submit(t, LocalserveAddress)
	for {
		line, err := c.ReadLine()
		if err != nil {
			t.Fatalf("waiting for message: %v", err)
		}
		if line == "* 1 EXISTS" {
			break
		}
	}
	got := command(t, d.imap(t), "fetch 1 body.peek[]")
	_, got, _ = strings.Cut(got, "}\n")
	got = strings.ReplaceAll(got[:strings.LastIndex(got, ")")], "\n", "\r\n")
	rec, err := dkim.NewRecord(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	l, err := dkim.Verify(t.Context(), nil, oneKey{name: "sel._domainkey.localhost.", txt: rec.String()}, strings.NewReader(got), int64(len(got)),
		dkim.VerifyOptions{IsPublicSuffix: func(dns.Domain) bool { return false }})
	if err != nil || len(l) != 1 || l[0].Status != dkim.StatusPass {
		t.Errorf("got %+v, %v for\n%s", l, err, got)
	}
}
