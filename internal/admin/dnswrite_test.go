package admin

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/testkit"
)

const zoneKey = "bW94IHRlc3RzIHVwZGF0ZSB0aGVpciB6b25lcyEhISE="

const knotConf = `server:
    listen: [ "127.0.0.1@%[2]s" ]
    rundir: "%[1]s"
database:
    storage: "%[1]s"
log:
  - target: stdout
    any: info
key:
  - id: updates
    algorithm: hmac-sha256
    secret: ` + zoneKey + `
acl:
  - id: updates
    key: updates
    action: [update, transfer]
zone:
  - domain: "example.org"
    storage: "%[1]s"
    file: zone
    acl: updates
`

// knotZone has records that are not ours beside some that are.
const knotZone = `$ORIGIN example.org.
$TTL 60
@ SOA ns ns 1 3600 600 86400 1
@ NS ns
ns A 127.0.0.1
@ TXT "v=spf1 -all"
@ TXT "google-site-verification=theirs"
@ MX 10 MAIL.example.org.
@ MX 20 backup.example.net.
www CNAME example.net.
alias CNAME example.net.
2025x._domainkey TXT "v=DKIM1;p=old"
`

// startKnot starts a name server with example.org that takes updates, and returns its
// address.
func startKnot(t *testing.T) string {
	t.Helper()
	knotd := testkit.Tool(t, "knotd")
	dir := t.TempDir()
	port := testkit.FreePort(t)
	for name, text := range map[string]string{"knot.conf": fmt.Sprintf(knotConf, dir, port), "zone": knotZone} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0600); err != nil {
			t.Fatal(err)
		}
	}
	p := testkit.Start(t, exec.Command(knotd, "-c", filepath.Join(dir, "knot.conf")))
	p.WaitLine(`loaded, serial`)
	return "127.0.0.1:" + port
}

// newZoneWorld is a rotating Admin that writes to the zone of a name server.
func newZoneWorld(t *testing.T) (*rotating, dns.Resolver) {
	t.Helper()
	addr := startKnot(t)
	r := &rotating{world: newWorld(t), now: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)}
	static := staticText + "DNSProviders:\n\tours:\n\t\tProvider: rfc2136\n\t\tServer: " + addr + "\n\t\tKeyName: updates\n\t\tKeyFile: tsig\n"
	r.ok(os.WriteFile(filepath.Join(r.world.dir, "tsig"), []byte(zoneKey+"\n"), 0600))
	r.ok(os.WriteFile(filepath.Join(r.world.dir, "mox.conf"), []byte(static), 0600))
	r.ok(os.WriteFile(filepath.Join(r.world.dir, "domains.conf"), []byte(strings.Replace(dynamicText, "\texample.org:\n", "\texample.org:\n\t\tDNSProvider: ours\n", 1)), 0600))
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{addr}, Log: slog.New(slog.DiscardHandler)})
	r.ok(err)
	r.opts.Resolver, r.opts.Now = resolver, func() time.Time { return r.now }
	r.restart()
	r.ok(r.opts.Config.Snapshot().CheckFiles())
	return r, resolver
}

