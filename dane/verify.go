package dane

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"time"

	"mox/dns"
)

// Options are for verifying a server.
type Options struct {
	// Usages are the usages of records that are allowed. Empty means AllUsages.
	Usages []Usage

	// Names are the names that the certificate may have, except with usage DANE-EE,
	// where names do not matter. The first is the TLSA base domain.
	Names []dns.Domain

	// RootCAs are the public authorities for usages PKIX-TA and PKIX-EE. Nil means those
	// of the system.
	RootCAs *x509.CertPool

	// Time, if not nil, returns the current time.
	Time func() time.Time
}

func (o Options) usages() []Usage {
	if len(o.Usages) == 0 {
		return AllUsages()
	}
	return o.Usages
}

// Verify checks the certificates of a server, its own first, against TLSA records,
// which must be authentic. It returns the record by which the server is verified.
// The error matches ErrVerify, or ErrUnusable if no record can be used, or
// ErrNoRecords if there are none. Errors of package x509 can be found in it with
// errors.As.
func Verify(records []Record, certs []*x509.Certificate, opts Options) (Record, error) {
	if len(records) == 0 {
		return Record{}, ErrNoRecords
	}
	usable, problems := Usable(records, opts.usages()...)
	if len(usable) == 0 {
		return Record{}, errors.Join(problems...)
	}
	if len(certs) == 0 {
		return Record{}, &VerifyError{Unmatched: len(usable)}
	}
	v := newVerifier(certs, opts)
	verr := &VerifyError{}
	// DANE-EE is first: it is the cheapest, and has no further conditions.
	slices.SortStableFunc(usable, func(a, b Record) int { return int(b.Usage) - int(a.Usage) })
	for _, r := range usable {
		err := v.verify(r)
		switch {
		case err == nil:
			return r, nil
		case errors.Is(err, errNoMatch):
			verr.Unmatched++
		default:
			verr.Records = append(verr.Records, &RecordError{r, err})
		}
	}
	return Record{}, verr
}

// errNoMatch means that a record is about other certificates.
var errNoMatch = errors.New("no certificate matches")

// A verifier is for one server.
type verifier struct {
	cert   *x509.Certificate   // Of the server.
	others []*x509.Certificate // That it sends too.
	opts   Options

	pkix func() ([][]*x509.Certificate, error) // What chains returns for public authorities, once.
}

func newVerifier(certs []*x509.Certificate, opts Options) *verifier {
	v := &verifier{cert: certs[0], opts: opts}
	for _, c := range certs[1:min(len(certs), maxChain)] {
		// A server is not its own authority.
		if !c.Equal(v.cert) {
			v.others = append(v.others, c)
		}
	}
	v.pkix = sync.OnceValues(func() ([][]*x509.Certificate, error) { return v.chains(opts.RootCAs) })
	return v
}

// verify returns nil if the server is verified by a usable record.
func (v *verifier) verify(r Record) error {
	switch r.Usage {
	case DANEEE:
		// RFC 7671 §5.1: neither name nor time nor issuer matters.
		if !matches(r, v.cert) {
			return errNoMatch
		}
		return nil
	case DANETA:
		return v.verifyAnchor(r)
	case PKIXEE:
		if !matches(r, v.cert) {
			return errNoMatch
		}
		_, err := v.pkix()
		return err
	}
	return v.verifyPKIXTA(r)
}

// verifyPKIXTA is for usage PKIX-TA: the record is about an authority in a chain
// that is valid by public authorities, which may be one of them.
func (v *verifier) verifyPKIXTA(r Record) error {
	chains, err := v.pkix()
	if err != nil {
		return err
	}
	for _, chain := range chains {
		if slices.ContainsFunc(chain[1:], func(c *x509.Certificate) bool { return matches(r, c) }) {
			return nil
		}
	}
	return errNoMatch
}

