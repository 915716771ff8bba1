package http

import (
	"context"
	"fmt"
	"net/http"
	"net/http/pprof"

	"mox/internal/metrics"
)

// Monitor returns the handler of a port for monitoring: /metrics, /healthz and a page
// that links to them. Health returns what is wrong with the server, or nil.
func Monitor(health func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
		defer cancel()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := health(ctx); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = fmt.Fprintln(w, err) // Who asks may be gone, as below.
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprint(w, "<!doctype html>\n<html lang=\"en\">\n<title>mox</title>\n<p><a href=\"/metrics\">metrics</a>, <a href=\"/healthz\">health</a></p>\n</html>\n")
	})
	return withSafeHeader(mux)
}

// Profiles returns the handler of a port for profiles of the program.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.Handle("GET /{$}", http.RedirectHandler("/debug/pprof/", http.StatusSeeOther))
	return withSafeHeader(mux)
}

func withSafeHeader(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		safeHeader(w.Header())
		h.ServeHTTP(w, r)
	})
}
