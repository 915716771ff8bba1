package selfcheck

import (
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"time"

	"mox/config"
	"mox/dns"
	"mox/internal/admin"
	"mox/internal/certs"
)

// minDKIMBits is the size below which receivers do not accept RSA keys, RFC 8301 §3.2.
const minDKIMBits = 2048

// soonPart is the part of the validity of a certificate that is left when it should have
// been renewed long ago: authorities want that with a third left.
const soonPart = 4

// certificates looks at certificates and keys.
func (c *Check) certificates() {
	for _, l := range c.Config.Listeners {
		if l.TLS == nil {
			continue
		}
		for _, kc := range l.TLS.KeyCerts {
			pair, err := tls.LoadX509KeyPair(kc.CertFile, kc.KeyFile)
			if err != nil {
				continue // That is said about the configuration.
			}
			c.certificate(pair.Leaf, kc.CertFile, "put a new one there, which is read by itself")
		}
		if l.SMTP.Enabled && len(l.TLS.KeyCerts) > 0 {
			c.covers(l)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Config.ACME)) {
		c.acme(name)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Config.Dynamic.Domains)) {
		c.dkim(name)
	}
}

// certificate looks at how long a certificate is valid.
func (c *Check) certificate(cert *x509.Certificate, name, advice string) {
	const check = "CERT"
	left := cert.NotAfter.Sub(c.Now())
	whole := cert.NotAfter.Sub(cert.NotBefore)
	switch day := 24 * time.Hour; {
	case left <= 0:
		c.add(check, admin.Failure, "the certificate %s has expired on %s: %s", name, cert.NotAfter.Format(time.DateOnly), advice)
	case c.Now().Before(cert.NotBefore):
		c.add(check, admin.Failure, "the certificate %s is valid from %s on only, or the clock is wrong", name, cert.NotBefore.Format(time.RFC3339))
	case left < whole/soonPart:
		c.add(check, admin.Warning, "the certificate %s expires on %s, and should have been renewed: %s", name, cert.NotAfter.Format(time.DateOnly), advice)
	default:
		c.add(check, admin.OK, "the certificate %s is valid for %d days", name, left/day)
	}
}

// covers sees whether one of the certificates of a listener is for its name.
func (c *Check) covers(l config.Listener) {
	for _, kc := range l.TLS.KeyCerts {
		pair, err := tls.LoadX509KeyPair(kc.CertFile, kc.KeyFile)
		if err != nil || pair.Leaf.VerifyHostname(l.Hostname.ASCII) == nil {
			return
		}
	}
	c.add("CERT", admin.Warning, "no certificate of listener %s is for its name %s", l.Name, l.Hostname)
}

// acme looks at the certificates from an authority.
func (c *Check) acme(name string) {
	const check = "CERT"
	hosts := c.Config.CertificateHosts(name)
	stored, err := certs.Stored(c.Config.DataDir, name)
	if errors.Is(err, fs.ErrPermission) {
		c.add(check, admin.Warning, "certificates from %s were not looked at, because this user may not: run this as root", name)
		return
	} else if err != nil {
		c.add(check, admin.Failure, "certificates from %s: %s", name, err)
		return
	}
	for _, host := range hosts {
		l := slices.DeleteFunc(slices.Clone(stored), func(cert *x509.Certificate) bool { return cert.VerifyHostname(host.ASCII) != nil })
		if len(l) == 0 {
			c.add(check, admin.Warning, "there is no certificate for %s from %s yet: its records must be in DNS, and ports 443 and 80 be reached, unless it is proven with DNS-01; the log of the running server has more", host, name)
		}
		for _, cert := range l {
			c.certificate(cert, kindOf(cert)+" for "+host.String(), "it should be renewed by itself, the log of the server says why it is not")
		}
	}
}

func kindOf(cert *x509.Certificate) string { return "(" + cert.PublicKeyAlgorithm.String() + ")" }

// dkim looks at the keys of a domain.
func (c *Check) dkim(name string) {
	domain, err := dns.ParseDomain(name)
	if err != nil {
		return
	}
	d, _ := c.Config.Domain(domain)
	for _, selector := range slices.Sorted(maps.Keys(d.Selectors)) {
		if key, ok := d.Selectors[selector].Key.Public().(*rsa.PublicKey); ok && key.N.BitLen() < minDKIMBits {
			c.add("DKIM", admin.Warning, "key %s of %s has %d bits, fewer than receivers want: make one with %d", selector, name, key.N.BitLen(), minDKIMBits)
		}
	}
	if len(d.Sign) == 0 && !d.ReportsOnly {
		c.add("DKIM", admin.Warning, "no keys sign mail of %s: many receivers refuse it, or take it for junk", name)
	}
}
