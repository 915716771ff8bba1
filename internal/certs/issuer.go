package certs

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"mox/config"
	"mox/internal/metrics"
	"mox/internal/safefile"
)

const (
	// issueTimeout is how long an authority may take to make a certificate. Records in
	// DNS may take minutes to be seen.
	issueTimeout = 15 * time.Minute
	// requestTimeout is for one HTTP request to an authority.
	requestTimeout = time.Minute
	// propagationTimeout is how long it may take until a record is seen in DNS.
	propagationTimeout = 5 * time.Minute
	// pollTimeout is how long an authority may take to check and sign.
	pollTimeout = 5 * time.Minute
)

// client speaks with an authority, in the name of an account that it makes at the
// authority when it is first needed.
type client struct {
	conf    config.ACME
	keyFile string // Of the account.
	read    func(path string) ([]byte, error)
	acme    *acmez.Client

	alpn, dns acmez.Solver // Nil: not possible.
	http      func() acmez.Solver

	mu      sync.Mutex // Held while speaking with the authority: one certificate after the other.
	account acme.Account
}

// newClient makes the key of the account if there is none yet.
func (m *Manager) newClient(conf config.ACME) (*client, error) {
	keyFile := filepath.Join(m.dir, conf.Name+".key")
	key, err := accountKey(keyFile)
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: m.opts.Roots}
	c := &client{conf: conf, keyFile: keyFile, read: m.opts.ReadFile}
	c.account.PrivateKey = key
	c.acme = &acmez.Client{Client: &acme.Client{
		Directory:   conf.DirectoryURL,
		HTTPClient:  &http.Client{Transport: metrics.ClientTransport(pkgName, transport), Timeout: requestTimeout},
		UserAgent:   "mox/" + m.opts.Version,
		PollTimeout: pollTimeout,
		Logger:      m.quiet,
	}}
	if conf.DNS01 == nil {
		c.alpn = tlsSolver{m.challenges}
		c.http = m.httpSolver
		return c, nil
	}
	provider, err := NewDNSProvider(*conf.DNS01, m.opts.ReadFile)
	if err != nil {
		return nil, err
	}
	var resolvers []string
	for _, a := range m.opts.Resolvers {
		resolvers = append(resolvers, a.String())
	}
	c.dns = &certmagic.DNS01Solver{DNSManager: certmagic.DNSManager{
		DNSProvider:        provider,
		TTL:                time.Minute,
		PropagationTimeout: propagationTimeout,
		Resolvers:          resolvers,
		Logger:             m.zap,
	}}
	return c, nil
}

// accountKey returns the key of the account at an authority, which is made if there
// is none: an account is lost with its key.
func accountKey(path string) (crypto.Signer, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("make account key: %w", err)
		}
		data, err := encodeKey(key, "Private key of the account at the authority that certificates are requested from.\n")
		if err != nil {
			return nil, err
		}
		if err := safefile.WriteFile(path, data, 0600); err != nil {
			return nil, fmt.Errorf("write account key: %w", err)
		}
		return key, nil
	} else if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("%s has no key in PEM format, restore it from a backup, or remove it to make a new account", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("%s: key is %T", path, key)
	}
	return signer, nil
}

// register finds the account, or makes it. It must be called with mu held.
func (c *client) register(ctx context.Context) error {
	if c.account.Location != "" {
		return nil
	}
	account := acme.Account{PrivateKey: c.account.PrivateKey}
	account, err := c.acme.GetAccount(ctx, account)
	if err == nil {
		c.account = account
		return c.writeURI()
	}
	var problem acme.Problem
	if !errors.As(err, &problem) || problem.Type != acme.ProblemTypeAccountDoesNotExist {
		return fmt.Errorf("find account: %w", err)
	}
	account = acme.Account{
		PrivateKey:           c.account.PrivateKey,
		Contact:              []string{"mailto:" + c.conf.ContactEmail},
		TermsOfServiceAgreed: true,
	}
	if c.conf.EABKeyID != "" {
		key, err := c.read(c.conf.EABKeyFile)
		if err != nil {
			return fmt.Errorf("key of external account: %w", err)
		}
		eab := acme.EAB{KeyID: c.conf.EABKeyID, MACKey: strings.TrimRight(strings.TrimSpace(string(key)), "=")}
		if err := account.SetExternalAccountBinding(ctx, c.acme.Client, eab); err != nil {
			return fmt.Errorf("external account: %w", err)
		}
	}
	account, err = c.acme.NewAccount(ctx, account)
	if err != nil {
		return fmt.Errorf("make account: %w", err)
	}
	c.account = account
	return c.writeURI()
}

