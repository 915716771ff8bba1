package dane_test

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/mjl-/adns"

	"mox/dane"
	"mox/tlsrpt"
)

func options(t testing.TB, names ...string) dane.Options {
	return dane.Options{Names: domains(t, names...), Time: func() time.Time { return now }}
}

// A want is the expected result of verifying.
type want int

const (
	ok want = iota
	noMatch
	badName
	expired
	unknown // Authority.
	invalid // For another reason.
	unusable
)

func outcome(err error) want {
	var verr *dane.VerifyError
	var host x509.HostnameError
	var cert x509.CertificateInvalidError
	var authority x509.UnknownAuthorityError
	switch {
	case err == nil:
		return ok
	case !errors.As(err, &verr):
		if errors.Is(err, dane.ErrUnusable) {
			return unusable
		}
	case errors.As(err, &host):
		return badName
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
		return expired
	case errors.As(err, &authority):
		return unknown
	case len(verr.Records) == 0 && verr.Unmatched > 0:
		return noMatch
	}
	return invalid
}

func TestVerifyByUsage(t *testing.T) {
	t.Parallel()
	past := func(c *x509.Certificate) { c.NotBefore, c.NotAfter = now.Add(-2*time.Hour), now.Add(-time.Hour) }
	root := issue(t, nil, true, nil)
	inter := issue(t, root, true, nil)
	other := issue(t, nil, true, nil)
	oldRoot := issue(t, nil, true, past)
	notCA := issue(t, nil, false, nil)
	short := issue(t, nil, true, func(c *x509.Certificate) { c.MaxPathLenZero = true })
	belowShort := issue(t, short, true, nil)

	leaf := issue(t, inter, false, named("mx.example.com"))
	leafPast := issue(t, inter, false, func(c *x509.Certificate) { past(c); c.DNSNames = []string{"mx.example.com"} })
	direct := issue(t, root, false, named("mx.example.com"))
	byOld := issue(t, oldRoot, false, named("mx.example.com"))
	byNotCA := issue(t, notCA, false, named("mx.example.com"))
	tooDeep := issue(t, belowShort, false, named("mx.example.com"))
	client := issue(t, root, false, func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"mx.example.com"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	self := issue(t, nil, false, named("mx.example.com"))
	nameless := issue(t, nil, false, past)

	for _, tc := range []struct {
		name  string
		r     dane.Record
		chain []*x509.Certificate
		host  string
		want  want
	}{
		{"ee: certificate", tlsa(3, 0, 0, leaf), chain(leaf), "mx.example.com", ok},
		{"ee: certificate, sha256", tlsa(3, 0, 1, leaf), chain(leaf), "mx.example.com", ok},
		{"ee: certificate, sha512", tlsa(3, 0, 2, leaf), chain(leaf), "mx.example.com", ok},
		{"ee: key", tlsa(3, 1, 0, leaf), chain(leaf), "mx.example.com", ok},
		{"ee: key, sha256", tlsa(3, 1, 1, leaf), chain(leaf), "mx.example.com", ok},
		{"ee: key, sha512", tlsa(3, 1, 2, leaf), chain(leaf), "mx.example.com", ok},
		{"ee: neither name nor time matter", tlsa(3, 1, 1, nameless), chain(nameless), "mx.example.com", ok},
		{"ee: another name", tlsa(3, 1, 1, leaf), chain(leaf), "other.example", ok},
		{"ee: another key", tlsa(3, 1, 1, other), chain(leaf), "mx.example.com", noMatch},
		{"ee: the key of the authority", tlsa(3, 1, 1, inter), chain(leaf, inter), "mx.example.com", noMatch},
		{"ee: digest of the key for the certificate", func() dane.Record { r := tlsa(3, 1, 1, leaf); r.Selector = dane.Cert; return r }(), chain(leaf), "mx.example.com", noMatch},

		{"ta: intermediate", tlsa(2, 0, 1, inter), chain(leaf, inter), "mx.example.com", ok},
		{"ta: intermediate, by key", tlsa(2, 1, 2, inter), chain(leaf, inter), "mx.example.com", ok},
		{"ta: root", tlsa(2, 0, 1, root), chain(leaf, inter, root), "mx.example.com", ok},
		{"ta: root, chain in another order", tlsa(2, 0, 1, root), chain(leaf, root, inter), "mx.example.com", ok},
		{"ta: root, direct", tlsa(2, 0, 0, root), chain(direct, root), "mx.example.com", ok},
		{"ta: wildcard", tlsa(2, 0, 1, root), chain(issue(t, root, false, named("*.example.com")), root), "mx.example.com", ok},
		{"ta: root is not sent", tlsa(2, 0, 1, root), chain(leaf, inter), "mx.example.com", noMatch},
		{"ta: root is not sent and in the record", tlsa(2, 0, 0, root), chain(leaf, inter), "mx.example.com", ok},
		{"ta: intermediate is not sent and in the record", tlsa(2, 0, 0, inter), chain(leaf), "mx.example.com", ok},
		{"ta: key of root is in the record", tlsa(2, 1, 0, root), chain(leaf, inter), "mx.example.com", ok},
		{"ta: key of intermediate is in the record", tlsa(2, 1, 0, inter), chain(leaf), "mx.example.com", ok},
		{"ta: key in the record, another name", tlsa(2, 1, 0, inter), chain(leaf), "other.example", badName},
		{"ta: key in the record, expired", tlsa(2, 1, 0, inter), chain(leafPast), "mx.example.com", expired},
		{"ta: key of another authority", tlsa(2, 1, 0, other), chain(leaf, inter), "mx.example.com", noMatch},
		{"ta: certificate of another authority", tlsa(2, 0, 0, other), chain(leaf, inter), "mx.example.com", noMatch},
		{"ta: intermediate is missing", tlsa(2, 0, 1, root), chain(leaf, root), "mx.example.com", unknown},
		{"ta: of another chain", tlsa(2, 0, 1, other), chain(leaf, inter, other), "mx.example.com", unknown},
		{"ta: another name", tlsa(2, 0, 1, inter), chain(leaf, inter), "other.example", badName},
		{"ta: name of parent domain", tlsa(2, 0, 1, inter), chain(leaf, inter), "example.com", badName},
		{"ta: expired", tlsa(2, 0, 1, inter), chain(leafPast, inter), "mx.example.com", expired},
		{"ta: authority expired", tlsa(2, 0, 1, oldRoot), chain(byOld, oldRoot), "mx.example.com", expired},
		{"ta: authority in the record expired", tlsa(2, 0, 0, oldRoot), chain(byOld), "mx.example.com", expired},
		{"ta: not an authority", tlsa(2, 0, 1, notCA), chain(byNotCA, notCA), "mx.example.com", unknown},
		{"ta: path length of authority", tlsa(2, 0, 1, short), chain(tooDeep, belowShort, short), "mx.example.com", invalid},
		{"ta: certificate for clients", tlsa(2, 0, 1, root), chain(client, root), "mx.example.com", invalid},
		{"ta: the server's own", tlsa(2, 0, 1, self), chain(self), "mx.example.com", noMatch},
		{"ta: the server's own, sent twice", tlsa(2, 0, 1, self), chain(self, self), "mx.example.com", noMatch},
		{"ta: the server's own, in the record", tlsa(2, 0, 0, self), chain(self), "mx.example.com", noMatch},
		{"ta: data is no certificate", func() dane.Record { r := tlsa(2, 0, 0, root); r.CertAssoc = []byte{0x30, 0}; return r }(), chain(direct, root), "mx.example.com", noMatch},
		{"ta: data is no key", func() dane.Record { r := tlsa(2, 1, 0, root); r.CertAssoc = []byte{0x30, 0}; return r }(), chain(direct, root), "mx.example.com", noMatch},

		{"pkix-ee", tlsa(1, 1, 1, leaf), chain(leaf, inter), "mx.example.com", ok},
		{"pkix-ee: another name", tlsa(1, 1, 1, leaf), chain(leaf, inter), "other.example", badName},
		{"pkix-ee: expired", tlsa(1, 1, 1, leafPast), chain(leafPast, inter), "mx.example.com", expired},
		{"pkix-ee: no public authority", tlsa(1, 1, 1, self), chain(self), "mx.example.com", unknown},
		{"pkix-ee: another key", tlsa(1, 1, 1, other), chain(leaf, inter), "mx.example.com", noMatch},
		{"pkix-ta: root, which is not sent", tlsa(0, 0, 1, root), chain(leaf, inter), "mx.example.com", ok},
		{"pkix-ta: intermediate", tlsa(0, 1, 2, inter), chain(leaf, inter), "mx.example.com", ok},
		{"pkix-ta: the server's own", tlsa(0, 0, 1, leaf), chain(leaf, inter), "mx.example.com", noMatch},
		{"pkix-ta: another authority", tlsa(0, 0, 1, other), chain(leaf, inter, other), "mx.example.com", noMatch},
		{"pkix-ta: no public authority", tlsa(0, 0, 1, other), chain(issue(t, other, false, named("mx.example.com")), other), "mx.example.com", unknown},
		{"pkix-ta: another name", tlsa(0, 0, 1, root), chain(leaf, inter), "other.example", badName},

		{"no certificates", tlsa(3, 1, 1, leaf), nil, "mx.example.com", noMatch},
		{"unusable", func() dane.Record { r := tlsa(3, 1, 1, leaf); r.CertAssoc = r.CertAssoc[1:]; return r }(), chain(leaf), "mx.example.com", unusable},
	} {
		opts := options(t, tc.host)
		opts.RootCAs = x509.NewCertPool()
		opts.RootCAs.AddCert(root.Certificate)
		r, err := dane.Verify([]dane.Record{tc.r}, tc.chain, opts)
		if got := outcome(err); got != tc.want || err == nil && r.Record() != tc.r.Record() {
			t.Errorf("%s: got %s, %v, expected outcome %d", tc.name, r, err, tc.want)
		}
		if err != nil && tc.want != unusable && !errors.Is(err, dane.ErrVerify) {
			t.Errorf("%s: got %v", tc.name, err)
		}
	}
}

func TestAnyRecordIsEnough(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, true, nil)
	leaf := issue(t, root, false, named("mx.example.com"))
	next := issue(t, root, false, named("mx.example.com"))
	opts := options(t, "mx.example.com")
	// During a change of keys, RFC 7671 §8.1.
	r, err := dane.Verify([]dane.Record{tlsa(3, 1, 1, next), tlsa(3, 1, 1, leaf)}, chain(leaf, root), opts)
	if err != nil || r.Record() != tlsa(3, 1, 1, leaf).Record() {
		t.Errorf("got %s, %v", r, err)
	}
	// DANE-EE goes before DANE-TA, whatever the order.
	r, err = dane.Verify([]dane.Record{tlsa(2, 0, 1, root), tlsa(3, 1, 1, leaf)}, chain(leaf, root), opts)
	if err != nil || r.Usage != dane.DANEEE {
		t.Errorf("got %s, %v", r, err)
	}
	// A record that cannot be used does not stand in the way.
	bad := tlsa(3, 1, 1, leaf)
	bad.Selector = 9
	if _, err = dane.Verify([]dane.Record{bad, tlsa(2, 0, 1, root)}, chain(leaf, root), opts); err != nil {
		t.Errorf("got %v", err)
	}
	// The weaker digest does not count, though it would match: RFC 7671 §9.
	if _, err = dane.Verify([]dane.Record{tlsa(3, 1, 2, next), tlsa(3, 1, 1, leaf)}, chain(leaf), opts); outcome(err) != noMatch {
		t.Errorf("got %v", err)
	}
	if _, err = dane.Verify(nil, chain(leaf), opts); !errors.Is(err, dane.ErrNoRecords) {
		t.Errorf("got %v", err)
	}
	// Only usages that are allowed.
	opts.Usages = dane.SMTPUsages()
	if _, err = dane.Verify([]dane.Record{tlsa(1, 1, 1, leaf)}, chain(leaf), opts); outcome(err) != unusable {
		t.Errorf("got %v", err)
	}
}

