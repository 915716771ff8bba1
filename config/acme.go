package config

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mox/smtp"
)

// ACMEFields is one element of ACME in mox.conf.
type ACMEFields struct {
	DirectoryURL           string                        `sconf-doc:"URL of the directory of the authority. For Let's Encrypt: https://acme-v02.api.letsencrypt.org/directory."`
	ContactEmail           string                        `sconf-doc:"Address at which the authority can reach you about certificates. The account that is made with it agrees to the terms of the authority."`
	RenewBefore            time.Duration                 `sconf:"optional" sconf-doc:"How long before its end a certificate is renewed, at least 1h. If absent, that is when the authority says it should be, or otherwise when a third of its time is left."`
	Port                   int                           `sconf:"optional" sconf-doc:"Port on which the authority is answered with TLS. It always connects to port 443: another port is for where that is forwarded to. [443]"`
	IssuerDomainName       string                        `sconf:"optional" sconf-doc:"Name of the authority in CAA records in DNS, with which a domain says who may make certificates for it. [letsencrypt.org for Let's Encrypt]"`
	ExternalAccountBinding *ExternalAccountBindingFields `sconf:"optional" sconf-doc:"Account at the authority that already exists, for those that want one."`
	DNS01                  *DNS01Fields                  `sconf:"optional" sconf-doc:"Prove control of names with records in DNS, which the server writes and removes, instead of by being reached on port 443 or 80."`
}

// ExternalAccountBindingFields is the ExternalAccountBinding section within ACME in
// mox.conf.
type ExternalAccountBindingFields struct {
	KeyID   string `sconf-doc:"Name of the key, from the authority."`
	KeyFile string `sconf-doc:"File with the key from the authority, in base64url. A relative path starts at the directory of this file."`
}

// DNS01Fields is the DNS01 section within ACME in mox.conf.
type DNS01Fields struct {
	Provider     string `sconf-doc:"Who has the records: cloudflare, desec, gandi, hetzner, ovh, porkbun, route53, or rfc2136 for a name server of your own that takes updates."`
	TokenFile    string `sconf:"optional" sconf-doc:"File with the token for the API of the provider, with the right to change records of the zone. Some need more than a token, each on a line of its own: ovh the endpoint (such as ovh-eu), application key, application secret and consumer key; porkbun the API key and the secret key; route53 the access key id and the secret access key. Not for rfc2136. A relative path starts at the directory of this file."`
	Server       string `sconf:"optional" sconf-doc:"For rfc2136: the name server that takes updates, as ip:port or host:port."`
	KeyName      string `sconf:"optional" sconf-doc:"For rfc2136: name of the key that updates are signed with."`
	KeyAlgorithm string `sconf:"optional" sconf-doc:"For rfc2136: algorithm of the key, hmac-sha256 or hmac-sha512. [hmac-sha256]"`
	KeyFile      string `sconf:"optional" sconf-doc:"For rfc2136: file with the key, in base64. A relative path starts at the directory of this file."`
}

// Providers for DNS01.
const (
	ProviderCloudflare = "cloudflare"
	ProviderDeSEC      = "desec"
	ProviderGandi      = "gandi"
	ProviderHetzner    = "hetzner"
	ProviderOVH        = "ovh"
	ProviderPorkbun    = "porkbun"
	ProviderRoute53    = "route53"
	ProviderRFC2136    = "rfc2136"
)

// ACME is an authority that certificates are requested from.
type ACME struct {
	Name             string
	DirectoryURL     string
	ContactEmail     string        // In ASCII.
	RenewBefore      time.Duration // Zero: as the authority says.
	Port             int           // For TLS-ALPN-01.
	IssuerDomainName string        // For CAA records. Empty if it is not known.

	EABKeyID, EABKeyFile string // Empty without an external account.
	DNS01                *DNS01 // Nil: HTTP-01 and TLS-ALPN-01.
}

