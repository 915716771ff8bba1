package admin

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	mdns "github.com/miekg/dns"

	"mox/config"
	"mox/dns"
	"mox/internal/testkit"
)

// dkimKey returns an Ed25519 key in PEM, the same each time.
func dkimKey(t *testing.T) string {
	t.Helper()
	return keyPEM(t, ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
}

func keyPEM(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// recordsConfig is a configuration with all that has records.
func recordsConfig(t *testing.T) *config.Snapshot {
	t.Helper()
	dir := testkit.Dir(t, map[string]string{
		"key.pem": dkimKey(t),
		"mox.conf": `DataDir: ../data
LogLevel: info
Hostname: mail.example.org
Listeners:
	public:
		IPs:
			- 192.0.2.1
			- 2001:db8::1
		SMTP:
			Enabled: true
			NoSTARTTLS: true
		Submission:
			Enabled: true
			NoRequireSTARTTLS: true
	inside:
		IPs:
			- 10.0.0.1
		SMTP:
			Enabled: true
			NoSTARTTLS: true
Postmaster:
	Account: ann
	Mailbox: Postmaster
HostTLSRPT:
	Account: ann
	Mailbox: TLSRPT
	Localpart: tlsreports
`,
		"domains.conf": `Domains:
	example.org:
		DKIM:
			Selectors:
				2026b:
					PrivateKeyFile: key.pem
			Sign:
				- 2026b
		DMARC:
			Localpart: dmarc!reports
			Account: ann
			Mailbox: DMARC
		TLSRPT:
			Localpart: tlsreports
			Account: ann
			Mailbox: TLSRPT
	bücher.example:
		DMARC:
			Localpart: dmarc!reports
			Domain: example.org
			Account: ann
			Mailbox: DMARC
	plain.example: nil
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
			ann@plain.example: nil
`,
	})
	s, err := config.Load(filepath.Join(dir, "mox.conf"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func zone(t *testing.T, s *config.Snapshot, name string) string {
	t.Helper()
	d, err := dns.ParseDomain(name)
	if err != nil {
		t.Fatal(err)
	}
	l, err := DNSRecords(s, d, RecordOptions{Signed: true})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := WriteZone(&b, l); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRecordsOfADomain(t *testing.T) {
	t.Parallel()
	s := recordsConfig(t)
	const want = `; Resolvers keep the records for 300 seconds. Raise that when all works.
$TTL 300

; The server itself only sends mail from its own addresses, such as notifications
; about mail that could not be delivered.
mail.example.org.                        TXT "v=spf1 a -all"

; Where other servers report problems with encrypted connections to this server.
_smtp._tls.mail.example.org.             TXT "v=TLSRPTv1;rua=mailto:tlsreports@mail.example.org"

; Mail for the domain goes to the server.
example.org.                             MX 10 mail.example.org.

; Keys that signatures of messages are checked with. Long texts are in several
; strings, which count as one.
2026b._domainkey.example.org.            TXT "v=DKIM1;k=ed25519;p=O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="

; Servers that send mail for the domain: this one. Mail from others is suspicious.
example.org.                             TXT "v=spf1 ip4:192.0.2.1 ip6:2001:db8::1 mx ~all"

; Mail from the domain that is not proven to be from it is to be refused, and
; reports of at most 10 megabytes about all mail from it go to this address.
_dmarc.example.org.                      TXT "v=DMARC1;p=reject;rua=mailto:dmarc%21reports@example.org!10m"

; Where other servers report problems with encrypted connections for mail to the
; domain.
_smtp._tls.example.org.                  TXT "v=TLSRPTv1;rua=mailto:tlsreports@example.org"
`
	if got := zone(t, s, "example.org"); got != want {
		t.Errorf("got:\n%s\nexpected:\n%s", got, want)
	}
	got := zone(t, s, "bücher.example")
	for _, want := range []string{
		"xn--bcher-kva.example.                   MX 10 mail.example.org.\n",
		"xn--bcher-kva.example._report._dmarc.example.org. TXT \"v=DMARC1\"\n",
		"\"v=DMARC1;p=reject;rua=mailto:dmarc%21reports@example.org!10m\"\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, got)
		}
	}
	if got := zone(t, s, "plain.example"); !strings.Contains(got, "_dmarc.plain.example.                    TXT \"v=DMARC1;p=reject\"\n") || strings.Contains(got, "_domainkey") {
		t.Errorf("got:\n%s", got)
	}
	if _, err := DNSRecords(s, dns.Domain{ASCII: "x.example"}, RecordOptions{}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got error %v", err)
	}
}

// fullConfig is a configuration with all services that have records.
func fullConfig(t *testing.T) *config.Snapshot {
	t.Helper()
	return fullConfigWith(t, hostKey)
}

// fullConfigWith is fullConfig with another key of the hostname.
func fullConfigWith(t *testing.T, hostKey string) *config.Snapshot {
	t.Helper()
	files := map[string]string{
		"data/acme/letsencrypt.uri": "https://acme.example/acct/7\n",
		"ec.pem":                    hostKey,
		"key.pem":                   dkimKey(t),
		"domains.conf": `Domains:
	example.org:
		ClientSettingsDomain: imap.example.org
		MTASTS:
			PolicyID: 20260304T050607
			Mode: enforce
			MaxAge: 24h
		DKIM:
			Selectors:
				2026b:
					PrivateKeyFile: key.pem
			Sign:
				- 2026b
		DMARC:
			Localpart: dmarcreports
			Account: ann
			Mailbox: DMARC
		TLSRPT:
			Localpart: tlsreports
			Account: ann
			Mailbox: TLSRPT
	mx.example.org: nil
Accounts:
	ann:
		Domain: example.org
		Destinations:
			ann@example.org: nil
			ann@mx.example.org: nil
`,
		"mox.conf": `DataDir: data
LogLevel: info
Hostname: mx.example.org
ACME:
	letsencrypt:
		DirectoryURL: https://acme-v02.api.letsencrypt.org/directory
		ContactEmail: ann@example.org
Listeners:
	public:
		IPs:
			- 10.0.0.1
		NATIPs:
			- 192.0.2.1
		TLS:
			ACME: letsencrypt
			HostPrivateKeyFiles:
				- ec.pem
		SMTP:
			Enabled: true
		Submissions:
			Enabled: true
		IMAPS:
			Enabled: true
		AutoconfigHTTPS:
			Enabled: true
		MTASTSHTTPS:
			Enabled: true
Transports:
	proxy:
		Socks:
			Address: 127.0.0.1:1080
			RemoteIPs:
				- 192.0.2.99
			RemoteHostname: proxy.example.org
Postmaster:
	Account: ann
	Mailbox: Postmaster
HostTLSRPT:
	Account: ann
	Mailbox: TLSRPT
	Localpart: hostreports
`,
	}
	s, err := config.Load(filepath.Join(testkit.Dir(t, files), "mox.conf"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hostKey is a P-256 key, whose public key in DER has the hash in hostKeyHash: openssl ec
// -in ec.pem -pubout -outform DER | sha256sum
const hostKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgzY+sw2oht5ZtlZ73
99TTberRF4YZbHM4HTUwqWm2OlahRANCAARHGBfIxi3vmggDaXuV3t02yHfsk8N8
Z4UK9iXwYn2G1TwrSZlN3CzRo2pEYi56/TQEUvCqZpdYDeLj/mfM7gxZ
-----END PRIVATE KEY-----
`

const hostKeyHash = "71efc9eccdfc9f14e3f7d6fcc1be3d89f0f9ab8bb995cf2266b11bff50f51e3f"

func TestRecordsOfAllServices(t *testing.T) {
	t.Parallel()
	s := fullConfig(t)
	for name, want := range map[string][]string{
		"example.org": {
			"_25._tcp.mx.example.org.                 TLSA 3 1 1 " + hostKeyHash,
			`mx.example.org.                          TXT "v=spf1 a -all"`,
			`_smtp._tls.mx.example.org.               TXT "v=TLSRPTv1;rua=mailto:hostreports@mx.example.org"`,
			"example.org.                             MX 10 mx.example.org.",
			`2026b._domainkey.example.org.            TXT "v=DKIM1;k=ed25519;p=O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik="`,
			`example.org.                             TXT "v=spf1 ip4:192.0.2.1 ip4:192.0.2.99 mx ~all"`,
			`_dmarc.example.org.                      TXT "v=DMARC1;p=reject;rua=mailto:dmarcreports@example.org!10m"`,
			"mta-sts.example.org.                     CNAME mx.example.org.",
			`_mta-sts.example.org.                    TXT "v=STSv1; id=20260304T050607;"`,
			`_smtp._tls.example.org.                  TXT "v=TLSRPTv1;rua=mailto:tlsreports@example.org"`,
			"imap.example.org.                        CNAME mx.example.org.",
			"autoconfig.example.org.                  CNAME mx.example.org.",
			"_autodiscover._tcp.example.org.          SRV 0 1 443 mx.example.org.",
			"_imaps._tcp.example.org.                 SRV 0 1 993 mx.example.org.",
			"_submissions._tcp.example.org.           SRV 0 1 465 mx.example.org.",
			"_imap._tcp.example.org.                  SRV 0 0 0 .",
			"_submission._tcp.example.org.            SRV 0 0 0 .",
			"_pop3._tcp.example.org.                  SRV 0 0 0 .",
			"_pop3s._tcp.example.org.                 SRV 0 0 0 .",
			`example.org.                             CAA 0 issue "letsencrypt.org"`,
			`mx.example.org.                          CAA 0 issue "letsencrypt.org"`,
			`; example.org.                             CAA 0 issue "letsencrypt.org;accounturi=https://acme.example/acct/7;validationmethods=tls-alpn-01,http-01"`,
			`; mx.example.org.                          CAA 0 issue "letsencrypt.org;accounturi=https://acme.example/acct/7;validationmethods=tls-alpn-01,http-01"`,
		},
		// A domain that is also the name of the machine: nothing is there twice.
		"mx.example.org": {
			"_25._tcp.mx.example.org.                 TLSA 3 1 1 " + hostKeyHash,
			`_smtp._tls.mx.example.org.               TXT "v=TLSRPTv1;rua=mailto:hostreports@mx.example.org"`,
			"mx.example.org.                          MX 10 mx.example.org.",
			`mx.example.org.                          TXT "v=spf1 ip4:192.0.2.1 ip4:192.0.2.99 mx ~all"`,
			`_dmarc.mx.example.org.                   TXT "v=DMARC1;p=reject"`,
			"autoconfig.mx.example.org.               CNAME mx.example.org.",
			"_autodiscover._tcp.mx.example.org.       SRV 0 1 443 mx.example.org.",
			"_imaps._tcp.mx.example.org.              SRV 0 1 993 mx.example.org.",
			"_submissions._tcp.mx.example.org.        SRV 0 1 465 mx.example.org.",
			"_imap._tcp.mx.example.org.               SRV 0 0 0 .",
			"_submission._tcp.mx.example.org.         SRV 0 0 0 .",
			"_pop3._tcp.mx.example.org.               SRV 0 0 0 .",
			"_pop3s._tcp.mx.example.org.              SRV 0 0 0 .",
			`mx.example.org.                          CAA 0 issue "letsencrypt.org"`,
			`; mx.example.org.                          CAA 0 issue "letsencrypt.org;accounturi=https://acme.example/acct/7;validationmethods=tls-alpn-01,http-01"`,
		},
	} {
		var got []string
		for line := range strings.Lines(zone(t, s, name)) {
			if text := strings.TrimPrefix(line, "; "); strings.Contains(text, ".  ") {
				got = append(got, strings.TrimSuffix(line, "\n"))
			}
		}
		if d := testkit.Diff(strings.Join(want, "\n"), strings.Join(got, "\n")); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
}

func TestRecordsForDANEAreCommentsWithoutSignatures(t *testing.T) {
	t.Parallel()
	l, err := DNSRecords(fullConfig(t), dns.Domain{ASCII: "example.org"}, RecordOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := WriteZone(&b, l); err != nil {
		t.Fatal(err)
	}
	if got := b.String(); !strings.Contains(got, "\n; _25._tcp.mx.example.org.                 TLSA 3 1 1 ") || !strings.Contains(got, "DNSSEC") {
		t.Errorf("got:\n%s", got)
	}
}

// Two programs read the text as a zone: a name with an alias has no other records there,
// and all is in the right form.
func TestRecordsAreAZoneFile(t *testing.T) {
	t.Parallel()
	const soa = "$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 300\n@ NS ns\nns A 192.0.2.53\nmx.example.org. A 192.0.2.1\n"
	w := newWorld(t)
	w.ok(w.AddDomain(t.Context(), NewDomain{Domain: "new.example", Account: "ann"}))
	w.ok(w.AddAddress(t.Context(), "ann@new.example", "ann"))
	for name, s := range map[string]*config.Snapshot{"example.org": fullConfig(t), "mx.example.org": fullConfig(t), "new.example": w.opts.Config.Snapshot()} {
		text := strings.ReplaceAll(soa, "mx.example.org. A 192.0.2.1\n", "") + zone(t, s, name)
		if name != "new.example" {
			text = soa + zone(t, s, name)
		}
		// Variants are to be possible too.
		text = strings.ReplaceAll(text, "; example.org.   ", "example.org. ")
		zp := mdns.NewZoneParser(strings.NewReader(text), name+".", "")
		n := 0
		for _, ok := zp.Next(); ok; _, ok = zp.Next() {
			n++
		}
		if err := zp.Err(); err != nil || n < 12 {
			t.Errorf("%s: got %d records, error %v in:\n%s", name, n, err, text)
		}
		file := filepath.Join(testkit.Dir(t, map[string]string{"zone": text}), "zone")
		out, err := exec.Command(testkit.Tool(t, "named-checkzone"), "-k", "fail", "-m", "fail", "-M", "fail", "-S", "fail", "-i", "local", name, file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v: %s\n%s", name, err, out, text)
		}
	}
}

func TestRecordsForProgramsOfUsers(t *testing.T) {
	t.Parallel()
	s := recordsConfig(t)
	tls := func(port int) config.TLSService { return config.TLSService{Enabled: true, Port: port} }
	for name, tc := range map[string]struct {
		change func(l *config.Listener)
		want   []string // As service and data.
	}{
		"tls from the start": {func(l *config.Listener) {
			l.IMAPS, l.Submissions, l.IMAP = tls(1993), tls(465), config.PlainService{Enabled: true, Port: 143}
		},
			[]string{"imaps 0 1 1993 mail.example.org.", "submissions 0 1 465 mail.example.org.", "imap 0 0 0 .", "submission 0 0 0 .", "pop3 0 0 0 .", "pop3s 0 0 0 ."}},
		"starttls": {func(l *config.Listener) {
			l.IMAP, l.Submission = config.PlainService{Enabled: true, Port: 143}, config.PlainService{}
		},
			[]string{"imap 0 1 143 mail.example.org.", "imaps 0 0 0 .", "submissions 0 0 0 .", "submission 0 0 0 .", "pop3 0 0 0 .", "pop3s 0 0 0 ."}},
		"no tls": {func(l *config.Listener) {
			l.TLS, l.IMAP = nil, config.PlainService{Enabled: true, Port: 143, NoRequireSTARTTLS: true}
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := *s
			c.Listeners = append([]config.Listener(nil), s.Listeners...)
			c.Listeners[1].TLS = &config.TLS{}
			tc.change(&c.Listeners[1])
			d, _ := c.Domain(dns.Domain{ASCII: "example.org"})
			var got []string
			for _, rs := range clientRecords(&c, d) {
				for _, r := range rs.Records {
					got = append(got, strings.TrimSuffix(strings.TrimPrefix(r.Name, "_"), "._tcp.example.org")+" "+r.Data)
				}
			}
			if strings.Join(got, "\n") != strings.Join(tc.want, "\n") {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestRecordsOfNewDomainAreReadAsTheyWereMeant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ok(w.AddDomain(t.Context(), NewDomain{Domain: "new.example", Account: "ann"}))
	w.ok(w.AddAddress(t.Context(), "ann@new.example", "ann"))
	s := w.opts.Config.Snapshot()
	// The server for tests reads lines of records.
	var lines strings.Builder
	for line := range strings.SplitSeq(strings.NewReplacer("(\n\t", "", "\n\t", " ", " )", "").Replace(zone(t, s, "new.example")), "\n") {
		if line != "" && line[0] != ';' && line[0] != '$' {
			lines.WriteString(line + "\n")
		}
	}
	server := testkit.NewDNS(t, testkit.DNSOptions{Zone: lines.String() + "mail.example.org A 127.0.0.1\n", Authentic: true})
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{server.Addr}, TrustAD: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	l, err := DNSRecords(s, dns.Domain{ASCII: "new.example"}, RecordOptions{})
	if err != nil {
		t.Fatal(err)
	}
	txt := 0
	for _, rs := range l {
		for _, r := range rs.Records {
			if r.Type != "TXT" {
				continue
			}
			txt++
			if got, _, err := resolver.LookupTXT(t.Context(), r.Name+"."); err != nil || len(got) != 1 || got[0] != r.Data {
				t.Errorf("%s: got %q, %v, expected %q", r.Name, got, err, r.Data)
			}
		}
	}
	if txt != 8 {
		t.Errorf("got %d texts", txt)
	}
}
