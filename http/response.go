package http

import (
	"bufio"
	"compress/gzip"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"mox/internal/metrics"
	"mox/mlog"
)

// response is an http.ResponseWriter that counts, logs, compresses, and does not wait
// for clients without end.
type response struct {
	*request
	w       http.ResponseWriter
	rc      *http.ResponseController
	r       *http.Request // As it came; header fields and path can change.
	body    *body         // Of the request. Nil if there is none.
	remote  string
	start   time.Time
	handler string // Name, for logs and metrics.

	compress  bool // If the content is worth it.
	code      int  // As the handler said. Zero before.
	committed bool // The header is written.
	gz        *gzip.Writer
	file      staticFile    // Of which the content is, if it is of one.
	kept      io.ReadCloser // Its compressed copy, which is sent instead.
	header    time.Time     // When the header was written.
	size      int64         // As written to the client.
	full      int64         // Before compression.
	deadline  time.Time     // When it was set.

	websocket      bool
	hijacked       atomic.Bool
	sent, received atomic.Int64 // After hijacking.
}

func newResponse(w http.ResponseWriter, r *http.Request, q *request) *response {
	resp := &response{request: q, w: w, rc: http.NewResponseController(w), r: r, remote: r.RemoteAddr, start: time.Now()}
	if r.Body != nil && r.Body != http.NoBody {
		resp.body = &body{ReadCloser: r.Body, rc: resp.rc}
		r.Body = resp.body
	}
	return resp
}

// Unwrap is for http.ResponseController.
func (w *response) Unwrap() http.ResponseWriter { return w.w }

// Header implements http.ResponseWriter.
func (w *response) Header() http.Header { return w.w.Header() }

// WriteHeader implements http.ResponseWriter. The header is written with the first octets
// of the body, when it is known what they are.
func (w *response) WriteHeader(code int) {
	switch {
	case code >= 100 && code < 200 && code != http.StatusSwitchingProtocols:
		w.w.WriteHeader(code)
	case w.code == 0:
		w.code = code
	}
}

// commit writes the header. It knows the first octets of the body, if any.
func (w *response) commit(p []byte) {
	if w.committed {
		return
	}
	w.committed, w.header = true, time.Now()
	if w.code == 0 {
		w.code = http.StatusOK
	}
	h := w.Header()
	if len(p) > 0 && h.Get("Content-Type") == "" && h.Get("Content-Encoding") == "" {
		h.Set("Content-Type", http.DetectContentType(p))
	}
	if w.compress && !w.websocket {
		w.compressible()
	}
	w.extend()
	w.w.WriteHeader(w.code)
}

// extend moves the deadline for writing.
func (w *response) extend() {
	if now := time.Now(); now.Sub(w.deadline) >= deadlineStep {
		w.deadline = now
		_ = w.rc.SetWriteDeadline(now.Add(stallTimeout)) // Not possible in tests only.
	}
}

// Write implements http.ResponseWriter.
func (w *response) Write(p []byte) (int, error) {
	w.commit(p)
	if w.kept != nil {
		return 0, w.sendKept()
	}
	w.full += int64(len(p))
	if w.gz != nil {
		return w.gz.Write(p)
	}
	return plain{w}.Write(p)
}

// errSent ends the copying of a file of which the compressed copy was sent.
var errSent = errors.New("compressed copy was sent")

// sendKept sends the compressed copy of a file. The error is never nil: nothing more is to
// be written.
func (w *response) sendKept() error {
	_, err := io.Copy(plain{w}, w.kept)
	w.full = w.file.info.Size()
	return errors.Join(err, w.kept.Close(), errSent)
}

// plain writes to the client, in pieces that each have some time.
type plain struct{ w *response }

func (p plain) Write(data []byte) (n int, err error) {
	for {
		piece := data[n:min(len(data), n+chunkSize)]
		p.w.extend()
		m, err := p.w.w.Write(piece)
		n += m
		p.w.size += int64(m)
		if err != nil || n == len(data) {
			return n, err
		}
	}
}

// Flush implements http.Flusher.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is for http.ResponseController.
func (w *response) FlushError() error {
	w.commit(nil)
	if w.gz != nil {
		if err := w.gz.Flush(); err != nil {
			return err
		}
	}
	w.extend()
	return w.rc.Flush()
}

// Hijack implements http.Hijacker. The connection is closed by Shutdown.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	nc, brw, err := w.rc.Hijack()
	if err != nil {
		return nil, nil, err
	}
	c := &hijackedConn{Conn: nc, w: w}
	s := w.srv
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return nil, nil, errors.Join(http.ErrServerClosed, nc.Close())
	}
	s.hijacked[c] = struct{}{}
	w.hijacked.Store(true)
	w.header = time.Now()
	if w.code == 0 {
		w.code = http.StatusSwitchingProtocols
	}
	return c, brw, nil
}

