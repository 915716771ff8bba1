package rdap

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"mox/dns"
)

// registry is a server with a list of servers, of which it is one, and with answers by
// path. It counts requests for the list.
func registry(t *testing.T, answers map[string]string) (*Client, *int) {
	t.Helper()
	lists := new(int)
	var srv *httptest.Server
	srv = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/dns.json" {
			*lists++
			// RFC 9224 §4: services are pairs of names and URLs.
			fmt.Fprintf(w, `{"version": "1.0", "publication": "2024-01-07T10:11:12Z", "services": [
				[["com", "example"], ["http://plain.invalid/", "%[1]s/rdap/"]],
				[["co.example"], ["%[1]s/co"]],
				[["none"], ["ftp://x.invalid/"]]
			]}`, srv.URL)
			return
		}
		body, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if !strings.Contains(r.Header.Get("Accept"), "application/rdap+json") {
			t.Errorf("got Accept %q", r.Header.Get("Accept"))
		}
		fmt.Fprint(w, body)
	}))
	t.Cleanup(srv.Close)
	return New(Options{HTTP: srv.Client(), Bootstrap: srv.URL + "/dns.json"}), lists
}

// answer has events as in RFC 9083 §4.5.
func answer(events ...string) string {
	var l []string
	for _, e := range events {
		action, date, _ := strings.Cut(e, "=")
		l = append(l, fmt.Sprintf(`{"eventAction": %q, "eventActor": "x", "eventDate": %q}`, action, date))
	}
	return `{"objectClassName": "domain", "ldhName": "x.example", "events": [` + strings.Join(l, ",") + `]}`
}

func TestRegistrationIsThatOfTheRegistry(t *testing.T) {
	t.Parallel()
	c, lists := registry(t, map[string]string{
		"/rdap/domain/mox.example":     answer("registration=1990-12-31T23:59:59Z", "last changed=2020-01-01T00:00:00Z"),
		"/rdap/domain/again.example":   answer("reregistration=2011-01-01T00:00:00+01:00", "registration=1990-12-31T23:59:59Z"),
		"/co/domain/mox.co.example":    answer("registration=2001-02-03T04:05:06.789Z"),
		"/rdap/domain/never.example":   answer("last changed=2020-01-01T00:00:00Z"),
		"/rdap/domain/bad.example":     answer("registration=yesterday"),
		"/rdap/domain/other.example":   `{"objectClassName": "entity"}`,
		"/rdap/domain/html.example":    "<html>",
		"/rdap/domain/large.example":   strings.Repeat(" ", maxAnswer+1),
		"/rdap/domain/xn--74h.example": answer("registration=1990-12-31T23:59:59Z"),
	})
	tests := []struct {
		domain string
		want   string
		err    error
	}{
		{"mox.example", "1990-12-31T23:59:59Z", nil},
		{"again.example", "2010-12-31T23:00:00Z", nil},
		{"mox.co.example", "2001-02-03T04:05:06Z", nil},
		{"☺.example", "1990-12-31T23:59:59Z", nil},
		{"never.example", "", ErrNoEvent},
		{"unknown.example", "", ErrNotFound},
		{"bad.example", "", ErrAnswer},
		{"other.example", "", ErrAnswer},
		{"html.example", "", ErrAnswer},
		{"large.example", "", ErrAnswer},
		{"mox.org", "", ErrNoServer},
		{"mox.none", "", ErrNoServer},
	}
	for _, tt := range tests {
		d, err := dns.ParseDomain(tt.domain)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Registered(t.Context(), d)
		if !errors.Is(err, tt.err) || tt.err == nil && got.UTC().Format(time.RFC3339) != tt.want {
			t.Errorf("%s: got %v, %v, want %s, %v", tt.domain, got, err, tt.want, tt.err)
		}
	}
	if *lists != 1 {
		t.Errorf("list of servers was fetched %d times", *lists)
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte(answer("registration=1990-12-31T23:59:59Z")))
	f.Add([]byte(`{"services": [[["com"], ["https://x/"]]]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if at, err := parseRegistered(data); err == nil && at.IsZero() {
			t.Errorf("no time and no error")
		}
		servers, err := parseBootstrap(data)
		for name, base := range servers {
			if err != nil || !strings.HasPrefix(base, "http") {
				t.Errorf("%q: %q, %v", name, base, err)
			}
		}
	})
}
