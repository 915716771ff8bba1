package cli

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mjl-/sconf"

	"mox/dns"
	"mox/sasl"
	"mox/smtp"
	"mox/smtpclient"
)

const (
	// submitConfigPath is where the configuration of sendmail is, and submitConfigEnv the
	// variable of the environment with another path.
	submitConfigPath = "/etc/moxsubmit.conf"
	submitConfigEnv  = "MOXSUBMITCONF"

	maxSubmitConfig = 64 << 10 // Octets.
)

// submitConfig is the configuration of sendmail.
type submitConfig struct {
	LocalHostname string `sconf-doc:"Name of this machine, for the server. It need not be in DNS."`

	Host string `sconf-doc:"Name or IP address of the server to submit messages to."`

	Port int `sconf-doc:"Port of the server: 465 with TLS, 587 with STARTTLS."`

	TLS bool `sconf:"optional" sconf-doc:"Connect with TLS. Not together with STARTTLS. With neither, there is no TLS."`

	STARTTLS bool `sconf:"optional" sconf-doc:"Connect and then start TLS. Without it, nothing is sent."`

	TLSInsecureSkipVerify bool `sconf:"optional" sconf-doc:"Take any certificate, so that anybody in between can read mail and password."`

	Username string `sconf-doc:"Login address. With a client key it can be empty for the address that the key is for."`

	Password string `sconf:"optional" sconf-doc:"Password, for SASL with the strongest mechanism that the server offers. This, or one of ClientAuthEd25519PrivateKey and ClientAuthCertPrivateKeyPEMFile, is needed."`

	ClientAuthEd25519PrivateKey string `sconf:"optional" sconf-doc:"Private key to log in with by TLS client authentication: the seed of an Ed25519 key, in base64url without padding. A certificate is made of it. The server must know its public key, see mox config tlspubkey."`

	ClientAuthCertPrivateKeyPEMFile string `sconf:"optional" sconf-doc:"File with private key and certificate, both in PEM format, to log in with by TLS client authentication. The server must know its public key, see mox config tlspubkey."`

	AuthMethod string `sconf:"optional" sconf-doc:"SASL mechanism to use instead of the strongest one that the server offers: EXTERNAL (with a client key), SCRAM-SHA-256-PLUS, SCRAM-SHA-256, SCRAM-SHA-1-PLUS, SCRAM-SHA-1, CRAM-MD5, or PLAIN, which is never used unless it is given here."`

	From string `sconf-doc:"Address for MAIL FROM and the From field of messages. It must belong to the login address."`

	DefaultDestination string `sconf:"optional" sconf-doc:"Address for messages to a recipient without @, as cron sends them to local users."`

	RequireTLS string `sconf:"optional" sconf-doc:"Whether servers on the way must use verified TLS: yes refuses to send otherwise, no delivers also where verification fails, default leaves it to servers. [default]"`
}

// submitter is a configuration that was checked.
type submitter struct {
	submitConfig
	hostname dns.Domain
	host     dns.IPDomain
	from     smtp.Address
	fallback smtp.Address // DefaultDestination. Zero for none.
	cert     *tls.Certificate
}

