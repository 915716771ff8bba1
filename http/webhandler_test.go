package http

import (
	"testing"

	"mox/config"
)

func TestRedirectsLeadToWhereTheyAreConfiguredTo(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		c         config.WebRedirectFields
		url, want string // Empty: not matched.
	}{
		{config.WebRedirectFields{BaseURL: "https://b.example"}, "https://site.example/a%2Fb/c%20d?x=1", "308 https://b.example/a%2Fb/c%20d?x=1"},
		{config.WebRedirectFields{BaseURL: "https://b.example/?y=2#frag"}, "https://site.example/a?x=1", "308 https://b.example/a?y=2&x=1#frag"},
		{config.WebRedirectFields{BaseURL: "https://b.example/?y=2"}, "https://site.example/", "308 https://b.example/?y=2"},
		{config.WebRedirectFields{BaseURL: "//b.example", StatusCode: 302}, "http://site.example/a", "302 http://b.example/a"},
		{config.WebRedirectFields{BaseURL: "//b.example:8443", StatusCode: 307}, "https://site.example/a", "307 https://b.example:8443/a"},
		{config.WebRedirectFields{BaseURL: "https://site.example"}, "http://site.example/a", "308 https://site.example/a"},
		{config.WebRedirectFields{BaseURL: "https://site.example"}, "https://site.example/a", ""},
		{config.WebRedirectFields{OrigPathRegexp: "^/old/(.*)$", ReplacePath: "/new/$1", StatusCode: 301}, "https://site.example/old/x%20y?q", "301 https://site.example/new/x%20y?q"},
		{config.WebRedirectFields{OrigPathRegexp: "^/old/(.*)$", ReplacePath: "/new/$1"}, "https://site.example/other", "404 "},
		{config.WebRedirectFields{OrigPathRegexp: "^/(.*)$", ReplacePath: "$1"}, "https://site.example/same", ""},
		{config.WebRedirectFields{OrigPathRegexp: "^/(.*)$", ReplacePath: "/x/$1"}, "https://site.example/%3Fa=b%23c", "308 https://site.example/x/%3Fa=b%23c"},
		{config.WebRedirectFields{OrigPathRegexp: "^/go/(.*)$", ReplacePath: "/$1"}, "https://site.example/go//evil.example/", "308 https://site.example/evil.example/"},
		{config.WebRedirectFields{BaseURL: "https://b.example", OrigPathRegexp: "^/(a+)", ReplacePath: "/${1}b"}, "https://site.example/aac", "308 https://b.example/aabc"},
	} {
		s := newSite(t, siteOptions{dynamic: handlers(config.WebHandlerFields{Domain: "site.example", PathRegexp: "^/", DontRedirectPlainHTTP: true, WebRedirect: &tc.c})})
		a := s.get(tc.url)
		got := a.Status[:4] + a.Header.Get("Location")
		if want := tc.want; got != want && (want != "" || a.StatusCode != 404) {
			t.Errorf("%+v: %s: got %q, expected %q", tc.c, tc.url, got, want)
		}
	}
}

func TestRequestsWithoutTLSAreRedirectedToThePortThatHasIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{
		listener: func(l *config.ListenerFields) { l.WebserverHTTPS.Port = 8443 },
		dynamic: handlers(
			config.WebHandlerFields{Domain: "site.example", PathRegexp: "^/open", DontRedirectPlainHTTP: true, WebRedirect: &config.WebRedirectFields{BaseURL: "https://other.example"}},
			config.WebHandlerFields{Domain: "site.example", PathRegexp: "^/", WebRedirect: &config.WebRedirectFields{BaseURL: "https://other.example"}},
		),
	})
	for url, want := range map[string]string{
		"http://site.example/open":         "https://other.example/open",
		"http://site.example/a//b/../c?%2": "https://site.example:8443/a//b/../c?%2",
	} {
		if a := s.get(url); a.Header.Get("Location") != want {
			t.Errorf("%s: got %s %v", url, a.Status, a.Header)
		}
	}
}
