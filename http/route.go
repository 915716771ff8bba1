package http

import (
	"net/http"
	"slices"
	"strings"

	"mox/config"
	"mox/dns"
)

// Paths of what is well known.
const (
	challengePath     = "/.well-known/acme-challenge/" // RFC 8555 §8.3.
	policyPath        = "/.well-known/mta-sts.txt"     // RFC 8461 §3.3.
	autoconfigPath    = "/mail/config-v1.1.xml"
	autoconfigOwnPath = "/.well-known/autoconfig/mail/config-v1.1.xml"
	autodiscoverPath  = "/autodiscover/autodiscover.xml" // In any case.
	profilePath       = "/profile.mobileconfig"
	profileQRPath     = "/profile.mobileconfig.qrcode.png"
)

// route answers a request.
func (q *request) route(w *response, r *http.Request) {
	if name, h := q.wellKnown(r); h != nil {
		w.handler = name
		if name != "acme-http-01" {
			safeHeader(w.Header())
			w.compress = true
		}
		h.ServeHTTP(w, r)
		return
	}
	if q.Port.Has("WebserverHTTP") && r.TLS == nil || q.Port.Has("WebserverHTTPS") && r.TLS != nil {
		if q.webserver(w, r) {
			return
		}
	}
	if q.service(w, r) {
		return
	}
	w.handler = "(nomatch)"
	http.Error(w, "404 - page not found", http.StatusNotFound)
}

// safeHeader sets what keeps browsers from making more of a response than it is.
func safeHeader(h http.Header) {
	h.Set("X-Frame-Options", "deny")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'self' 'unsafe-inline' data:")
	h.Set("Referrer-Policy", "same-origin")
}

// wellKnown returns the handler for a well-known host and path with its name, or nil.
func (q *request) wellKnown(r *http.Request) (string, http.Handler) {
	if c := q.srv.opts.Challenges; c != nil && r.TLS == nil && strings.HasPrefix(r.URL.Path, challengePath) {
		return "acme-http-01", c
	}
	conf := q.srv.opts.ClientConf
	if conf == nil {
		return "", nil
	}
	if q.Port.Has("MTASTSHTTPS") && r.URL.Path == policyPath && q.isBelow("mta-sts") {
		return "mtasts", conf.MTASTSPolicy()
	}
	if !q.Port.Has("AutoconfigHTTPS") || !q.forMailPrograms() {
		return "", nil
	}
	switch path := r.URL.Path; {
	case path == autoconfigPath, path == autoconfigOwnPath:
		return "autoconfig", conf.Autoconfig()
	case strings.EqualFold(path, autodiscoverPath):
		return "autodiscover", conf.Autodiscover()
	case path == profilePath:
		return "mobileconfig", conf.AppleProfile()
	case path == profileQRPath:
		return "mobileconfigqrcode", conf.AppleProfile()
	}
	return "", nil
}

// isBelow reports whether the host is one of our domains with a label in front.
func (q *request) isBelow(label string) bool {
	name, ok := strings.CutPrefix(q.domain.Name(), label+".")
	if !ok {
		return false
	}
	d, err := dns.ParseDomainLax(name)
	if err != nil {
		return false
	}
	_, ok = q.conf.Domain(d)
	return ok
}

// forMailPrograms reports whether the host is one at which mail programs ask for
// settings.
func (q *request) forMailPrograms() bool {
	_, ours := q.conf.Domain(q.domain)
	return ours || q.isOwn() || q.isBelow("autoconfig") || q.isBelow("autodiscover") || q.conf.IsClientSettingsDomain(q.domain)
}

// isOwn reports whether the host is this machine.
func (q *request) isOwn() bool {
	return q.ip.IsValid() || q.domain.ASCII == "localhost" || !q.domain.IsZero() && (q.domain == q.conf.Hostname || q.domain == q.Listener.Hostname)
}

// service answers a request for a service with pages of this server. Of several paths
// that match, the longest counts.
func (q *request) service(w *response, r *http.Request) bool {
	own, client := q.isOwn(), q.conf.IsClientSettingsDomain(q.domain)
	var best Service
	var base string
	for _, s := range q.srv.opts.Services {
		path := s.Path(q.Listener, q.Port)
		if !own && !(client && s.ClientDomains) || len(path) <= len(base) {
			continue
		}
		if strings.HasPrefix(r.URL.Path, path) || r.URL.Path == strings.TrimSuffix(path, "/") {
			best, base = s, path
		}
	}
	if base == "" {
		return false
	}
	w.handler, w.compress = best.Name, true
	serveBelow(w, r, base, best.Handler)
	return true
}

// serveBelow serves a handler at a path that starts and ends with a slash.
func serveBelow(w *response, r *http.Request, base string, h http.Handler) {
	if r.URL.Path == strings.TrimSuffix(base, "/") {
		u := *r.URL
		u.Scheme, u.Host, u.Path, u.RawPath = "", "", base, ""
		http.Redirect(w, r, u.String(), http.StatusSeeOther)
		return
	}
	http.StripPrefix(strings.TrimSuffix(base, "/"), h).ServeHTTP(w, r)
}

// internal answers a request for which a web handler has a service.
func (q *request) internal(w *response, r *http.Request, c *config.WebInternalFields) bool {
	i := slices.IndexFunc(q.srv.opts.Services, func(s Service) bool { return s.Name == c.Service })
	if !strings.HasPrefix(r.URL.Path+"/", c.BasePath) {
		return false
	}
	if i < 0 {
		http.Error(w, "404 - this version of the server does not have service "+c.Service, http.StatusNotFound)
		return true
	}
	w.compress = true
	serveBelow(w, r, c.BasePath, q.srv.opts.Services[i].Handler)
	return true
}
