package config

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"mox/dns"
)

// WebHandlerFields is an element of WebHandlers in domains.conf.
type WebHandlerFields struct {
	LogName               string             `sconf:"optional" sconf-doc:"Name for logs and metrics. [number of the handler, from 0]"`
	Domain                string             `sconf-doc:"Host in the URL of a request. With WebserverHTTPS and ACME there is a certificate for it."`
	PathRegexp            string             `sconf-doc:"Regular expression (in the syntax of RE2) that must match the path in the URL, and must start with ^. Dots in the path (. and ..) are resolved before, and it starts with a slash. ^/ matches all."`
	DontRedirectPlainHTTP bool               `sconf:"optional" sconf-doc:"Answer requests without TLS too, instead of redirecting them to HTTPS."`
	Compress              bool               `sconf:"optional" sconf-doc:"Compress responses of which the type says that it is worth it, for clients that can take it. Of files (WebStatic), compressed copies are kept in the data directory. What has secrets in it that someone could guess bit by bit should not be compressed together with text that is under his control."`
	WebStatic             *WebStaticFields   `sconf:"optional" sconf-doc:"Serve files. Each handler has exactly one of WebStatic, WebRedirect, WebForward and WebInternal."`
	WebRedirect           *WebRedirectFields `sconf:"optional" sconf-doc:"Redirect to another URL."`
	WebForward            *WebForwardFields  `sconf:"optional" sconf-doc:"Forward to another server (reverse proxy), also of WebSockets."`
	WebInternal           *WebInternalFields `sconf:"optional" sconf-doc:"Serve pages of this server."`
}

// WebStaticFields is the section WebStatic of a web handler.
type WebStaticFields struct {
	StripPrefix      string            `sconf:"optional" sconf-doc:"Start of the path that is left out when a file is looked for; it starts with a slash. Requests for other paths are not for this handler."`
	Root             string            `sconf-doc:"Directory with the files. A relative path starts at the directory in which the server was started. Symbolic links can lead to what is below it, and not to elsewhere. For a directory there is its file index.html."`
	ListFiles        bool              `sconf:"optional" sconf-doc:"List the files of directories without index.html."`
	ContinueNotFound bool              `sconf:"optional" sconf-doc:"If there is no such file, or the request is not GET or HEAD, go on with the next handlers."`
	ResponseHeaders  map[string]string `sconf:"optional" sconf-doc:"Header fields that responses get, such as Cache-Control with value max-age=604800, by name."`
}

// WebRedirectFields is the section WebRedirect of a web handler.
type WebRedirectFields struct {
	BaseURL        string `sconf:"optional" sconf-doc:"Start of the URL to redirect to: scheme, host, and perhaps query and fragment, such as https://www.example.org. Without scheme, //www.example.org, that stays. The path is that of the request. Queries of both are put together. If absent, scheme and host stay, and a redirect to the same URL is not made."`
	OrigPathRegexp string `sconf:"optional" sconf-doc:"Regular expression for the path of the request, the matching part of which becomes ReplacePath. Requests it does not match are answered with status 404."`
	ReplacePath    string `sconf:"optional" sconf-doc:"What becomes of OrigPathRegexp: $1 stands for its first group, ${1} too."`
	StatusCode     int    `sconf:"optional" sconf-doc:"301 or 308 for good, which browsers remember, 302 or 307 for the time being, or 303. 307 and 308 keep the method of the request. [308]"`
}

// WebForwardFields is the section WebForward of a web handler.
type WebForwardFields struct {
	StripPath       bool              `sconf:"optional" sconf-doc:"Leave out the part of the path that PathRegexp matched."`
	URL             string            `sconf-doc:"Where to forward to, with http or https: the path of the request is put behind that of this URL. The header field Host stays; X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto tell about the client. The certificate is verified."`
	ResponseHeaders map[string]string `sconf:"optional" sconf-doc:"Header fields that responses get, instead of those with the same name."`
	MaxBodySize     int64             `sconf:"optional" sconf-doc:"Size in bytes of the largest body of a request. [1073741824, which is 1 GiB] Negative: no limit."`
	Timeout         time.Duration     `sconf:"optional" sconf-doc:"How long the other server may take until it begins to answer, after it has the request. [2m]"`
}

// WebInternalFields is the section WebInternal of a web handler.
type WebInternalFields struct {
	BasePath string `sconf-doc:"Path at which the service is, with a slash at start and end. PathRegexp must match it."`
	Service  string `sconf-doc:"One of admin, account, webmail, webapi. One that this version does not have answers with status 404."`
}

