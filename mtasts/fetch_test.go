package mtasts_test

import (
	"compress/gzip"
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
	"testing/synctest"
	"time"

	"mox/dns"
	"mox/internal/testkit"
	"mox/mtasts"
)

const zone = `
_mta-sts.example.com       TXT "v=STSv1; id=" "20160831085700Z;"
_mta-sts.alias.example     CNAME _mta-sts.example.com
_mta-sts.other.example     TXT "hello"
_mta-sts.other.example     TXT "v=STSv1; id=1"
_mta-sts.other.example     TXT "v=STSv10; id=1"
_mta-sts.none.example      TXT "v=STSv2; id=1"
_mta-sts.several.example   TXT "v=STSv1; id=1"
_mta-sts.several.example   TXT "v=STSv1 ; id=2"
_mta-sts.malformed.example TXT "v=STSv1; id=;"
_mta-sts.binary.example    TXT "v=STSv1; id=1; x=\000\255"
mta-sts.example.com        A   127.0.0.1
mta-sts.cname.example      CNAME mta-sts.example.com
mta-sts.expired.example    A   127.0.0.1
`

func resolver(t *testing.T) *dns.StrictResolver {
	t.Helper()
	srv := testkit.NewDNS(t, testkit.DNSOptions{
		Zone:      zone,
		Authentic: true,
		Insecure:  []string{"other.example"},
		Faults: map[string]testkit.DNSFault{
			"_mta-sts.servfail.example": testkit.DNSServFail,
			"_mta-sts.bogus.example":    testkit.DNSBogus,
		},
	})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestLookupRecordTellsWhyThereIsNone(t *testing.T) {
	t.Parallel()
	r := resolver(t)
	for _, tc := range []struct {
		domain    string
		id        string
		authentic bool
		errs      []error
	}{
		{"example.com", "20160831085700Z", true, nil},
		{"alias.example", "20160831085700Z", true, nil},
		{"other.example", "1", false, nil},
		{"absent.example", "", true, []error{mtasts.ErrNoRecord}},
		{"none.example", "", true, []error{mtasts.ErrNoRecord}},
		{"several.example", "", true, []error{mtasts.ErrMultipleRecords}},
		{"malformed.example", "", true, []error{mtasts.ErrRecordSyntax}},
		{"binary.example", "", true, []error{mtasts.ErrRecordSyntax}},
		{"servfail.example", "", false, []error{mtasts.ErrDNS, dns.ErrTemporary}},
		{"bogus.example", "", false, []error{mtasts.ErrDNS, dns.ErrBogus}},
	} {
		rec, res, err := mtasts.LookupRecord(t.Context(), nil, r, domain(t, tc.domain))
		if rec.ID != tc.id || res.Authentic != tc.authentic || (err == nil) != (tc.errs == nil) {
			t.Errorf("%s: got %+v, %+v, %v", tc.domain, rec, res, err)
		}
		for _, want := range tc.errs {
			if !errors.Is(err, want) {
				t.Errorf("%s: got error %v, expected %v", tc.domain, err, want)
			}
		}
	}
}

// policyHost starts a policy host, and returns options for fetching from it.
func policyHost(t *testing.T, handler http.HandlerFunc) mtasts.FetchOptions {
	t.Helper()
	ca := testkit.NewCA(t)
	good := ca.Issue(t, testkit.ECDSA, "mta-sts.example.com")
	expired := ca.IssueExpired(t, testkit.ECDSA, "mta-sts.expired.example")
	srv := httptest.NewUnstartedServer(handler)
	srv.TLS = &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if h.ServerName == "mta-sts.expired.example" {
			return &expired, nil
		}
		return &good, nil
	}}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // Failed handshakes are expected.
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return mtasts.FetchOptions{
		RootCAs: ca.Pool(),
		Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if addr != "127.0.0.1:443" {
				t.Errorf("dial to %s", addr)
			}
			return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
		},
	}
}

func serve(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = []string{contentType}
		if contentType == "" {
			w.Header()["Content-Type"] = nil // None, instead of a guess.
		}
		_, _ = io.WriteString(w, body) // The client may have enough.
	}
}

func TestGetReturnsRecordAndPolicy(t *testing.T) {
	t.Parallel()
	opts := policyHost(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "mta-sts.example.com" || r.URL.Path != "/.well-known/mta-sts.txt" || r.Method != "GET" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("got request %s %s %v", r.Host, r.URL, r.Header)
		}
		serve("text/plain; charset=utf-8", examplePolicy)(w, r)
	})
	rec, p, text, err := mtasts.Get(t.Context(), nil, resolver(t), domain(t, "example.com"), opts)
	if err != nil || rec.ID != "20160831085700Z" || p.Mode != mtasts.ModeEnforce || len(p.MX) != 3 || text != examplePolicy {
		t.Errorf("got %+v, %+v, %q, %v", rec, p, text, err)
	}
	if _, _, _, err := mtasts.Get(t.Context(), nil, resolver(t), domain(t, "absent.example"), opts); !errors.Is(err, mtasts.ErrNoRecord) {
		t.Errorf("got %v", err)
	}
}