// hijackedConn counts, and does not wait for a client without end that does not read.
type hijackedConn struct {
	net.Conn
	w *response
}

func (c *hijackedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.w.received.Add(int64(n))
	return n, err
}

func (c *hijackedConn) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	c.w.sent.Add(int64(n))
	return n, err
}

func (c *hijackedConn) Close() error {
	s := c.w.srv
	s.mu.Lock()
	delete(s.hijacked, c)
	s.mu.Unlock()
	return c.Conn.Close()
}

// body is the body of a request. It does not wait without end for a client that sends
// nothing.
type body struct {
	io.ReadCloser
	rc    *http.ResponseController
	last  time.Time
	ended bool // All of it was read.
}

func (b *body) Read(p []byte) (int, error) {
	if now := time.Now(); now.Sub(b.last) >= deadlineStep {
		b.last = now
		_ = b.rc.SetReadDeadline(now.Add(stallTimeout)) // Not possible in tests only.
	}
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// net/http goes on reading, to see whether the client goes away.
		b.ended = true
		_ = b.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// stop gives the client a last moment: net/http reads some of what is left, so that
// the connection can be used again.
func (b *body) stop() {
	if !b.ended {
		_ = b.rc.SetReadDeadline(time.Now().Add(restTimeout))
	}
}

// finish ends the response, and logs and counts it. It recovers from panics.
func (w *response) finish() {
	abort := w.failed(recover())
	if !abort && !w.hijacked.Load() {
		w.end()
	}
	w.observe()
	if w.body != nil && !w.hijacked.Load() {
		w.body.stop()
	}
	if abort {
		panic(http.ErrAbortHandler) // So that the client does not take what it got as all there is.
	}
}

// failed answers a request whose handler panicked, if x is not nil. It reports whether
// the response is to be aborted.
func (w *response) failed(x any) (abort bool) {
	if x == nil || x == http.ErrAbortHandler {
		return x != nil
	}
	metrics.Panic(pkgName)
	w.log.Error("panic", "panic", fmt.Sprint(x), "stack", string(debug.Stack()), "handler", w.handler)
	if w.committed || w.hijacked.Load() {
		return true
	}
	w.code = 0
	http.Error(w, "500 - internal server error"+w.publicID(), http.StatusInternalServerError)
	return false
}

// end writes what is left to be written.
func (w *response) end() {
	w.commit(nil)
	if w.gz == nil {
		return
	}
	if err := w.gz.Close(); err != nil {
		w.log.Debug("writing response", mlog.Err(err))
	}
	w.gz.Reset(nil)
	gzipWriters.Put(w.gz)
	w.gz = nil
}

// observe counts and logs what has become of the request.
func (w *response) observe() {
	now := time.Now()
	if w.header.IsZero() {
		w.header = now
	}
	proto := "http"
	if w.websocket {
		proto = "ws"
	}
	if w.secure {
		proto += "s"
	}
	method := knownMethod(w.r.Method)
	code := strconv.Itoa(w.code)
	metricRequest.WithLabelValues(w.handler, proto, method, code).Observe(w.header.Sub(w.start).Seconds())
	metricResponse.WithLabelValues(w.handler, proto, method, code).Observe(now.Sub(w.start).Seconds())
	ctx := w.r.Context()
	if !w.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("httpaccess", ""),
		slog.String("handler", w.handler),
		slog.String("method", method),
		slog.String("url", w.url.String()),
		slog.String("host", w.host),
		slog.Duration("duration", now.Sub(w.start)),
		slog.Int("statuscode", w.code),
		slog.String("proto", strings.ToLower(w.r.Proto)),
		slog.String("remoteaddr", w.remote),
		slog.String("tlsinfo", tlsInfo(w.r.TLS)),
		slog.String("useragent", w.r.Header.Get("User-Agent")),
		slog.String("referer", w.r.Header.Get("Referer")),
		slog.Int64("size", w.size),
	}
	if w.client != w.request.remote {
		attrs = append(attrs, mlog.IP("clientip", w.client))
	}
	if w.full != w.size {
		attrs = append(attrs, slog.Int64("uncompressedsize", w.full))
	}
	if w.websocket {
		attrs = append(attrs, slog.Bool("websocketrequest", true), slog.Bool("websocket", w.hijacked.Load()),
			slog.Int64("sizetoclient", w.sent.Load()), slog.Int64("sizefromclient", w.received.Load()))
	}
	w.log.LogAttrs(ctx, slog.LevelDebug, "http request", attrs...)
}

// knownMethod returns a method, if there is one with that name.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodConnect, http.MethodTrace:
		return strings.ToLower(m)
	}
	return "(other)"
}

// tlsInfo describes the TLS of a connection.
func tlsInfo(cs *tls.ConnectionState) string {
	if cs == nil {
		return "plain"
	}
	return strings.ToLower(strings.ReplaceAll(tls.VersionName(cs.Version), "TLS ", "tls"))
}
