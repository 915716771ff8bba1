package http

import (
	"compress/gzip"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// gzipWriters has *gzip.Writer that are not in use. A Pool is no state: it only saves
// memory.
var gzipWriters = sync.Pool{New: func() any {
	w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		panic(err) // The level is one that there is.
	}
	return w
}}

// compressible begins to compress the response if its content is worth it and the client
// can take it. Other than the header, nothing may have been written.
func (w *response) compressible() {
	h := w.Header()
	if w.code == http.StatusNotModified {
		h.Add("Vary", "Accept-Encoding") // As the response has had that the client has.
		return
	}
	if w.code != http.StatusOK || h.Get("Content-Encoding") != "" || !isCompressible(h.Get("Content-Type")) || hasToken(h.Values("Cache-Control"), "no-transform") {
		return
	}
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && (n < minCompress || n > maxCompress) {
		return
	}
	h.Add("Vary", "Accept-Encoding")
	if w.r.Method == http.MethodHead || w.r.Header.Get("Range") != "" || !acceptsGzip(w.r.Header.Values("Accept-Encoding")) {
		return
	}
	h.Set("Content-Encoding", "gzip")
	h.Del("Content-Length")
	h.Del("Accept-Ranges")
	// What is compressed is not the same octet for octet, RFC 9110 §8.8.1.
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) {
		h.Set("ETag", "W/"+tag)
	}
	if w.file.File != nil && w.srv.copies != nil {
		var size int64
		if w.kept, size = w.srv.copies.copyOf(w.file.File, w.file.info); w.kept != nil {
			h.Set("Content-Length", strconv.FormatInt(size, 10))
			return
		}
	}
	w.gz = gzipWriters.Get().(*gzip.Writer)
	w.gz.Reset(plain{w})
}

// isCompressible reports whether content of a media type becomes smaller.
func isCompressible(contentType string) bool {
	typ, _, _ := strings.Cut(contentType, ";")
	typ = strings.ToLower(strings.TrimSpace(typ))
	if strings.HasPrefix(typ, "text/") || strings.HasSuffix(typ, "+json") || strings.HasSuffix(typ, "+xml") {
		// Events are small, and each is to arrive at once.
		return typ != "text/event-stream"
	}
	switch typ {
	case "application/csv", "application/javascript", "application/json", "application/x-javascript", "application/xml", "application/wasm",
		"image/vnd.microsoft.icon", "image/x-icon", "image/x-win-bitmap", "image/bmp",
		"font/ttf", "font/otf", "application/font-sfnt", "application/vnd.ms-fontobject", "application/x-font-opentype", "application/x-font-otf", "application/x-font-ttf":
		return true
	}
	return false
}

// hasToken reports whether a list in header fields has a word.
func hasToken(values []string, token string) bool {
	return slices.ContainsFunc(strings.Split(strings.Join(values, ","), ","), func(s string) bool {
		return strings.EqualFold(strings.TrimSpace(s), token)
	})
}

// acceptsGzip reports whether Accept-Encoding allows gzip, RFC 9110 §12.5.3.
func acceptsGzip(values []string) bool {
	any := false // What * says.
	for _, s := range strings.Split(strings.Join(values, ","), ",") {
		name, params, _ := strings.Cut(s, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "gzip" && name != "x-gzip" && name != "*" {
			continue
		}
		accepted := true
		if key, q, ok := strings.Cut(strings.TrimSpace(params), "="); ok && strings.EqualFold(strings.TrimSpace(key), "q") {
			n, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
			accepted = err == nil && n > 0 && n <= 1
		}
		if name != "*" {
			return accepted
		}
		any = accepted
	}
	return any
}
