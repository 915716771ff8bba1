package smtpclient

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	"mox/dns"
)

// TLSMode says when TLS is used.
type TLSMode uint8

// Modes of TLS.
const (
	// TLSOpportunistic starts TLS if the server announces STARTTLS. It is what mail
	// between servers uses without further agreement, RFC 7435.
	TLSOpportunistic TLSMode = iota

	// TLSRequired starts TLS with STARTTLS, also if the server does not announce it:
	// someone in between may have removed that.
	TLSRequired

	// TLSImmediate starts with TLS, as on port 465, RFC 8314 §3.3.
	TLSImmediate

	// TLSSkip does not use TLS.
	TLSSkip
)

// TLSOptions say how TLS is used, and how certificates are verified.
type TLSOptions struct {
	Mode TLSMode

	// Config is what to start from, e.g. with RootCAs and client Certificates. It is
	// not changed. Nil means an empty one. Its verification settings are not used;
	// those below are.
	Config *tls.Config

	// ServerName is the name the server is to have, for SNI and for verification.
	ServerName dns.Domain

	// VerifyPKIX requires a valid certificate for ServerName, signed by one of RootCAs
	// or of the system. Verification is done in any case, and its result is in TLSInfo.
	VerifyPKIX bool

	// Verify, if not nil, is called after the handshake, and must return nil for the
	// connection to be used: e.g. verification with DANE.
	Verify func(tls.ConnectionState) error

	// IgnoreVerifyErrors uses the connection even if verification fails, for messages
	// with "TLS-Required: No", RFC 8689 §3. The errors are in TLSInfo.
	IgnoreVerifyErrors bool

	// OnVerify, if not nil, is called when the certificate of the server was looked at,
	// also if that ends the connection, with PKIXErr and VerifyErr set. It is for reports.
	OnVerify func(TLSInfo)
}

// TLSInfo is what came of TLS on a connection.
type TLSInfo struct {
	// State is nil without TLS.
	State *tls.ConnectionState

	// PKIXErr is nil if the certificate is valid for ServerName, whether or not that
	// was required.
	PKIXErr error

	// VerifyErr is the error of TLSOptions.Verify.
	VerifyErr error

	// StartTLSErr is the reply to STARTTLS, if the server announced it and then refused
	// it, in mode TLSOpportunistic.
	StartTLSErr error
}

// config returns the configuration for a handshake, which records the outcome of
// verification in info.
func (o TLSOptions) config(info *TLSInfo) *tls.Config {
	config := &tls.Config{}
	if o.Config != nil {
		config = o.Config.Clone()
	}
	if config.MinVersion == 0 {
		config.MinVersion = tls.VersionTLS12
	}
	config.ServerName = o.ServerName.ASCII
	config.InsecureSkipVerify = true // VerifyConnection does it.
	config.VerifyPeerCertificate = nil
	config.VerifyConnection = func(cs tls.ConnectionState) error {
		info.PKIXErr = o.verifyPKIX(config, cs)
		if o.Verify != nil {
			info.VerifyErr = o.Verify(cs)
		}
		if o.OnVerify != nil {
			o.OnVerify(*info)
		}
		switch {
		case o.IgnoreVerifyErrors:
			return nil
		case o.VerifyPKIX && info.PKIXErr != nil:
			return info.PKIXErr
		}
		return info.VerifyErr
	}
	return config
}

// verifyPKIX does what crypto/tls does by default, RFC 5280 §6 and RFC 6125 §6.
func (o TLSOptions) verifyPKIX(config *tls.Config, cs tls.ConnectionState) error {
	switch {
	case o.ServerName.IsZero():
		return errors.New("no name to verify certificate for")
	case len(cs.PeerCertificates) == 0:
		return errors.New("no certificate")
	}
	opts := x509.VerifyOptions{Roots: config.RootCAs, DNSName: o.ServerName.ASCII, Intermediates: x509.NewCertPool()}
	if config.Time != nil {
		opts.CurrentTime = config.Time()
	}
	for _, cert := range cs.PeerCertificates[1:] {
		opts.Intermediates.AddCert(cert)
	}
	if _, err := cs.PeerCertificates[0].Verify(opts); err != nil {
		return fmt.Errorf("verifying certificate: %w", err)
	}
	return nil
}