func TestFetchTellsWhyThereIsNoPolicy(t *testing.T) {
	t.Parallel()
	r := resolver(t)
	redirect := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/.well-known/mta-sts.txt" {
				t.Errorf("redirect was followed to %s", r.URL)
			}
			http.Redirect(w, r, "/policy", code)
		}
	}
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(code)
		}
	}
	for _, tc := range []struct {
		name    string
		domain  string
		handler http.HandlerFunc
		want    error
		text    string
	}{
		{"a policy", "example.com", serve("text/plain", examplePolicy), nil, ""},
		{"media type in capitals", "example.com", serve("Text/PLAIN; x", examplePolicy), nil, ""},
		{"no media type", "example.com", serve("", examplePolicy), nil, ""},
		{"another media type", "example.com", serve("text/html", examplePolicy), mtasts.ErrFetch, "text/html"},
		{"malformed media type", "example.com", serve("/;", examplePolicy), mtasts.ErrFetch, "media type"},
		{"redirect 301", "example.com", redirect(301), mtasts.ErrFetch, "http status 301, a redirect"},
		{"redirect 302", "example.com", redirect(302), mtasts.ErrFetch, "http status 302"},
		{"redirect 307", "example.com", redirect(307), mtasts.ErrFetch, "http status 307"},
		{"status 404", "example.com", status(404), mtasts.ErrFetch, "http status 404"},
		{"status 204", "example.com", status(204), mtasts.ErrFetch, "http status 204"},
		{"status 206", "example.com", status(206), mtasts.ErrFetch, "http status 206"},
		{"malformed policy", "example.com", serve("text/plain", "hello"), mtasts.ErrPolicySyntax, "line 1"},
		{"empty policy", "example.com", serve("text/plain", ""), mtasts.ErrPolicySyntax, ""},
		{"large policy", "example.com", serve("text/plain", examplePolicy+strings.Repeat("\n", mtasts.MaxPolicySize)), mtasts.ErrFetch, "larger than"},
		{"unknown host", "absent.example", nil, mtasts.ErrFetch, "no such record"},
		{"certificate for another name", "cname.example", nil, mtasts.ErrCertificate, ""},
		{"expired certificate", "expired.example", nil, mtasts.ErrCertificate, "expired"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := mtasts.Fetch(t.Context(), nil, r, domain(t, tc.domain), policyHost(t, tc.handler))
			if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.text) {
				t.Errorf("got %v, expected %v with %q", err, tc.want, tc.text)
			}
			for _, other := range []error{mtasts.ErrFetch, mtasts.ErrCertificate, mtasts.ErrPolicySyntax} {
				if other != tc.want && errors.Is(err, other) {
					t.Errorf("error %v is also %v", err, other)
				}
			}
		})
	}
}

func TestEndlessAndCompressedPoliciesAreRefusedEarly(t *testing.T) {
	t.Parallel()
	r := resolver(t)
	endless := func(w io.Writer) int {
		line := []byte(strings.Repeat("\n", 4096))
		n := 0
		for n < 1<<30 {
			m, err := w.Write(line)
			n += m
			if err != nil {
				break
			}
		}
		return n
	}
	sent := make(chan int, 1)
	opts := policyHost(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		sent <- endless(w)
	})
	if _, _, err := mtasts.Fetch(t.Context(), nil, r, domain(t, "example.com"), opts); !errors.Is(err, mtasts.ErrFetch) {
		t.Errorf("got %v", err)
	}
	if n := <-sent; n > 64<<20 {
		t.Errorf("host could send %d bytes", n)
	}

	// A client of the caller may ask for compression.
	opts = policyHost(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Encoding", "gzip")
		zw := gzip.NewWriter(w)
		endless(zw)
	})
	opts.Client = &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: opts.RootCAs},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return opts.Dial(ctx, network, "127.0.0.1:443")
		},
	}}
	if _, _, err := mtasts.Fetch(t.Context(), nil, r, domain(t, "example.com"), opts); !errors.Is(err, mtasts.ErrFetch) {
		t.Errorf("got %v", err)
	}
}

// tripper is an HTTP transport.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestFetchEndsAfterOneMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: tripper(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}
		start := time.Now()
		_, _, err := mtasts.Fetch(t.Context(), nil, nil, dns.Domain{ASCII: "example.com"}, mtasts.FetchOptions{Client: client})
		if !errors.Is(err, mtasts.ErrFetch) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

func TestFetchDoesNotFollowRedirectsOfClientsThatDo(t *testing.T) {
	t.Parallel()
	requests := 0
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return nil },
		Transport: tripper(func(r *http.Request) (*http.Response, error) {
			requests++
			h := http.Header{"Location": {"https://elsewhere.example/"}}
			return &http.Response{StatusCode: 302, Header: h, Body: http.NoBody, Request: r}, nil
		}),
	}
	_, _, err := mtasts.Fetch(t.Context(), nil, nil, domain(t, "example.com"), mtasts.FetchOptions{Client: client})
	var serr *mtasts.StatusError
	if requests != 1 || !errors.As(err, &serr) || serr.Code != 302 {
		t.Errorf("got %d requests, %v", requests, err)
	}
}

func TestFetchTriesAllAddresses(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: "mta-sts.example.com A 127.0.0.2\nmta-sts.example.com A 127.0.0.1\n"})
	r, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	opts := policyHost(t, serve("text/plain", examplePolicy))
	dial := opts.Dial
	var tried []string
	opts.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		tried = append(tried, addr)
		if addr == "127.0.0.2:443" {
			return nil, errors.New("refused for the test")
		}
		return dial(ctx, network, addr)
	}
	if _, _, err := mtasts.Fetch(t.Context(), nil, r, domain(t, "example.com"), opts); err != nil {
		t.Errorf("got %v, tried %v", err, tried)
	}
	opts.Dial = func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("refused for the test")
	}
	if _, _, err := mtasts.Fetch(t.Context(), nil, r, domain(t, "example.com"), opts); !errors.Is(err, mtasts.ErrFetch) {
		t.Errorf("got %v", err)
	}
}
