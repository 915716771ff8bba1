package certs

import (
	"fmt"
	"strings"

	"github.com/libdns/cloudflare"
	"github.com/libdns/desec"
	"github.com/libdns/gandi"
	"github.com/libdns/hetzner"
	"github.com/libdns/libdns"
	"github.com/libdns/ovh"
	"github.com/libdns/porkbun"
	"github.com/libdns/rfc2136"
	"github.com/libdns/route53"

	"mox/config"
)

// DNSProvider has the records of zones. It is an API elsewhere, or a name server.
type DNSProvider interface {
	libdns.RecordGetter
	libdns.RecordAppender
	libdns.RecordDeleter
}

// NewDNSProvider returns who has records, with the secrets from its file, which read reads. It
// writes those of DNS-01, RFC 8555 §8.4, among others.
func NewDNSProvider(d config.DNS01, read func(path string) ([]byte, error)) (DNSProvider, error) {
	path := d.TokenFile
	if d.Provider == config.ProviderRFC2136 {
		path = d.KeyFile
	}
	data, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("secret for dns provider: %w", err)
	}
	secrets := strings.Fields(string(data))
	want := 1
	switch d.Provider {
	case config.ProviderPorkbun, config.ProviderRoute53:
		want = 2
	case config.ProviderOVH:
		want = 4
	}
	if len(secrets) != want {
		return nil, fmt.Errorf("file %s for dns provider %s has %d secrets, it must be %d", path, d.Provider, len(secrets), want)
	}
	switch d.Provider {
	case config.ProviderCloudflare:
		return &cloudflare.Provider{APIToken: secrets[0]}, nil
	case config.ProviderDeSEC:
		return &desec.Provider{Token: secrets[0]}, nil
	case config.ProviderGandi:
		return &gandi.Provider{BearerToken: secrets[0]}, nil
	case config.ProviderHetzner:
		return &hetzner.Provider{AuthAPIToken: secrets[0]}, nil
	case config.ProviderOVH:
		return &ovh.Provider{Endpoint: secrets[0], ApplicationKey: secrets[1], ApplicationSecret: secrets[2], ConsumerKey: secrets[3]}, nil
	case config.ProviderPorkbun:
		return &porkbun.Provider{APIKey: secrets[0], APISecretKey: secrets[1]}, nil
	case config.ProviderRoute53:
		return &route53.Provider{AccessKeyId: secrets[0], SecretAccessKey: secrets[1]}, nil
	case config.ProviderRFC2136:
		return &rfc2136.Provider{Server: d.Server, KeyName: d.KeyName, KeyAlg: d.KeyAlgorithm, Key: secrets[0]}, nil
	}
	return nil, fmt.Errorf("unknown dns provider %q", d.Provider)
}
