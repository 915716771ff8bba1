package http

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"mox/config"
	"mox/mlog"
)

// transports are the connections to servers that requests are forwarded to.
type transports struct {
	roots *x509.CertPool

	mu     sync.Mutex
	byTime map[time.Duration]*http.Transport // By time until a response begins.
}

// get returns connections on which a response must begin within a time. With HTTP/1.1
// only, which WebSockets need.
func (t *transports) get(timeout time.Duration) *http.Transport {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr := t.byTime[timeout]; tr != nil {
		return tr
	}
	tr := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: t.roots},
		TLSHandshakeTimeout:    dialTimeout,
		DisableCompression:     true, // What the client accepts is for it to say.
		MaxIdleConns:           maxBackendIdle,
		MaxIdleConnsPerHost:    maxBackendIdleHost,
		IdleConnTimeout:        backendIdle,
		ResponseHeaderTimeout:  timeout,
		ExpectContinueTimeout:  continueTimeout,
		MaxResponseHeaderBytes: maxBackendHeader,
	}
	if t.byTime == nil {
		t.byTime = map[time.Duration]*http.Transport{}
	}
	t.byTime[timeout] = tr
	return tr
}

// close closes connections that are not in use.
func (t *transports) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, tr := range t.byTime {
		tr.CloseIdleConnections()
	}
}

// forward lets another server answer a request.
func (q *request) forward(w *response, r *http.Request, h *config.WebHandler) {
	c := h.Forward
	if upgrade := r.Header.Get("Upgrade"); hasToken(r.Header.Values("Connection"), "upgrade") && strings.EqualFold(upgrade, "websocket") {
		w.websocket = true
		if problem := checkWebsocket(r); problem != "" {
			http.Error(w, "400 - "+problem, http.StatusBadRequest)
			return
		}
	}
	if c.MaxBodySize >= 0 {
		if r.ContentLength > c.MaxBodySize {
			http.Error(w, "413 - request is too large", http.StatusRequestEntityTooLarge)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, c.MaxBodySize)
	}
	proxy := httputil.ReverseProxy{
		Rewrite:   func(pr *httputil.ProxyRequest) { q.rewrite(pr, h, w.websocket) },
		Transport: q.srv.transports.get(c.Timeout),
		ErrorLog:  slog.NewLogLogger(q.log.Handler(), slog.LevelDebug),
		ModifyResponse: func(res *http.Response) error {
			if w.websocket && res.StatusCode == http.StatusSwitchingProtocols {
				if err := checkAccept(r, res); err != nil {
					return err
				}
			}
			for name, values := range c.Header {
				res.Header[name] = values
			}
			return nil
		},
		ErrorHandler: func(hw http.ResponseWriter, _ *http.Request, err error) { q.forwardError(hw, r, h, err) },
	}
	proxy.ServeHTTP(w, r)
}

// rewrite makes the request for the other server. What proxies before have said about the
// client is gone already.
func (q *request) rewrite(pr *httputil.ProxyRequest, h *config.WebHandler, websocket bool) {
	out, c := pr.Out, h.Forward
	path, raw := pr.In.URL.Path, pr.In.URL.EscapedPath()
	if c.StripPath {
		matched := h.Path.FindString(path)
		path = strings.TrimPrefix(path, matched)
		if rest, ok := strings.CutPrefix(raw, matched); ok {
			raw = rest
		} else {
			raw = (&url.URL{Path: path}).EscapedPath()
		}
	}
	out.URL.Scheme, out.URL.Host = c.URL.Scheme, c.URL.Host
	out.URL.Path, out.URL.RawPath = joinPath(c.URL.Path, path), joinPath(c.URL.EscapedPath(), raw)
	out.URL.RawQuery = pr.In.URL.RawQuery // As it is: nothing here depends on what it means.
	out.Host = q.host
	if !websocket {
		// Nothing else can go through us.
		out.Header.Del("Upgrade")
		out.Header.Del("Connection")
	}
	out.Header.Del("X-Forwarded-For")
	if q.client.IsValid() {
		out.Header.Set("X-Forwarded-For", q.client.String())
	}
	out.Header.Set("X-Forwarded-Host", q.host)
	out.Header.Set("X-Forwarded-Proto", map[bool]string{false: "http", true: "https"}[q.secure])
}

// joinPath puts two paths together, with one slash in between.
func joinPath(a, b string) string {
	return strings.TrimSuffix(a, "/") + "/" + strings.TrimPrefix(b, "/")
}

// forwardError answers a request that could not be forwarded.
func (q *request) forwardError(w http.ResponseWriter, r *http.Request, h *config.WebHandler, err error) {
	var size *http.MaxBytesError
	var ne net.Error
	switch {
	case errors.As(err, &size):
		http.Error(w, "413 - request is too large", http.StatusRequestEntityTooLarge)
	case r.Context().Err() != nil || errors.Is(err, context.Canceled):
		q.log.Debug("client went away while request was forwarded", mlog.Err(err), "handler", h.Name)
		http.Error(w, "502 - request was canceled"+q.publicID(), http.StatusBadGateway)
	case errors.As(err, &ne) && ne.Timeout():
		q.log.Error("server that request was forwarded to did not answer in time", mlog.Err(err), "handler", h.Name, "url", h.Forward.URL.Redacted())
		http.Error(w, "504 - server behind this one did not answer in time"+q.publicID(), http.StatusGatewayTimeout)
	default:
		q.log.Error("forwarding request", mlog.Err(err), "handler", h.Name, "url", h.Forward.URL.Redacted())
		http.Error(w, "502 - server behind this one failed"+q.publicID(), http.StatusBadGateway)
	}
}
