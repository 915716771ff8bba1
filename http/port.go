package http

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"mox/config"
	"mox/dns"
	"mox/mlog"
)

// port answers the requests of a port.
type port struct {
	srv *Server
	ListenerOptions
	limits limits // All nil if there are none.
}

// trusted reports whether an address is that of a reverse proxy that tells who the
// client is.
func (p *port) trusted(ip netip.Addr) bool {
	return p.Port.Forwarded && contains(p.Listener.ForwardedNetworks, ip)
}

// request is what is known about a request besides its http.Request.
type request struct {
	*port
	conf   *config.Snapshot
	log    *slog.Logger
	cid    int64
	remote netip.Addr // Where the connection is from.
	client netip.Addr // Who the request is from. Zero if that is not known.
	secure bool       // The client uses TLS.
	domain dns.Domain // In the URL. Zero if it is an IP address.
	ip     netip.Addr // In the URL. Zero if it is a domain.
	host   string     // As the client wrote it, with its port.
	url    *url.URL   // As the client wrote it.
}

// publicID returns the id of the request as a client may see it, for the end of a text.
func (q *request) publicID() string {
	if q.srv.opts.CidCipher == nil {
		return ""
	}
	return " (id " + q.srv.opts.CidCipher.Encode(q.cid) + ")"
}

// ServeHTTP implements http.Handler.
func (p *port) ServeHTTP(hw http.ResponseWriter, r *http.Request) {
	asked := *r.URL
	q := &request{port: p, url: &asked, conf: p.srv.opts.Config.Snapshot(), cid: p.srv.opts.Cids.Next(), host: r.Host}
	q.log = mlog.WithCidLogger(p.srv.log, q.cid)
	r = r.WithContext(mlog.WithCid(r.Context(), q.cid))
	w := newResponse(hw, r, q)
	q.identify(r)
	if l := p.limits.requests; l != nil && q.client.IsValid() && !l.Add(q.client, time.Now(), 1) {
		metricRefused.WithLabelValues("requests").Inc()
		q.log.Debug("refusing request: too many", "client", q.client)
		hw.Header().Set("Retry-After", "60")
		http.Error(hw, "429 - too many requests from your network, try again later", http.StatusTooManyRequests)
		return
	}
	defer w.finish()
	if !q.clean(r) {
		w.handler = "(malformed)"
		http.Error(w, "400 - malformed host or path", http.StatusBadRequest)
		return
	}
	q.route(w, r)
}

// identify finds out who the client is, and makes the request say so: RemoteAddr, and
// X-Forwarded-Proto, which stays only from a trusted proxy, and nothing else of what
// proxies say.
func (q *request) identify(r *http.Request) {
	addr, _ := netip.ParseAddrPort(r.RemoteAddr)
	q.remote = addr.Addr().Unmap()
	q.client, q.secure = q.remote, r.TLS != nil
	trusted := q.trusted(q.remote)
	proto := r.Header.Get("X-Forwarded-Proto")
	if trusted {
		q.client = forwardedFor(r.Header.Values("X-Forwarded-For"), q.trusted)
		q.secure = q.secure || strings.EqualFold(proto, "https")
		r.RemoteAddr = ""
		if q.client.IsValid() {
			r.RemoteAddr = netip.AddrPortFrom(q.client, 0).String()
		}
	}
	for name := range r.Header {
		if name == "Forwarded" || strings.HasPrefix(name, "X-Forwarded-") {
			delete(r.Header, name)
		}
	}
	if trusted {
		r.Header.Set("X-Forwarded-Proto", map[bool]string{false: "http", true: "https"}[q.secure])
	}
}

// forwardedFor returns the client in X-Forwarded-For, to which each proxy has added whom
// it was asked by: the last one that is not a trusted proxy. It is zero if there is none.
func forwardedFor(values []string, trusted func(netip.Addr) bool) netip.Addr {
	list := strings.Split(strings.Join(values, ","), ",")
	for i := len(list) - 1; i >= 0; i-- {
		ip, err := netip.ParseAddr(strings.TrimSpace(list[i]))
		if err != nil {
			return netip.Addr{}
		}
		if ip = ip.Unmap().WithZone(""); !trusted(ip) {
			return ip
		}
	}
	return netip.Addr{}
}

// clean parses the host, and makes the path one without dots.
func (q *request) clean(r *http.Request) bool {
	if r.Method == http.MethodConnect || !strings.HasPrefix(r.URL.Path, "/") {
		return false
	}
	if p := cleanPath(r.URL.Path); p != r.URL.Path {
		r.URL.Path, r.URL.RawPath = p, ""
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(host, ".")
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		q.ip = ip
		return true
	}
	d, err := dns.ParseDomainLax(strings.ToLower(host))
	q.domain = d
	return err == nil || host == "" // As of HTTP/1.0.
}

// cleanPath resolves dots in a path. A slash at the end stays.
func cleanPath(p string) string {
	c := path.Clean(p)
	if c != "/" && (strings.HasSuffix(p, "/") || strings.HasSuffix(p, "/.") || strings.HasSuffix(p, "/..")) {
		c += "/"
	}
	return c
}
