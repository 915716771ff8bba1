package dane

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"strings"

	"mox/dns"
)

// checkName checks that a certificate is for one of the names, RFC 7672 §3.2.3. The
// common name counts only if there are no DNS names. The error is an
// x509.HostnameError for the first name.
func checkName(c *x509.Certificate, names []dns.Domain) error {
	presented := c.DNSNames
	if len(presented) == 0 && c.Subject.CommonName != "" {
		presented = []string{c.Subject.CommonName}
	}
	for _, p := range presented {
		for _, name := range names {
			if matchName(p, name.ASCII) {
				return nil
			}
		}
	}
	err := x509.HostnameError{Certificate: c}
	if len(names) > 0 {
		err.Host = names[0].ASCII
	}
	return err
}

// matchName reports whether a name in a certificate, that may have "*" as its first
// label, stands for a name.
func matchName(presented, name string) bool {
	presented = strings.ToLower(strings.TrimSuffix(presented, "."))
	if name == "" || presented == "" {
		return false
	}
	if presented == name {
		return true
	}
	parent, ok := strings.CutPrefix(presented, "*.")
	if !ok {
		return false
	}
	_, rest, _ := strings.Cut(name, ".")
	// "*.org" would be for too many.
	return rest == parent && strings.Contains(parent, ".")
}

// checkKey reports whether a key from a record can be used in bounded time.
func checkKey(key crypto.PublicKey) bool {
	k, ok := key.(*rsa.PublicKey)
	return !ok || k.N.BitLen() <= maxRSABits
}

// keyAlgorithm returns what package x509 calls the algorithm of a key.
func keyAlgorithm(key crypto.PublicKey) x509.PublicKeyAlgorithm {
	switch key.(type) {
	case *rsa.PublicKey:
		return x509.RSA
	case *ecdsa.PublicKey:
		return x509.ECDSA
	case ed25519.PublicKey:
		return x509.Ed25519
	}
	return x509.UnknownPublicKeyAlgorithm
}