func TestRecordsAreWrittenToAZone(t *testing.T) {
	t.Parallel()
	r, resolver := newZoneWorld(t)
	ctx := t.Context()
	d := dns.Domain{ASCII: "example.org"}
	z, err := OpenZone(ctx, r.opts.Config.Snapshot(), resolver, d)
	r.ok(err)
	if z.Name != "example.org" {
		t.Errorf("zone %s", z.Name)
	}
	long := "v=DKIM1;p=" + strings.Repeat("A", 400)
	want := []Record{
		{"example.org", "TXT", "v=spf1 mx ~all"},
		{"example.org", "MX", "10 mail.example.org."},
		{"_dmarc.example.org", "TXT", "v=DMARC1;p=reject"},
		{"2025x._domainkey.example.org", "TXT", long},
		{"_imaps._tcp.example.org", "SRV", "0 1 993 mail.example.org."},
		{"_25._tcp.mail.example.org", "TLSA", "3 1 1 " + strings.Repeat("AB", 32)},
		{"www.example.org", "CNAME", "example.net."},
		{"alias.example.org", "CNAME", "mail.example.org."},
		{"example.org", "CAA", `0 issue "letsencrypt.org"`},
		{"mail.other.example", "TXT", "v=spf1 a -all"},
	}
	c, err := z.Plan(ctx, want)
	r.ok(err)
	var b strings.Builder
	r.ok(c.WriteText(&b))
	for _, line := range []string{
		"- example.org\tTXT\tv=spf1 -all\n", "+ example.org\tTXT\tv=spf1 mx ~all\n", "- 2025x._domainkey.example.org\tTXT\tv=DKIM1;p=old\n",
		"  example.org\tMX\t20 backup.example.net.\tnot ours", "! alias.example.org\tCNAME\tmail.example.org.\tcannot", "! mail.other.example\tTXT\tv=spf1 a -all\tnot in this zone",
	} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("no %q in\n%s", line, b.String())
		}
	}
	if len(c.Remove) != 2 || len(c.Add) != 6 || len(c.Left) != 1 || len(c.Blocked) != 1 || len(c.Elsewhere) != 1 {
		t.Errorf("plan is\n%s", b.String())
	}
	r.ok(z.Apply(ctx, c))
	if c, err := z.Plan(ctx, want); err != nil || !c.None() {
		t.Errorf("something is left to do: %+v, %v", c, err)
	}
	texts, _, err := resolver.LookupTXT(ctx, "example.org.")
	r.ok(err)
	if got := strings.Join(texts, "|"); !strings.Contains(got, "google-site-verification=theirs") || !strings.Contains(got, "v=spf1 mx ~all") || strings.Contains(got, "-all") {
		t.Errorf("texts %q", texts)
	}
	if texts, _, err = resolver.LookupTXT(ctx, "2025x._domainkey.example.org."); err != nil || len(texts) != 1 || texts[0] != long {
		t.Errorf("texts %q, %v", texts, err)
	}
	if mx, _, err := resolver.LookupMX(ctx, "example.org."); err != nil || len(mx) != 2 {
		t.Errorf("mx %v, %v", mx, err)
	}
}

func TestRotatedKeysAreWrittenToTheZone(t *testing.T) {
	t.Parallel()
	r, resolver := newZoneWorld(t)
	ctx := t.Context()
	r.ok(r.AddDKIM(ctx, "example.org", "2026a", KeyRSA, true))
	r.rotate(DKIMWaiting) // Writes the new key.
	st := r.rotate(DKIMSigning)
	if r.signs() != "2026b" {
		t.Errorf("signs %s", r.signs())
	}
	// The record of the old key, which someone else has written, goes with it.
	z, err := OpenZone(ctx, r.opts.Config.Snapshot(), resolver, dns.Domain{ASCII: "example.org"})
	r.ok(err)
	r.ok(z.Apply(ctx, ZoneChange{Add: []Record{st.Keys[0].Record}}))
	r.now = r.now.Add(retireAfter)
	r.rotate(DKIMStable)
	if _, _, err := resolver.LookupTXT(ctx, "2026a._domainkey.example.org."); !missing(err) {
		t.Errorf("old key: %v", err)
	}
	if texts, _, err := resolver.LookupTXT(ctx, "2026b._domainkey.example.org."); err != nil || len(texts) != 1 {
		t.Errorf("new key: %q, %v", texts, err)
	}
}

func TestDomainsWithoutProviderAreNotWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.opts.Config.Snapshot()
	if _, err := OpenZone(t.Context(), s, nil, dns.Domain{ASCII: "example.org"}); err == nil || !strings.Contains(err.Error(), "DNSProvider") {
		t.Errorf("got error %v", err)
	}
	if _, err := OpenZone(t.Context(), s, nil, dns.Domain{ASCII: "x.example"}); err == nil {
		t.Error("unknown domain")
	}
	_, err := config.Load(filepath.Join(w.dir, "mox.conf"))
	w.ok(err)
	w.ok(os.WriteFile(filepath.Join(w.dir, "domains.conf"), []byte(strings.Replace(dynamicText, "\texample.org:\n", "\texample.org:\n\t\tDNSProvider: nobody\n", 1)), 0600))
	if _, err = config.Load(filepath.Join(w.dir, "mox.conf")); err == nil || !strings.Contains(err.Error(), `"nobody" is not in DNSProviders`) {
		t.Errorf("got error %v", err)
	}
}