func TestHugeKeysInRecordsAreNotUsed(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, true, nil)
	leaf := issue(t, root, false, named("mx.example.com"))
	n := new(big.Int).Lsh(big.NewInt(1), 200_000)
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	r := tlsa(2, 1, 0, root)
	r.CertAssoc = der
	if _, err := dane.Verify([]dane.Record{r}, chain(leaf, root), options(t, "mx.example.com")); outcome(err) != noMatch || len(err.Error()) > 300 {
		t.Errorf("got %v", err)
	}
}

func TestNamesOfCertificates(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, true, nil)
	withCN := func(cn string, names ...string) *pair {
		return issue(t, root, false, func(c *x509.Certificate) {
			c.Subject = pkix.Name{CommonName: cn}
			c.DNSNames = names
		})
	}
	for _, tc := range []struct {
		cert *pair
		host string
		want want
	}{
		{withCN("", "a.example", "mx.example.com"), "mx.example.com", ok},
		{withCN("", "MX.Example.COM"), "mx.example.com", ok},
		// RFC 7672 §3.2.3: the common name only without DNS names.
		{withCN("mx.example.com"), "mx.example.com", ok},
		{withCN("*.example.com"), "mx.example.com", ok},
		{withCN("mx.example.com", "other.example"), "mx.example.com", badName},
		{withCN("", "*.example.com"), "a.mx.example.com", badName},
		{withCN("", "*.example.com"), "example.com", badName},
		{withCN("", "m*.example.com"), "mx.example.com", badName},
		{withCN("", "mx.*.com"), "mx.example.com", badName},
		{withCN("", "*.com"), "example.com", badName},
		{withCN("", "*"), "example.com", badName},
		{withCN("", "xn--bcher-kva.example"), "bücher.example", ok},
		{withCN(""), "mx.example.com", badName},
		// Any of the names that are allowed, RFC 7672 §3.2.2.
		{withCN("", "next-hop.example"), "mx.example.com", ok},
	} {
		_, err := dane.Verify([]dane.Record{tlsa(2, 0, 1, root)}, chain(tc.cert, root), options(t, tc.host, "next-hop.example"))
		if got := outcome(err); got != tc.want {
			t.Errorf("%v, %q for %s: got %v", tc.cert.DNSNames, tc.cert.Subject.CommonName, tc.host, err)
		}
	}
	if _, err := dane.Verify([]dane.Record{tlsa(2, 0, 1, root)}, chain(withCN(""), root), dane.Options{Time: func() time.Time { return now }}); outcome(err) != badName {
		t.Errorf("without names: %v", err)
	}
}

