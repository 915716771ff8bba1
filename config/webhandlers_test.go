package config

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestWebHandlersAreRead(t *testing.T) {
	t.Parallel()
	s, err := testLoad(webStatic(t, webServers), testDynamic+`WebDomainRedirects:
	www.example.org: example.org
WebHandlers:
	-
		LogName: files
		Domain: example.org
		PathRegexp: ^/files/
		DontRedirectPlainHTTP: true
		Compress: true
		WebStatic:
			StripPrefix: /files/
			Root: web
			ListFiles: true
			ContinueNotFound: true
			ResponseHeaders:
				cache-control: max-age=604800
	-
		Domain: example.org
		PathRegexp: ^/
		WebRedirect:
			BaseURL: //www.example.com?a=b#c
			OrigPathRegexp: ^/(.*)$
			ReplacePath: /x/$1
			StatusCode: 302
	-
		Domain: ☺.example
		PathRegexp: ^/app
		WebForward:
			StripPath: true
			URL: http://127.0.0.1:8080/base
			MaxBodySize: -1
			Timeout: 1h
	-
		Domain: ☺.example
		PathRegexp: ^/webmail/
		WebInternal:
			BasePath: /webmail/
			Service: webmail
	-
		Domain: ☺.example
		PathRegexp: ^/
		WebForward:
			URL: https://backend.example
`)
	if err != nil {
		t.Fatal(err)
	}
	h := s.WebHandlers
	if h[0].Name != "files" || h[1].Name != "1" || !h[0].Compress || !h[0].DontRedirectPlainHTTP || h[1].Compress || h[0].Path.String() != "^/files/" || h[2].Domain.ASCII != "xn--74h.example" {
		t.Errorf("got %+v", h)
	}
	if want := (&WebStatic{"/files/", "web", true, true, http.Header{"Cache-Control": {"max-age=604800"}}}); !reflect.DeepEqual(h[0].Static, want) {
		t.Errorf("got %v, expected %v", h[0].Static, want)
	}
	if r := h[1].Redirect; r.Base.Host != "www.example.com" || r.Base.RawQuery != "a=b" || r.Orig == nil || r.Replace != "/x/$1" || r.Code != 302 {
		t.Errorf("got %+v", r)
	}
	if f := h[2].Forward; !f.StripPath || f.URL.Path != "/base" || f.MaxBodySize != -1 || f.Timeout != time.Hour {
		t.Errorf("got %+v", f)
	}
	if f := h[4].Forward; f.MaxBodySize != 1<<30 || f.Timeout != 2*time.Minute {
		t.Errorf("got %+v", f)
	}
	if h[3].Internal.Service != "webmail" || len(s.WebDomainRedirects) != 1 {
		t.Errorf("got %+v, %v", h[3].Internal, s.WebDomainRedirects)
	}
}