// WebHandler says how requests to a domain are answered. Exactly one of Static,
// Redirect, Forward and Internal is not nil.
type WebHandler struct {
	Name                  string
	Domain                dns.Domain
	Path                  *regexp.Regexp // Matches at the start only.
	DontRedirectPlainHTTP bool
	Compress              bool

	Static   *WebStatic
	Redirect *WebRedirect
	Forward  *WebForward
	Internal *WebInternalFields
}

// WebStatic serves files.
type WebStatic struct {
	StripPrefix      string
	Root             string
	ListFiles        bool
	ContinueNotFound bool
	Header           http.Header // For responses.
}

// WebRedirect redirects.
type WebRedirect struct {
	Base    *url.URL       // Nil: scheme and host stay.
	Orig    *regexp.Regexp // For the path. Nil: it stays.
	Replace string         // For [regexp.Regexp.ReplaceAllString].
	Code    int
}

// WebForward forwards to another server.
type WebForward struct {
	StripPath   bool
	URL         *url.URL
	Header      http.Header   // For responses.
	MaxBodySize int64         // In bytes; negative for no limit.
	Timeout     time.Duration // Until the header of the response.
}

// Defaults and limits of web handlers.
const (
	DefaultMaxBodySize    = 1 << 30
	DefaultForwardTimeout = 2 * time.Minute

	// maxWebHandlers is how many handlers there can be: they are looked at one by one.
	maxWebHandlers = 1000
)

// webInternalServices are the services of WebInternal.
var webInternalServices = []string{"admin", "account", "webmail", "webapi"}

// webserver checks WebDomainRedirects and WebHandlers.
func (c *checker) webserver(s *Snapshot) {
	served := slices.ContainsFunc(s.Listeners, func(l Listener) bool { return l.WebserverHTTP.Enabled || l.WebserverHTTPS.Enabled })
	need := func(field string) {
		if !served {
			c.addf(field, "no listener in %s has WebserverHTTP or WebserverHTTPS", StaticName)
		}
	}
	s.WebDomainRedirects = map[dns.Domain]dns.Domain{}
	for _, name := range slices.Sorted(maps.Keys(s.Dynamic.WebDomainRedirects)) {
		field := join("WebDomainRedirects", name)
		from, to := c.domain(field, name), c.domain(field, s.Dynamic.WebDomainRedirects[name])
		if from == to && !from.IsZero() {
			c.addf(field, "redirects to itself")
		}
		s.WebDomainRedirects[from] = to
	}
	if len(s.WebDomainRedirects) > 0 {
		need("WebDomainRedirects")
	}
	if len(s.Dynamic.WebHandlers) > 0 {
		need("WebHandlers")
	}
	if len(s.Dynamic.WebHandlers) > maxWebHandlers {
		c.addf("WebHandlers", "more than %d handlers", maxWebHandlers)
		return
	}
	for i, f := range s.Dynamic.WebHandlers {
		s.WebHandlers = append(s.WebHandlers, c.webHandler(fmt.Sprintf("WebHandlers[%d]", i), i, f))
	}
}

func (c *checker) webHandler(field string, i int, f WebHandlerFields) WebHandler {
	h := WebHandler{
		Name:                  f.LogName,
		Domain:                c.domain(field+".Domain", f.Domain),
		DontRedirectPlainHTTP: f.DontRedirectPlainHTTP,
		Compress:              f.Compress,
	}
	if h.Name == "" {
		h.Name = fmt.Sprint(i)
	}
	if !strings.HasPrefix(f.PathRegexp, "^") {
		c.addf(field+".PathRegexp", "must start with ^")
	}
	h.Path = c.regexp(field+".PathRegexp", f.PathRegexp, false)
	n := 0
	if f.WebStatic != nil {
		n++
		h.Static = c.webStatic(field+".WebStatic", f.WebStatic)
	}
	if f.WebRedirect != nil {
		n++
		h.Redirect = c.webRedirect(field+".WebRedirect", f.WebRedirect)
	}
	if f.WebForward != nil {
		n++
		h.Forward = c.webForward(field+".WebForward", f.WebForward)
	}
	if f.WebInternal != nil {
		n++
		h.Internal = f.WebInternal
		c.webInternal(field+".WebInternal", h)
	}
	if n != 1 {
		c.addf(field, "exactly one of WebStatic, WebRedirect, WebForward and WebInternal is needed")
	}
	return h
}

