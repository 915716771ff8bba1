package mtasts

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"

	"mox/dns"
	"mox/mlog"
)

// FetchOptions are for Fetch. The zero value is right for use on the internet.
type FetchOptions struct {
	// Client, if not nil, does the request, and must verify certificates. Redirects are
	// not followed, whatever it says. If nil, a client is made for the request that
	// resolves names with the resolver of Fetch, and does not use proxies.
	Client *http.Client

	// RootCAs are the authorities that the made client trusts. Nil means those of the
	// system.
	RootCAs *x509.CertPool

	// Dial is how the made client connects to an IP address with port. Nil means with a
	// net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// Transport, if not nil, returns what does the request of the made client instead of
	// the transport that it is given, and which it must use: to count requests.
	Transport func(http.RoundTripper) http.RoundTripper

	// UserAgent is for the header field of that name, "mox" if empty.
	UserAgent string
}

// PolicyURL returns where the policy of a domain is, RFC 8461 §3.2.
func PolicyURL(domain dns.Domain) string {
	return "https://" + policyHost(domain) + "/.well-known/mta-sts.txt"
}

func policyHost(domain dns.Domain) string {
	return "mta-sts." + domain.ASCII
}

// Fetch gets the policy of a domain from its policy host. It returns the policy and
// its text. The answer must have status 200, a body of at most MaxPolicySize, and
// if it has a media type, text/plain: RFC 8461 §3.2 asks for that check so that a
// web server that holds files of its users does not give away the policy; hosts
// that send no media type do not have that problem.
//
// Errors match ErrFetch, ErrCertificate or ErrPolicySyntax; with the last one, the
// text is returned too. A nil log discards.
func Fetch(ctx context.Context, log *slog.Logger, resolver dns.Resolver, domain dns.Domain, opts FetchOptions) (Policy, string, error) {
	ctx, cancel := context.WithTimeout(ctx, FetchTimeout)
	defer cancel()
	policy, text, err := fetch(ctx, resolver, domain, opts)
	logger(log).DebugContext(ctx, "mta-sts policy", slog.Any("domain", domain), slog.String("mode", string(policy.Mode)), mlog.Err(err))
	return policy, text, err
}

func fetch(ctx context.Context, resolver dns.Resolver, domain dns.Domain, opts FetchOptions) (Policy, string, error) {
	text, err := get(ctx, resolver, domain, opts)
	if err != nil {
		kind := ErrFetch
		var cerr *tls.CertificateVerificationError
		if errors.As(err, &cerr) {
			kind = ErrCertificate
		}
		return Policy{}, "", fmt.Errorf("%w: %w", kind, err)
	}
	policy, err := ParsePolicy(text)
	if err != nil {
		return Policy{}, text, fmt.Errorf("%s: %w", PolicyURL(domain), err)
	}
	return policy, text, nil
}

// get returns the body.
func get(ctx context.Context, resolver dns.Resolver, domain dns.Domain, opts FetchOptions) (text string, rerr error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, PolicyURL(domain), nil)
	if err != nil {
		return "", err
	}
	agent := opts.UserAgent
	if agent == "" {
		agent = "mox"
	}
	req.Header.Set("User-Agent", agent)
	// RFC 8461 §3.3: no caches on the way.
	req.Header.Set("Cache-Control", "no-cache")
	client := opts.client(resolver)
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() {
		if err := resp.Body.Close(); err != nil && rerr == nil {
			rerr = err
		}
	}()
	if resp.StatusCode != http.StatusOK {
		return "", &StatusError{resp.StatusCode}
	}
	if err := checkMediaType(resp.Header.Get("Content-Type")); err != nil {
		return "", err
	}
	if resp.ContentLength > MaxPolicySize {
		return "", errTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxPolicySize+1))
	if err != nil {
		return "", fmt.Errorf("read policy: %w", err)
	}
	if len(body) > MaxPolicySize {
		return "", errTooLarge
	}
	return string(body), nil
}

var errTooLarge = fmt.Errorf("policy larger than %d bytes", MaxPolicySize)

// checkMediaType ignores parameters, as RFC 8461 §3.2 says, also malformed ones.
func checkMediaType(contentType string) error {
	if contentType == "" {
		return nil
	}
	typ, _, err := mime.ParseMediaType(contentType)
	if err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter) {
		return fmt.Errorf("media type %q: %w", contentType, err)
	}
	if typ != "text/plain" {
		return fmt.Errorf("media type is %q instead of text/plain", typ)
	}
	return nil
}

// client returns the client for one request.
func (o FetchOptions) client(resolver dns.Resolver) *http.Client {
	var c http.Client
	if o.Client != nil {
		c = *o.Client
	} else {
		c.Transport = &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return o.dial(ctx, resolver, network, addr)
			},
			TLSClientConfig:        &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true, // The client is for one request.
			DisableCompression:     true, // So that the limit is on what is sent.
			MaxResponseHeaderBytes: maxResponseHeader,
			ForceAttemptHTTP2:      true,
		}
		if o.Transport != nil {
			c.Transport = o.Transport(c.Transport)
		}
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}
	return &c
}

// dial connects to one of the addresses of a host, in their order.
func (o FetchOptions) dial(ctx context.Context, resolver dns.Resolver, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	ips, _, err := resolver.LookupIP(ctx, "ip", strings.TrimSuffix(host, "."))
	if err != nil {
		return nil, err
	}
	ips = ips[:min(len(ips), maxAddresses)]
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	var errs []error
	for _, ip := range ips {
		dctx, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err := dial(dctx, network, net.JoinHostPort(ip.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}