func TestErrorsOfWebHandlersNameLineAndField(t *testing.T) {
	t.Parallel()
	dynamic := testDynamic + strings.Repeat("\n", 36-strings.Count(testDynamic, "\n")) // So that lines are known.
	for _, tc := range []struct{ lines, want string }{
		{"WebDomainRedirects:\n\ta.example: a.example\n\tB.example: c.example\n",
			"domains.conf:39: WebDomainRedirects.B.example: domain \"B.example\" must be written in unicode and lower case, as \"b.example\"\n" +
				"domains.conf:38: WebDomainRedirects.a.example: redirects to itself"},
		{"WebHandlers:\n\t-\n\t\tDomain: a.example\n\t\tPathRegexp: /\n",
			"domains.conf:40: WebHandlers[0].PathRegexp: must start with ^\n" +
				"domains.conf:38: WebHandlers[0]: exactly one of WebStatic, WebRedirect, WebForward and WebInternal is needed"},
		{"WebHandlers:\n\t-\n\t\tDomain: a.example\n\t\tPathRegexp: ^/(\n\t\tWebStatic:\n\t\t\tRoot: \n\t\t\tStripPrefix: x\n\t\t\tResponseHeaders:\n\t\t\t\ta b: c\n\t\t\t\tcontent-length: 1\n\t\t\t\tX-Y: a\n\t\t\t\tx-y: b\n",
			"domains.conf:40: WebHandlers[0].PathRegexp: missing closing ): `^/(`\n" +
				"domains.conf:42: WebHandlers[0].WebStatic.Root: is empty\n" +
				"domains.conf:43: WebHandlers[0].WebStatic.StripPrefix: must start with a slash\n" +
				"domains.conf:45: WebHandlers[0].WebStatic.ResponseHeaders.a b: \"a b\" is not a name of a header field\n" +
				"domains.conf:46: WebHandlers[0].WebStatic.ResponseHeaders.content-length: header field Content-Length is set by the server\n" +
				"domains.conf:48: WebHandlers[0].WebStatic.ResponseHeaders.x-y: header field X-Y is there twice"},
		{"WebHandlers:\n\t-\n\t\tDomain: a.example\n\t\tPathRegexp: ^/\n\t\tWebRedirect:\n\t\t\tBaseURL: https://b.example/path\n\t\t\tOrigPathRegexp: ^/x\n\t\t\tStatusCode: 200\n",
			"domains.conf:42: WebHandlers[0].WebRedirect.BaseURL: cannot have a path: that is the one of the request, or from ReplacePath\n" +
				"domains.conf:41: WebHandlers[0].WebRedirect: OrigPathRegexp and ReplacePath are needed together\n" +
				"domains.conf:44: WebHandlers[0].WebRedirect.StatusCode: 200 is not one of 301, 302, 303, 307, 308"},
		{"WebHandlers:\n\t-\n\t\tDomain: a.example\n\t\tPathRegexp: ^/\n\t\tWebRedirect:\n\t\t\tBaseURL: javascript:alert(1)\n",
			"domains.conf:42: WebHandlers[0].WebRedirect.BaseURL: \"javascript:alert(1)\" is not a URL that starts with https://, http:// or //, and a host"},
		{"WebHandlers:\n\t-\n\t\tDomain: a.example\n\t\tPathRegexp: ^/\n\t\tWebRedirect:\n\t\t\tStatusCode: 301\n",
			"domains.conf:41: WebHandlers[0].WebRedirect: BaseURL, or OrigPathRegexp with ReplacePath, is needed"},
		{"WebHandlers:\n\t-\n\t\tDomain: a.example\n\t\tPathRegexp: ^/\n\t\tWebForward:\n\t\t\tURL: ftp://b.example\n\t\t\tTimeout: -1s\n\t\tWebInternal:\n\t\t\tBasePath: /x\n\t\t\tService: pop3\n",
			"domains.conf:42: WebHandlers[0].WebForward.URL: \"ftp://b.example\" is not a URL that starts with http:// or https://, and a host\n" +
				"domains.conf:43: WebHandlers[0].WebForward.Timeout: cannot be negative\n" +
				"domains.conf:45: WebHandlers[0].WebInternal.BasePath: must start and end with a slash\n" +
				"domains.conf:46: WebHandlers[0].WebInternal.Service: unknown service \"pop3\", use one of admin, account, webmail, webapi\n" +
				"domains.conf:38: WebHandlers[0]: exactly one of WebStatic, WebRedirect, WebForward and WebInternal is needed"},
		{"WebHandlers:\n\t-\n\t\tDomain: a.example\n\t\tPathRegexp: ^/y/\n\t\tWebInternal:\n\t\t\tBasePath: /x/\n\t\t\tService: admin\n",
			"domains.conf:42: WebHandlers[0].WebInternal.BasePath: is not matched by PathRegexp"},
		{"WebHandlers:\n\t-\n\t\tDomain: a.example\n\t\tPathRegexp: ^/y/\n\t\tWebForward:\n\t\t\tURL: http://b.example/?x\n",
			"domains.conf:42: WebHandlers[0].WebForward.URL: cannot have a query or fragment: the query is that of the request"},
	} {
		_, err := testLoad(webStatic(t, webServers), dynamic+tc.lines)
		if got := strings.TrimSuffix(errorLines(t, err), "\n"); got != tc.want {
			t.Errorf("got:\n%s\nexpected:\n%s", got, tc.want)
		}
	}
	_, err := testLoad(testStatic, dynamic+"WebDomainRedirects:\n\ta.example: b.example\nWebHandlers:\n\t-\n\t\tDomain: a.example\n\t\tPathRegexp: ^/y/\n\t\tWebForward:\n\t\t\tURL: http://b.example\n")
	want := "domains.conf:37: WebDomainRedirects: no listener in mox.conf has WebserverHTTP or WebserverHTTPS\ndomains.conf:39: WebHandlers: no listener in mox.conf has WebserverHTTP or WebserverHTTPS\n"
	if got := errorLines(t, err); got != want {
		t.Errorf("got:\n%s\nexpected:\n%s", got, want)
	}
}
