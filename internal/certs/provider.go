package certs

import (
	"fmt"
	"os"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/libdns/cloudflare"
	"github.com/libdns/desec"
	"github.com/libdns/gandi"
	"github.com/libdns/rfc2136"

	"mox/config"
)

// dnsProvider returns who writes records of DNS-01, RFC 8555 §8.4.
func dnsProvider(d config.DNS01) (certmagic.DNSProvider, error) {
	path := d.TokenFile
	if d.Provider == config.ProviderRFC2136 {
		path = d.KeyFile
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secret for dns-01: %w", err)
	}
	secret := strings.TrimSpace(string(data))
	switch d.Provider {
	case config.ProviderCloudflare:
		return &cloudflare.Provider{APIToken: secret}, nil
	case config.ProviderDeSEC:
		return &desec.Provider{Token: secret}, nil
	case config.ProviderGandi:
		return &gandi.Provider{BearerToken: secret}, nil
	case config.ProviderRFC2136:
		return &rfc2136.Provider{Server: d.Server, KeyName: d.KeyName, KeyAlg: d.KeyAlgorithm, Key: secret}, nil
	}
	return nil, fmt.Errorf("unknown provider %q for dns-01", d.Provider)
}
