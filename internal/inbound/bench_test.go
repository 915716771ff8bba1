package inbound

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/dkim"
	"mox/dns"
	"mox/internal/testkit"
	"mox/junk"
	"mox/message"
	"mox/mlog"
	"mox/smtp"
	"mox/store"
)

// benchJunk is a Classifier with one filter.
type benchJunk struct{ *junk.Filter }

func (j benchJunk) Classify(ctx context.Context, _ string, t *junk.Tokens) (junk.Verdict, bool, error) {
	v, err := j.Filter.Classify(ctx, t)
	return v, true, err
}

// benchBody returns text of about n octets, of 20,000 words.
func benchBody(n int, seed uint32) string {
	var b strings.Builder
	for x := seed | 1; b.Len() < n; x = x*1664525 + 1013904223 {
		fmt.Fprintf(&b, "word%d ", x>>16%20_000)
		if x>>8%12 == 0 {
			b.WriteString("\r\n")
		}
	}
	return b.String() + "\r\n"
}

// benchDecider returns a decider with all that it looks at, of an account whose junk
// filter has learned a bit, and the configuration.
func benchDecider(b *testing.B, r dns.Resolver) (*Decider, *config.Snapshot) {
	b.Helper()
	dir := b.TempDir()
	snap, err := config.New(config.Static{
		DataDir:    dir,
		LogLevel:   "error",
		Hostname:   "mx.example.org",
		Listeners:  map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Postmaster"},
	}, config.Dynamic{
		Domains: map[string]config.DomainFields{"example.org": {}},
		Accounts: map[string]config.AccountFields{"ann": {
			Domain:         "example.org",
			RejectsMailbox: "Rejects",
			JunkFilter:     &config.JunkFilterFields{Threshold: config.DefaultJunkThreshold},
			Destinations:   map[string]config.DestinationFields{"ann@example.org": {}},
		}},
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Dir: dir, Log: mlog.Discard()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := st.Close(); err != nil {
			b.Error(err)
		}
	})
	acc, err := st.Ensure(ctx, "ann")
	if err != nil {
		b.Fatal(err)
	}
	acc.Release()
	filter, err := junk.Open(ctx, filepath.Join(dir, "junk"), junk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := filter.Close(); err != nil {
			b.Error(err)
		}
	})
	var lessons []junk.Lesson
	for i := range uint32(100) {
		msg := fmt.Sprintf("From: <a@h%d.example>\r\nSubject: about %d\r\n\r\n%s", i, i, benchBody(4<<10, i))
		root, err := message.Parse(strings.NewReader(msg), int64(len(msg)), message.Limits{})
		if err != nil {
			b.Fatal(err)
		}
		tokens, err := junk.Read(strings.NewReader(msg), int64(len(msg)), root)
		if err != nil {
			b.Fatal(err)
		}
		lessons = append(lessons, junk.Lesson{Tokens: tokens, Spam: i%3 == 0})
	}
	if err := filter.Apply(ctx, 1, lessons); err != nil {
		b.Fatal(err)
	}
	return New(Options{Store: st, Config: config.NewHolder(snap), Resolver: r, Junk: benchJunk{filter}}), snap
}

// BenchmarkVerdict20KB decides about a message of 20 KB with an RSA signature, from
// reading it for the first time to the verdict: SPF, DKIM, ARC, DMARC, the reverse name,
// the chain of checks with reputation, the junk filter and a blocklist. A DNS server on
// loopback answers as one would that has all in its cache. Storing the message is not
// part of it.
func BenchmarkVerdict20KB(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	rec, err := dkim.NewRecord(key.Public())
	if err != nil {
		b.Fatal(err)
	}
	srv := testkit.NewDNS(b, testkit.DNSOptions{Zone: authZone + `
s1._domainkey.signer.example TXT "` + rec.String()[:200] + `" "` + rec.String()[200:] + `"
2.0.0.127.dnsbl.example A 127.0.0.2
`})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		b.Fatal(err)
	}
	sel, err := dkim.ParseSelector("s1")
	if err != nil {
		b.Fatal(err)
	}
	domain, blocklist := dns.Domain{ASCII: "signer.example"}, dns.Domain{ASCII: "dnsbl.example"}
	from, err := smtp.ParseReversePath("<ann@signer.example>", smtp.Strict)
	if err != nil {
		b.Fatal(err)
	}
	rcpt, err := smtp.ParseForwardPath("<ann@example.org>", smtp.Strict)
	if err != nil {
		b.Fatal(err)
	}
	d, snap := benchDecider(b, r)
	to, err := snap.LookupAddress(rcpt)
	if err != nil {
		b.Fatal(err)
	}
	text := "From: Ann <ann@signer.example>\r\nTo: <ann@example.org>\r\nSubject: about something\r\nDate: Fri, 20 Nov 2026 10:00:00 +0100\r\n" +
		"Message-ID: <1@signer.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + benchBody(20<<10, 7)
	signature, err := dkim.Sign(strings.NewReader(text), int64(len(text)), domain, []dkim.Selector{{Name: sel, Key: key}}, dkim.SignOptions{})
	if err != nil {
		b.Fatal(err)
	}
	auth := NewAuthenticator(AuthenticatorOptions{Resolver: r})
	arr := Arrival{RemoteIP: netip.MustParseAddr("192.0.2.2"), EHLO: dns.IPDomain{Domain: dns.Domain{ASCII: "mail.signer.example"}}, MailFrom: from, Hostname: dns.Domain{ASCII: "mx.example.org"}}
	forged := strings.Replace(text, "about something", "about another thing", 1)
	for _, bc := range []struct {
		name, msg, ip string
		reason        string
	}{
		{"first-contact", signature + text, "192.0.2.2", ReasonNoBadSignals},
		{"forged", signature + forged, "192.0.2.9", ReasonDMARC},
	} {
		b.Run(bc.name, func(b *testing.B) {
			arr := arr
			arr.RemoteIP = netip.MustParseAddr(bc.ip)
			var took []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				begin := time.Now()
				r, size := strings.NewReader(bc.msg), int64(len(bc.msg))
				digest, err := message.NewDigest(r, size, message.Limits{})
				if err != nil {
					b.Fatal(err)
				}
				a, err := auth.Authenticate(b.Context(), arr, r, size)
				if err != nil {
					b.Fatal(err)
				}
				v := d.Decide(b.Context(), Facts{RemoteIP: arr.RemoteIP, EHLO: arr.EHLO, Exempt: true, DNSBLs: []dns.Domain{blocklist}, MailFrom: from,
					Rcpt: rcpt, Recipient: to, Digest: digest, Size: size, Message: r, Auth: a})
				took = append(took, time.Since(begin))
				if v.Reason != bc.reason {
					b.Fatalf("verdict %s: %q", v.Reason, v.Reasons)
				}
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