// readSubmitConfig reads the configuration.
func readSubmitConfig() (*submitter, error) {
	path := os.Getenv(submitConfigEnv)
	if path == "" {
		path = submitConfigPath
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxSubmitConfig {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxSubmitConfig)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var c submitConfig
	if err := sconf.Parse(bytes.NewReader(data), &c); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s, err := c.check()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// submitMechanisms are what AuthMethod can be.
var submitMechanisms = append(sasl.DefaultMechanisms(), "EXTERNAL", "PLAIN")

func (c submitConfig) check() (*submitter, error) {
	s := &submitter{submitConfig: c}
	n := 0
	for _, v := range []string{c.Password, c.ClientAuthEd25519PrivateKey, c.ClientAuthCertPrivateKeyPEMFile} {
		if v != "" {
			n++
		}
	}
	s.AuthMethod = strings.ToUpper(c.AuthMethod)
	switch {
	case n != 1:
		return nil, errors.New("exactly one of Password, ClientAuthEd25519PrivateKey and ClientAuthCertPrivateKeyPEMFile must be set")
	case c.TLS && c.STARTTLS:
		return nil, errors.New("only one of TLS and STARTTLS can be set")
	case c.Password == "" && !c.TLS && !c.STARTTLS:
		return nil, errors.New("a client key needs TLS or STARTTLS")
	case c.Password != "" && c.Username == "":
		return nil, errors.New("field Username is needed with Password")
	case c.Port <= 0 || c.Port > 65535:
		return nil, fmt.Errorf("field Port: %d is not a port number", c.Port)
	case !slices.Contains([]string{"", "yes", "no", "default"}, c.RequireTLS):
		return nil, fmt.Errorf("field RequireTLS: %q is none of yes, no and default", c.RequireTLS)
	case c.AuthMethod != "" && !slices.Contains(submitMechanisms, s.AuthMethod):
		return nil, fmt.Errorf("field AuthMethod: %q is none of %s", c.AuthMethod, strings.Join(submitMechanisms, ", "))
	case c.AuthMethod != "" && (s.AuthMethod == "EXTERNAL") != (c.Password == ""):
		return nil, errors.New("field AuthMethod: EXTERNAL is for client keys, and others are for Password")
	}
	var err error
	if s.hostname, err = dns.ParseDomainLax(c.LocalHostname); err != nil {
		return nil, fmt.Errorf("field LocalHostname: %w", err)
	}
	if s.host, _, err = splitHostPort(c.Host, 1); err != nil {
		return nil, fmt.Errorf("field Host: %w", err)
	}
	if s.from, err = smtp.ParseAddress(c.From, smtp.Lenient); err != nil {
		return nil, fmt.Errorf("field From: %w", err)
	}
	if c.DefaultDestination != "" {
		if s.fallback, err = smtp.ParseAddress(c.DefaultDestination, smtp.Lenient); err != nil {
			return nil, fmt.Errorf("field DefaultDestination: %w", err)
		}
	}
	s.cert, err = c.clientCert()
	return s, err
}

// clientCert returns the certificate to log in with, nil for none.
func (c submitConfig) clientCert() (*tls.Certificate, error) {
	switch {
	case c.ClientAuthCertPrivateKeyPEMFile != "":
		data, err := os.ReadFile(c.ClientAuthCertPrivateKeyPEMFile)
		if err != nil {
			return nil, fmt.Errorf("field ClientAuthCertPrivateKeyPEMFile: %w", err)
		}
		cert, err := tls.X509KeyPair(pemBlocks(data, false), pemBlocks(data, true))
		if err != nil {
			return nil, fmt.Errorf("field ClientAuthCertPrivateKeyPEMFile: %w", err)
		}
		return &cert, nil
	case c.ClientAuthEd25519PrivateKey != "":
		seed, err := base64.RawURLEncoding.DecodeString(c.ClientAuthEd25519PrivateKey)
		if err != nil {
			return nil, fmt.Errorf("field ClientAuthEd25519PrivateKey: %w", err)
		}
		if len(seed) != ed25519.SeedSize && len(seed) != ed25519.PrivateKeySize {
			return nil, fmt.Errorf("field ClientAuthEd25519PrivateKey: %d bytes, not the %d of an Ed25519 key", len(seed), ed25519.SeedSize)
		}
		key := ed25519.NewKeyFromSeed(seed[:ed25519.SeedSize])
		now := time.Now()
		template := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			return nil, fmt.Errorf("make certificate: %w", err)
		}
		return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
	}
	return nil, nil
}

// pemBlocks returns the private key in a PEM file, or all else.
func pemBlocks(data []byte, key bool) []byte {
	var out []byte
	for b, rest := pem.Decode(data); b != nil; b, rest = pem.Decode(rest) {
		if strings.HasSuffix(b.Type, "PRIVATE KEY") == key {
			out = append(out, pem.EncodeToMemory(b)...)
		}
	}
	return out
}

// client returns how to connect and log in.
func (s *submitter) client() smtpclient.Options {
	o := smtpclient.Options{Hostname: dns.IPDomain{Domain: s.hostname}}
	o.TLS.Mode = smtpclient.TLSSkip
	switch {
	case s.TLS:
		o.TLS.Mode = smtpclient.TLSImmediate
	case s.STARTTLS:
		o.TLS.Mode = smtpclient.TLSRequired
	}
	o.TLS.VerifyPKIX = !s.TLSInsecureSkipVerify
	o.TLS.Config = &tls.Config{}
	if s.host.IsDomain() {
		o.TLS.ServerName = s.host.Domain
	} else {
		o.TLS.ServerName = dns.Domain{ASCII: s.host.IP.String()}
	}
	if s.cert != nil {
		o.TLS.Config.Certificates = []tls.Certificate{*s.cert}
	}
	o.Auth = func(offered []string, cs *tls.ConnectionState) (sasl.Client, error) {
		if s.cert != nil {
			return sasl.NewExternalClient(s.Username), nil
		}
		var allowed []string
		if s.AuthMethod != "" {
			allowed = []string{s.AuthMethod}
		}
		return sasl.Choose(sasl.ChooseOptions{
			Offered:     offered,
			Mechanisms:  allowed,
			Credentials: sasl.Credentials{Identity: sasl.Identity{Authentication: s.Username}, Password: s.Password},
			TLS:         cs,
		})
	}
	return o
}
