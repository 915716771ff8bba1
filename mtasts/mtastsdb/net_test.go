package mtastsdb

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mox/dns"
	"mox/internal/testkit"
	"mox/mtasts"
)

const zone = `
_mta-sts.good.example      TXT "v=STSv1; id=1"
_mta-sts.expired.example   TXT "v=STSv1; id=1"
_mta-sts.unknown.example   TXT "v=STSv1; id=1"
_mta-sts.redirect.example  TXT "v=STSv1; id=1"
_mta-sts.large.example     TXT "v=STSv1; id=1"
_mta-sts.malformed.example TXT "v=STSv1; id=1"
_mta-sts.nohost.example    TXT "v=STSv1; id=1"
_mta-sts.several.example   TXT "v=STSv1; id=1"
_mta-sts.several.example   TXT "v=STSv1; id=2"
mta-sts.good.example       A   127.0.0.1
mta-sts.expired.example    A   127.0.0.1
mta-sts.unknown.example    A   127.0.0.1
mta-sts.redirect.example   A   127.0.0.1
mta-sts.large.example      A   127.0.0.1
mta-sts.malformed.example  A   127.0.0.1
`

// policyServer serves policies over HTTPS and returns how to fetch them.
func policyServer(t *testing.T) mtasts.FetchOptions {
	t.Helper()
	ca, stranger := testkit.NewCA(t), testkit.NewCA(t)
	good := ca.Issue(t, testkit.ECDSA, "mta-sts.good.example", "mta-sts.redirect.example", "mta-sts.large.example", "mta-sts.malformed.example")
	certs := map[string]tls.Certificate{
		"mta-sts.expired.example": ca.IssueExpired(t, testkit.ECDSA, "mta-sts.expired.example"),
		"mta-sts.unknown.example": stranger.Issue(t, testkit.ECDSA, "mta-sts.unknown.example"),
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		host, _, _ := strings.Cut(r.Host, ":")
		switch host {
		case "mta-sts.redirect.example":
			http.Redirect(w, r, "https://mta-sts.good.example/.well-known/mta-sts.txt", http.StatusFound)
		case "mta-sts.large.example":
			_, _ = io.WriteString(w, policyText("enforce", "mx.example", 86400)+strings.Repeat("x: y\r\n", mtasts.MaxPolicySize))
		case "mta-sts.malformed.example":
			_, _ = io.WriteString(w, "version: STSv1\r\nmode: maybe\r\n")
		default:
			_, _ = io.WriteString(w, policyText("enforce", "*.good.example", 86400))
		}
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if c, ok := certs[h.ServerName]; ok {
			return &c, nil
		}
		return &good, nil
	}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return mtasts.FetchOptions{
		RootCAs: ca.Pool(),
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
		},
	}
}

func TestPolicyIsFetchedOverHTTPSOrItIsKnownWhyNot(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: zone, Faults: map[string]testkit.DNSFault{"_mta-sts.servfail.example": testkit.DNSServFail}})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	tcheck(t, err)
	d := openDB(t, Options{Resolver: r, Fetch: policyServer(t)})
	for _, tc := range []struct {
		domain       string
		policy       bool
		problem, err error
		status       int
	}{
		{"good.example", true, nil, nil, 0},
		{"none.example", false, nil, nil, 0},
		{"several.example", false, nil, nil, 0},
		{"servfail.example", false, nil, mtasts.ErrDNS, 0},
		{"expired.example", false, mtasts.ErrCertificate, nil, 0},
		{"unknown.example", false, mtasts.ErrCertificate, nil, 0},
		{"redirect.example", false, mtasts.ErrFetch, nil, http.StatusFound},
		{"large.example", false, mtasts.ErrFetch, nil, 0},
		{"malformed.example", false, mtasts.ErrPolicySyntax, nil, 0},
		{"nohost.example", false, mtasts.ErrFetch, nil, 0},
	} {
		for _, round := range []string{"first", "second"} {
			p, problem, err := d.Get(t.Context(), parseDomain(t, tc.domain))
			if (p != nil) != tc.policy || !errors.Is(problem, tc.problem) || !errors.Is(err, tc.err) {
				t.Errorf("%s, %s: got %v, %v, %v", tc.domain, round, p, problem, err)
			}
			var serr *mtasts.StatusError
			if errors.As(problem, &serr) != (tc.status != 0) || serr != nil && serr.Code != tc.status {
				t.Errorf("%s, %s: got status %v", tc.domain, round, serr)
			}
			if p != nil && (p.Mode != mtasts.ModeEnforce || !p.Matches(parseDomain(t, "mx."+tc.domain)) || p.Matches(parseDomain(t, "mx.other.example"))) {
				t.Errorf("%s, %s: got policy %+v", tc.domain, round, p)
			}
		}
	}
	var seen []string
	for _, q := range srv.Queries() {
		if strings.HasPrefix(q, "TXT ") {
			seen = append(seen, q)
		}
	}
	// One for each domain but that whose lookup fails, which is tried again.
	if len(seen) < 11 || len(seen) > 15 {
		t.Errorf("%d lookups of records: %v", len(seen), seen)
	}
}

func TestWithoutResolverNoDomainHasAPolicy(t *testing.T) {
	t.Parallel()
	d := openDB(t, Options{})
	if p, problem, err := d.Get(t.Context(), parseDomain(t, "good.example")); p != nil || problem != nil || err != nil {
		t.Errorf("got %v, %v, %v", p, problem, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tcheck(t, d.Run(ctx))
}