func (c *checker) webStatic(field string, f *WebStaticFields) *WebStatic {
	c.notEmpty(field+".Root", f.Root)
	if f.StripPrefix != "" && !strings.HasPrefix(f.StripPrefix, "/") {
		c.addf(field+".StripPrefix", "must start with a slash")
	}
	return &WebStatic{f.StripPrefix, f.Root, f.ListFiles, f.ContinueNotFound, c.responseHeaders(field+".ResponseHeaders", f.ResponseHeaders)}
}

func (c *checker) webRedirect(field string, f *WebRedirectFields) *WebRedirect {
	r := &WebRedirect{Replace: f.ReplacePath, Code: f.StatusCode}
	if f.BaseURL != "" {
		u, err := url.Parse(f.BaseURL)
		switch {
		case err != nil || u.Host == "" || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" || u.User != nil:
			c.addf(field+".BaseURL", "%q is not a URL that starts with https://, http:// or //, and a host", f.BaseURL)
		case u.Path != "" && u.Path != "/":
			c.addf(field+".BaseURL", "cannot have a path: that is the one of the request, or from ReplacePath")
		}
		r.Base = u
	}
	r.Orig = c.regexp(field+".OrigPathRegexp", f.OrigPathRegexp, false)
	if (f.OrigPathRegexp == "") != (f.ReplacePath == "") {
		c.addf(field, "OrigPathRegexp and ReplacePath are needed together")
	}
	if f.BaseURL == "" && f.OrigPathRegexp == "" {
		c.addf(field, "BaseURL, or OrigPathRegexp with ReplacePath, is needed")
	}
	switch f.StatusCode {
	case 0:
		r.Code = http.StatusPermanentRedirect
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
	default:
		c.addf(field+".StatusCode", "%d is not one of 301, 302, 303, 307, 308", f.StatusCode)
	}
	return r
}

func (c *checker) webForward(field string, f *WebForwardFields) *WebForward {
	w := &WebForward{StripPath: f.StripPath, MaxBodySize: f.MaxBodySize, Timeout: f.Timeout}
	u, err := url.Parse(f.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
		c.addf(field+".URL", "%q is not a URL that starts with http:// or https://, and a host", f.URL)
	} else if u.RawQuery != "" || u.Fragment != "" {
		c.addf(field+".URL", "cannot have a query or fragment: the query is that of the request")
	}
	w.URL = u
	w.Header = c.responseHeaders(field+".ResponseHeaders", f.ResponseHeaders)
	if f.MaxBodySize == 0 {
		w.MaxBodySize = DefaultMaxBodySize
	}
	if f.Timeout == 0 {
		w.Timeout = DefaultForwardTimeout
	} else if f.Timeout < 0 {
		c.addf(field+".Timeout", "cannot be negative")
	}
	return w
}

func (c *checker) webInternal(field string, h WebHandler) {
	base := h.Internal.BasePath
	if !strings.HasPrefix(base, "/") || !strings.HasSuffix(base, "/") {
		c.addf(field+".BasePath", "must start and end with a slash")
	} else if h.Path != nil && !h.Path.MatchString(base) {
		c.addf(field+".BasePath", "is not matched by PathRegexp")
	}
	if !slices.Contains(webInternalServices, h.Internal.Service) {
		c.addf(field+".Service", "unknown service %q, use one of %s", h.Internal.Service, strings.Join(webInternalServices, ", "))
	}
}

// Header fields that are about the connection or the form of the body, which nobody but
// the server can know.
var notResponseHeaders = []string{"Connection", "Content-Encoding", "Content-Length", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// tokenChars are those of names of header fields besides letters and digits, RFC 9110
// §5.6.2.
const tokenChars = "!#$%&'*+-.^_`|~"

func notInToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(tokenChars, r)
}

// responseHeaders checks header fields for responses.
func (c *checker) responseHeaders(field string, m map[string]string) http.Header {
	h := http.Header{}
	for _, name := range slices.Sorted(maps.Keys(m)) {
		field, key := join(field, name), http.CanonicalHeaderKey(name)
		switch {
		case name == "" || strings.ContainsFunc(name, notInToken):
			c.addf(field, "%q is not a name of a header field", name)
		case slices.Contains(notResponseHeaders, key):
			c.addf(field, "header field %s is set by the server", key)
		case strings.ContainsFunc(m[name], func(r rune) bool { return r < ' ' || r == 0x7f }):
			c.addf(field, "value has control characters")
		case h.Get(key) != "":
			c.addf(field, "header field %s is there twice", key)
		}
		h.Set(key, m[name])
	}
	return h
}