// chains returns the valid chains from the certificate of the server to one of the
// roots. Nil roots are those of the system.
func (v *verifier) chains(roots *x509.CertPool) ([][]*x509.Certificate, error) {
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	if v.opts.Time != nil {
		opts.CurrentTime = v.opts.Time()
	}
	for _, c := range v.others {
		opts.Intermediates.AddCert(c)
	}
	chains, err := v.cert.Verify(opts)
	if err != nil {
		return nil, err
	}
	return chains, checkName(v.cert, v.opts.Names)
}

// verifyAnchor is for usage DANE-TA, RFC 7671 §5.2: the record is about the
// authority that has signed the server's certificate, directly or through others. The
// authority is to be among the certificates that the server sends, unless the record
// itself has it.
func (v *verifier) verifyAnchor(r Record) error {
	result := errNoMatch
	for _, anchor := range v.anchors(r) {
		_, err := v.chains(poolOf(anchor))
		if err == nil {
			return nil
		}
		if errors.Is(result, errNoMatch) {
			result = err
		}
	}
	if r.MatchType != Full || r.Selector != Cert {
		return result
	}
	anchor, err := x509.ParseCertificate(r.CertAssoc)
	if err != nil || anchor.Equal(v.cert) || !checkKey(anchor.PublicKey) {
		return result
	}
	if _, err := v.chains(poolOf(anchor)); err == nil || !isUnknownAuthority(err) {
		result = err
	}
	return result
}

// anchors returns the certificates that the server sends that can be trusted because
// of a record: those that it is about, and if it is a key without a certificate, those
// that are signed with it.
func (v *verifier) anchors(r Record) []*x509.Certificate {
	var l []*x509.Certificate
	for _, c := range v.others {
		if matches(r, c) {
			l = append(l, c)
		}
	}
	if r.MatchType != Full || r.Selector != SPKI {
		return l
	}
	key, err := x509.ParsePKIXPublicKey(r.CertAssoc)
	if err != nil || !checkKey(key) {
		return l
	}
	issuer := &x509.Certificate{
		PublicKey: key, PublicKeyAlgorithm: keyAlgorithm(key),
		Version: 3, BasicConstraintsValid: true, IsCA: true,
	}
	for _, c := range append([]*x509.Certificate{v.cert}, v.others...) {
		if c.CheckSignatureFrom(issuer) == nil {
			l = append(l, c)
		}
	}
	return l
}

func poolOf(c *x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(c)
	return pool
}

func isUnknownAuthority(err error) bool {
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown)
}

// matches reports whether a usable record is about a certificate.
func matches(r Record, c *x509.Certificate) bool {
	data := c.Raw
	if r.Selector == SPKI {
		data = c.RawSubjectPublicKeyInfo
	}
	switch r.MatchType {
	case SHA256:
		sum := sha256.Sum256(data)
		return bytes.Equal(sum[:], r.CertAssoc)
	case SHA512:
		sum := sha512.Sum512(data)
		return bytes.Equal(sum[:], r.CertAssoc)
	}
	return bytes.Equal(data, r.CertAssoc)
}

// TLSConfig returns a configuration for a client that accepts a server that is
// verified by records, as [Verify] does. It is made from base, which is not changed
// and may be nil, and has at least TLS 1.2 (RFC 8996) and
// the first of opts.Names for SNI (RFC 7671 §10.2). Verified, if not nil, is called
// with the record in each handshake that succeeds.
func TLSConfig(base *tls.Config, records []Record, opts Options, verified func(Record)) *tls.Config {
	config := &tls.Config{}
	if base != nil {
		config = base.Clone()
	}
	if config.MinVersion < tls.VersionTLS12 {
		config.MinVersion = tls.VersionTLS12
	}
	if len(opts.Names) > 0 {
		config.ServerName = opts.Names[0].ASCII
	}
	if opts.RootCAs == nil {
		opts.RootCAs = config.RootCAs
	}
	if opts.Time == nil {
		opts.Time = config.Time
	}
	config.InsecureSkipVerify = true // VerifyConnection does it.
	config.VerifyPeerCertificate = nil
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		r, err := Verify(records, cs.PeerCertificates, opts)
		if err == nil && verified != nil {
			verified(r)
		}
		return err
	}
	return config
}