// DNS01 says how records for the authority are written.
type DNS01 struct {
	Provider     string
	TokenFile    string
	Server       string
	KeyName      string
	KeyAlgorithm string
	KeyFile      string
}

const (
	defaultACMEPort = 443
	minRenewBefore  = time.Hour

	letsEncryptHost   = "acme-v02.api.letsencrypt.org"
	letsEncryptIssuer = "letsencrypt.org"
)

// acme checks the ACME section of mox.conf.
func (c *checker) acme(s *Snapshot) {
	s.ACME = map[string]ACME{}
	dir := filepath.Dir(s.Path)
	for _, name := range slices.Sorted(maps.Keys(s.Static.ACME)) {
		field := join("ACME", name)
		if name == "" || strings.HasPrefix(name, ".") || strings.ContainsFunc(name, notInAccountName) {
			c.addf(field, "name %q is also that of files, it cannot be empty, start with a dot or have a slash, backslash, colon or control character", name)
		}
		s.ACME[name] = c.acmeAuthority(field, dir, name, s.Static.ACME[name])
	}
}

func (c *checker) acmeAuthority(field, dir, name string, f ACMEFields) ACME {
	a := ACME{Name: name, DirectoryURL: f.DirectoryURL, RenewBefore: f.RenewBefore, Port: f.Port, IssuerDomainName: f.IssuerDomainName}
	u, err := url.Parse(f.DirectoryURL)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		c.addf(field+".DirectoryURL", "%q is not a URL that starts with https://", f.DirectoryURL)
	} else if a.IssuerDomainName == "" && u.Host == letsEncryptHost {
		a.IssuerDomainName = letsEncryptIssuer
	}
	addr, err := smtp.ParseAddress(f.ContactEmail, smtp.Strict)
	switch {
	case err != nil:
		c.addf(field+".ContactEmail", "%q is not an address: %s", f.ContactEmail, trimPkg(err))
	case addr.Localpart.IsInternational():
		c.addf(field+".ContactEmail", "localpart of %q must be ASCII, authorities know no other", f.ContactEmail)
	default:
		a.ContactEmail = addr.Localpart.String() + "@" + addr.Domain.ASCII
	}
	if f.RenewBefore != 0 && f.RenewBefore < minRenewBefore {
		c.addf(field+".RenewBefore", "must be at least %v, so that there is time to try again", minRenewBefore)
	}
	if f.Port == 0 {
		a.Port = defaultACMEPort
	} else if f.Port < 0 || f.Port > 65535 {
		c.addf(field+".Port", "port %d is not between 1 and 65535", f.Port)
	}
	if eab := f.ExternalAccountBinding; eab != nil {
		c.notEmpty(field+".ExternalAccountBinding.KeyID", eab.KeyID)
		c.notEmpty(field+".ExternalAccountBinding.KeyFile", eab.KeyFile)
		a.EABKeyID, a.EABKeyFile = eab.KeyID, relative(dir, eab.KeyFile)
	}
	a.DNS01 = c.dns01(field+".DNS01", dir, f.DNS01)
	return a
}

func (c *checker) notEmpty(field, s string) {
	if s == "" {
		c.addf(field, "is empty")
	}
}