// connect does a handshake and returns the error of the client.
func connect(t *testing.T, server, client *tls.Config) error {
	t.Helper()
	c, s := net.Pipe()
	defer func() {
		_ = c.Close() // The other side may have.
		_ = s.Close()
	}()
	if err := errors.Join(c.SetDeadline(time.Now().Add(10*time.Second)), s.SetDeadline(time.Now().Add(10*time.Second))); err != nil {
		t.Fatal(err)
	}
	go func() {
		// The client's error is what is looked at.
		_ = tls.Server(s, server).Handshake()
	}()
	return tls.Client(c, client).Handshake()
}

func TestTLSConfigVerifies(t *testing.T) {
	t.Parallel()
	leaf := issue(t, nil, false, nil)
	sni := make(chan string, 10)
	server := &tls.Config{
		Certificates:       []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: leaf.key}},
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) { sni <- h.ServerName; return nil, nil },
	}
	base := &tls.Config{MinVersion: tls.VersionTLS10, ServerName: "other.example"}
	var verified []dane.Record
	config := dane.TLSConfig(base, []dane.Record{tlsa(3, 1, 1, leaf)}, options(t, "mx.example.com"), func(r dane.Record) { verified = append(verified, r) })
	if err := connect(t, server, config); err != nil || len(verified) != 1 || <-sni != "mx.example.com" {
		t.Errorf("got %v, %v", err, verified)
	}
	if base.ServerName != "other.example" || base.InsecureSkipVerify || config.MinVersion != tls.VersionTLS12 {
		t.Error("wrong configuration")
	}
	config = dane.TLSConfig(nil, []dane.Record{tlsa(3, 0, 1, issue(t, nil, false, nil))}, options(t, "mx.example.com"), nil)
	if err := connect(t, server, config); outcome(err) != noMatch {
		t.Errorf("got %v", err)
	}
	// Without records nothing is verified, so nothing is accepted.
	if err := connect(t, server, dane.TLSConfig(nil, nil, options(t, "mx.example.com"), nil)); !errors.Is(err, dane.ErrNoRecords) {
		t.Errorf("got %v", err)
	}
	old := server.Clone()
	old.MaxVersion = tls.VersionTLS11
	if err := connect(t, old, dane.TLSConfig(base, []dane.Record{tlsa(3, 1, 1, leaf)}, options(t, "mx.example.com"), nil)); err == nil {
		t.Error("tls 1.1 was accepted")
	}
}

