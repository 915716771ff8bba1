package config

import (
	"crypto/ed25519"
	"encoding/base64"
	"net/url"

	"mox/dns"
)

// UpdateSourceFields is the section UpdateSource of mox.conf.
type UpdateSourceFields struct {
	Domain       string `sconf-doc:"Domain whose TXT record at _updates has the latest version."`
	ChangelogURL string `sconf-doc:"Where what has changed comes from, starting with https://."`
	PublicKey    string `sconf-doc:"Key that signs what has changed, Ed25519 in base64."`
}

// UpdateSource is where new versions of this program are announced.
type UpdateSource struct {
	Domain       dns.Domain
	ChangelogURL string
	Key          ed25519.PublicKey
}

// updates checks the fields about new versions.
func (c *checker) updates(s *Snapshot) {
	f := s.Static.UpdateSource
	if f == nil {
		if s.Static.CheckUpdates {
			c.addf("CheckUpdates", "UpdateSource must say where new versions are announced")
		}
		return
	}
	src := &UpdateSource{Domain: c.domain("UpdateSource.Domain", f.Domain), ChangelogURL: f.ChangelogURL}
	if u, err := url.Parse(f.ChangelogURL); err != nil || u.Scheme != "https" || u.Host == "" {
		c.addf("UpdateSource.ChangelogURL", "%q is not a URL that starts with https://", f.ChangelogURL)
	}
	key, err := base64.StdEncoding.DecodeString(f.PublicKey)
	if err != nil || len(key) != ed25519.PublicKeySize {
		c.addf("UpdateSource.PublicKey", "%q is not %d bytes in base64", f.PublicKey, ed25519.PublicKeySize)
	}
	src.Key = key
	s.UpdateSource = src
}
