package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// TLSALPN is the protocol that an authority asks for with TLS, RFC 8737 §6.2.
const TLSALPN = "acme-tls/1"

// challengePath is where an authority asks with HTTP, RFC 8555 §8.3.
const challengePath = "/.well-known/acme-challenge/"

// challenges has the answers to what authorities ask at the moment to see that a
// name is ours.
type challenges struct {
	mu   sync.Mutex
	http map[string]string           // Key authorization by host and token.
	tls  map[string]*tls.Certificate // By host.
}

func newChallenges() *challenges {
	return &challenges{http: map[string]string{}, tls: map[string]*tls.Certificate{}}
}

// ServeHTTP answers HTTP-01, RFC 8555 §8.3.
func (c *challenges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, ok := strings.CutPrefix(r.URL.Path, challengePath)
	if !ok {
		http.NotFound(w, r)
		return
	}
	c.mu.Lock()
	text, ok := c.http[hostOnly(r.Host)+" "+token]
	c.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write([]byte(text)) // The authority says when it did not get it.
}

// hostOnly returns a host without a port.
func hostOnly(s string) string {
	host, _, _ := strings.Cut(s, ":")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

var errNoChallenge = errors.New("no authority asks for this name at the moment")

// config is for tls.Config.GetConfigForClient: it answers TLS-ALPN-01, RFC 8737 §3,
// and returns nil for other clients.
func (c *challenges) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	if !slices.Contains(hello.SupportedProtos, TLSALPN) {
		return nil, nil
	}
	c.mu.Lock()
	cert := c.tls[strings.ToLower(hello.ServerName)]
	c.mu.Unlock()
	if cert == nil {
		return nil, errNoChallenge
	}
	return &tls.Config{
		MinVersion:             tls.VersionTLS12,
		NextProtos:             []string{TLSALPN},
		Certificates:           []tls.Certificate{*cert},
		SessionTicketsDisabled: true,
	}, nil
}

// httpSolver is an acmez.Solver for HTTP-01.
type httpSolver struct{ c *challenges }

func (s httpSolver) key(ch acme.Challenge) string {
	return ch.Identifier.Value + " " + ch.Token
}

func (s httpSolver) Present(_ context.Context, ch acme.Challenge) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.http[s.key(ch)] = ch.KeyAuthorization
	return nil
}

func (s httpSolver) CleanUp(_ context.Context, ch acme.Challenge) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	delete(s.c.http, s.key(ch))
	return nil
}

// tlsSolver is an acmez.Solver for TLS-ALPN-01.
type tlsSolver struct{ c *challenges }

func (s tlsSolver) Present(_ context.Context, ch acme.Challenge) error {
	cert, err := acmez.TLSALPN01ChallengeCert(ch)
	if err != nil {
		return err
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.tls[ch.Identifier.Value] = cert
	return nil
}

func (s tlsSolver) CleanUp(_ context.Context, ch acme.Challenge) error {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	delete(s.c.tls, ch.Identifier.Value)
	return nil
}