func TestErrorsOfVerifyingHaveAResultType(t *testing.T) {
	t.Parallel()
	root := issue(t, nil, true, nil)
	leaf := issue(t, root, false, named("mx.example.com"))
	bad := tlsa(3, 1, 1, leaf)
	bad.CertAssoc = nil
	for _, tc := range []struct {
		r      dane.Record
		host   string
		want   tlsrpt.ResultType
		reason string
	}{
		{tlsa(3, 1, 1, root), "mx.example.com", tlsrpt.ResultValidationFailure, "dane-no-match"},
		{tlsa(2, 0, 1, root), "other.example", tlsrpt.ResultCertificateHostMismatch, ""},
		{bad, "mx.example.com", tlsrpt.ResultTLSAInvalid, "tlsa-unusable"},
	} {
		_, err := dane.Verify([]dane.Record{tc.r}, chain(leaf, root), options(t, tc.host))
		if got, reason := dane.Classify(err); got != tc.want || reason != tc.reason {
			t.Errorf("%v: got %s, %q", err, got, reason)
		}
	}
}

func FuzzVerify(f *testing.F) {
	root := issue(f, nil, true, nil)
	leaf := issue(f, root, false, named("mx.example.com"))
	for _, usage := range []uint8{0, 1, 2, 3} {
		for _, c := range []*pair{root, leaf} {
			for _, match := range []uint8{0, 1} {
				r := tlsa(usage, 1, match, c)
				f.Add(usage, uint8(r.Selector), match, r.CertAssoc, c.Raw)
				f.Add(usage, uint8(0), match, tlsa(usage, 0, match, c).CertAssoc, c.Raw)
			}
		}
	}
	opts := options(f, "mx.example.com")
	opts.RootCAs = x509.NewCertPool()
	f.Fuzz(func(t *testing.T, usage, selector, match uint8, data, der []byte) {
		r := dane.Record{CertAssoc: data}
		r.Usage, r.Selector, r.MatchType = dane.Usage(usage), dane.Cert+adns.TLSASelector(selector), dane.Full+adns.TLSAMatchType(match)
		certs := chain(leaf, root)
		if c, err := x509.ParseCertificate(der); err == nil {
			certs = append(certs, c)
		}
		got, err := dane.Verify([]dane.Record{r}, certs, opts)
		if err == nil && got.Record() != r.Record() {
			t.Errorf("verified by %s instead of %s", got, r)
		}
		if unusable := dane.CheckRecord(r, dane.AllUsages()...); unusable != nil && err == nil {
			t.Errorf("verified by %s, which is not usable: %v", r, unusable)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	root := issue(b, nil, true, nil)
	leaf := issue(b, root, false, named("mx.example.com"))
	opts := options(b, "mx.example.com")
	for _, bm := range []struct {
		name string
		r    dane.Record
	}{{"DANE-EE", tlsa(3, 1, 1, leaf)}, {"DANE-TA", tlsa(2, 0, 1, root)}} {
		b.Run(bm.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := dane.Verify([]dane.Record{bm.r}, chain(leaf, root), opts); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