func (c *checker) dns01(field, dir string, f *DNS01Fields) *DNS01 {
	if f == nil {
		return nil
	}
	d := &DNS01{f.Provider, relative(dir, f.TokenFile), f.Server, f.KeyName, f.KeyAlgorithm, relative(dir, f.KeyFile)}
	switch f.Provider {
	case ProviderCloudflare, ProviderDeSEC, ProviderGandi, ProviderHetzner, ProviderOVH, ProviderPorkbun, ProviderRoute53:
		c.notEmpty(field+".TokenFile", f.TokenFile)
		if f.Server != "" || f.KeyName != "" || f.KeyAlgorithm != "" || f.KeyFile != "" {
			c.addf(field, "Server, KeyName, KeyAlgorithm and KeyFile are for %s only", ProviderRFC2136)
		}
	case ProviderRFC2136:
		if f.TokenFile != "" {
			c.addf(field+".TokenFile", "is not for %s, which has KeyFile", ProviderRFC2136)
		}
		if _, port, err := net.SplitHostPort(f.Server); err != nil || port == "" {
			c.addf(field+".Server", "%q is not an IP address or host with a port, such as 192.0.2.1:53", f.Server)
		}
		c.notEmpty(field+".KeyName", f.KeyName)
		c.notEmpty(field+".KeyFile", f.KeyFile)
		switch f.KeyAlgorithm {
		case "":
			d.KeyAlgorithm = "hmac-sha256"
		case "hmac-sha256", "hmac-sha512":
		default:
			c.addf(field+".KeyAlgorithm", "unknown algorithm %q, use hmac-sha256 or hmac-sha512", f.KeyAlgorithm)
		}
	default:
		c.addf(field+".Provider", "unknown provider %q, use one of %s", f.Provider,
			strings.Join([]string{ProviderCloudflare, ProviderDeSEC, ProviderGandi, ProviderHetzner, ProviderOVH, ProviderPorkbun, ProviderRoute53, ProviderRFC2136}, ", "))
	}
	return d
}

// certificates checks where the certificates of a listener come from.
func (c *checker) certificates(field, dir string, s *Snapshot, f *TLSFields, t *TLS) {
	switch {
	case f.ACME != "" && len(f.KeyCerts) > 0:
		c.addf(field+".ACME", "certificates come from an authority or from KeyCerts, not both: remove one of them")
	case f.ACME == "" && len(f.KeyCerts) == 0:
		c.addf(field+".KeyCerts", "at least one certificate is needed, or an authority in ACME to get one from")
	}
	if _, ok := s.ACME[f.ACME]; f.ACME != "" && !ok {
		c.addf(field+".ACME", "there is no ACME.%s", f.ACME)
	}
	t.ACME = f.ACME
	for i, path := range f.HostPrivateKeyFiles {
		if path == "" {
			c.addf(fmt.Sprintf("%s.HostPrivateKeyFiles[%d]", field, i), "file is empty")
			continue
		}
		t.HostKeyFiles = append(t.HostKeyFiles, relative(dir, path))
	}
}

// acmeName returns the name of the authority of a TLS section that may be nil.
func acmeName(t *TLS) string {
	if t == nil {
		return ""
	}
	return t.ACME
}

// checkACME opens the files with secrets for an authority.
func (c *checker) checkACME(a ACME) {
	field := join("ACME", a.Name)
	if a.EABKeyFile != "" {
		data, err := os.ReadFile(a.EABKeyFile)
		key := strings.TrimRight(strings.TrimSpace(string(data)), "=")
		if err != nil {
			c.addf(field+".ExternalAccountBinding.KeyFile", "%s", trimPkg(err))
		} else if _, err := base64.RawURLEncoding.DecodeString(key); err != nil || key == "" {
			c.addf(field+".ExternalAccountBinding.KeyFile", "%s has no key in base64url", a.EABKeyFile)
		}
	}
	if a.DNS01 != nil {
		c.checkProvider(field+".DNS01", *a.DNS01)
	}
}

// checkProvider opens the files with secrets for a provider of DNS.
func (c *checker) checkProvider(field string, d DNS01) {
	for _, f := range []struct{ field, path string }{{"TokenFile", d.TokenFile}, {"KeyFile", d.KeyFile}} {
		if f.path == "" {
			continue
		}
		if data, err := os.ReadFile(f.path); err != nil {
			c.addf(field+"."+f.field, "%s", trimPkg(err))
		} else if strings.TrimSpace(string(data)) == "" {
			c.addf(field+"."+f.field, "%s is empty", f.path)
		}
	}
}
