package http

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"mox/config"
)

// webserver answers a request with what domains.conf says about it, if it does.
func (q *request) webserver(w *response, r *http.Request) bool {
	if q.domain.IsZero() {
		return false
	}
	if to, ok := q.conf.WebDomainRedirects[q.domain]; ok {
		w.handler = "(domainredirect)"
		q.toHTTPS(w, r, to.ASCII)
		return true
	}
	for i := range q.conf.WebHandlers {
		h := &q.conf.WebHandlers[i]
		if h.Domain != q.domain || !h.Path.MatchString(r.URL.Path) {
			continue
		}
		w.handler = h.Name
		if !q.secure && !h.DontRedirectPlainHTTP {
			q.toHTTPS(w, r, q.httpsHost())
			return true
		}
		w.compress = h.Compress
		if q.serveHandler(w, r, h) {
			return true
		}
		w.compress = false
	}
	return false
}

func (q *request) serveHandler(w *response, r *http.Request, h *config.WebHandler) bool {
	switch {
	case h.Static != nil:
		return q.static(w, r, h.Static)
	case h.Redirect != nil:
		return q.webRedirect(w, r, h.Redirect)
	case h.Forward != nil:
		q.forward(w, r, h)
		return true
	}
	return q.internal(w, r, h.Internal)
}

// httpsHost returns the host of the request for HTTPS, with the port if that is not the
// usual one.
func (q *request) httpsHost() string {
	if l := q.Listener.WebserverHTTPS; l.Enabled && l.Port != 443 {
		return net.JoinHostPort(q.domain.ASCII, strconv.Itoa(l.Port))
	}
	return q.domain.ASCII
}

// toHTTPS answers a request with a redirect, for good, to the same URL at a host.
func (q *request) toHTTPS(w *response, r *http.Request, host string) {
	u := *q.url
	u.Scheme, u.Host, u.User = "https", host, nil
	http.Redirect(w, r, u.String(), http.StatusPermanentRedirect)
}

// webRedirect answers a request with a redirect, unless it would lead to where it comes
// from.
func (q *request) webRedirect(w *response, r *http.Request, c *config.WebRedirect) bool {
	scheme := "http"
	if q.secure {
		scheme = "https"
	}
	u := url.URL{Scheme: scheme, Host: q.host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery}
	if b := c.Base; b != nil {
		u.Host, u.Fragment, u.RawFragment = b.Host, b.Fragment, b.RawFragment
		if b.Scheme != "" {
			u.Scheme = b.Scheme
		}
		if b.RawQuery != "" && u.RawQuery != "" {
			u.RawQuery = "&" + u.RawQuery
		}
		u.RawQuery = b.RawQuery + u.RawQuery
	}
	if c.Orig != nil {
		if !c.Orig.MatchString(u.Path) {
			http.NotFound(w, r)
			return true
		}
		u.Path, u.RawPath = c.Orig.ReplaceAllString(u.Path, c.Replace), ""
		if !strings.HasPrefix(u.Path, "/") {
			u.Path = "/" + u.Path
		}
	}
	if u.Scheme == scheme && strings.EqualFold(u.Host, q.host) && u.Path == r.URL.Path {
		return false
	}
	http.Redirect(w, r, u.String(), c.Code)
	return true
}