// solvers returns how names are proven, by kind of challenge.
func (c *client) solvers() map[string]acmez.Solver {
	m := map[string]acmez.Solver{}
	var overHTTP acmez.Solver
	if c.http != nil {
		overHTTP = c.http()
	}
	for name, s := range map[string]acmez.Solver{
		acme.ChallengeTypeHTTP01:    overHTTP,
		acme.ChallengeTypeTLSALPN01: c.alpn,
		acme.ChallengeTypeDNS01:     c.dns,
	} {
		if s != nil {
			m[name] = s
		}
	}
	return m
}

// obtain gets a certificate.
func (c *client) obtain(ctx context.Context, csr *x509.CertificateRequest) (acme.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, issueTimeout)
	defer cancel()
	if err := c.register(ctx); err != nil {
		return acme.Certificate{}, err
	}
	c.acme.ChallengeSolvers = c.solvers()
	params, err := acmez.OrderParametersFromCSR(c.account, csr)
	if err != nil {
		return acme.Certificate{}, err
	}
	certs, err := c.acme.ObtainCertificate(ctx, params)
	if err != nil {
		return acme.Certificate{}, err
	}
	if len(certs) == 0 {
		return acme.Certificate{}, errors.New("authority made no certificate")
	}
	return certs[0], nil // Others are the same with other chains.
}

// issuer is a certmagic.Issuer for certificates with one kind of key.
type issuer struct {
	*client
	kind Kind
}

// Issue implements certmagic.Issuer.
func (i *issuer) Issue(ctx context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	cert, err := i.obtain(ctx, csr)
	if err != nil {
		return nil, err
	}
	return &certmagic.IssuedCertificate{Certificate: cert.ChainPEM, Metadata: cert}, nil
}

// IssuerKey implements certmagic.Issuer. It is the name of a directory.
func (i *issuer) IssuerKey() string {
	return string(i.kind)
}

// GetRenewalInfo implements certmagic.RenewalInfoGetter: when the authority wants a
// certificate to be renewed.
func (i *issuer) GetRenewalInfo(ctx context.Context, cert certmagic.Certificate) (acme.RenewalInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return i.acme.GetRenewalInfo(ctx, cert.Leaf)
}

// advice returns what to do about a failure, or nothing.
func advice(conf config.ACME, err error) string {
	var problem acme.Problem
	if !errors.As(err, &problem) {
		return "check that this machine can reach " + conf.DirectoryURL + ", and that its authority is trusted (TLS.CA)"
	}
	reach := fmt.Sprintf("check that the name points to this machine in DNS, and that port 443 reaches port %d of it", conf.Port)
	if conf.DNS01 != nil {
		reach = "check that the token or key may change records of the zone, and that the zone is served"
	}
	switch problem.Type {
	case acme.ProblemTypeConnection, acme.ProblemTypeUnauthorized, acme.ProblemTypeTLS, acme.ProblemTypeIncorrectResponse:
		return reach
	case acme.ProblemTypeDNS:
		return "check that the name is in DNS, and that DNSSEC of its zone is right"
	case acme.ProblemTypeCAA:
		return "the CAA records of the domain let another authority make certificates, add this one"
	case acme.ProblemTypeRateLimited:
		return "too much was asked of the authority, it is tried again later"
	case acme.ProblemTypeExternalAccountRequired:
		return "the authority wants an account that exists already, set ExternalAccountBinding"
	case acme.ProblemTypeRejectedIdentifier:
		return "the authority makes no certificates for this name"
	}
	return ""
}
