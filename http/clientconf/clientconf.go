package clientconf

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"mox/config"
	"mox/dns"
	"mox/smtp"
)

// Options is what [New] needs.
type Options struct {
	Config *config.Holder
	Log    *slog.Logger
}

// Handlers makes the handlers.
type Handlers struct {
	conf *config.Holder
	log  *slog.Logger
}

// New returns handlers for a configuration.
func New(opts Options) *Handlers {
	return &Handlers{conf: opts.Config, log: opts.Log}
}

// statusError is an error that the client is told, in words for a person.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return e.text }

func errorf(code int, format string, args ...any) error {
	return &statusError{code, fmt.Sprintf(format, args...)}
}

var (
	errNotOurs    = errorf(http.StatusNotFound, "this server has no mail for the domain of the address")
	errNoServices = errorf(http.StatusNotFound, "this server has no services for mail programs")
	errAddress    = errorf(http.StatusBadRequest, "that is not an e-mail address, which is name@domain")
)

// handler returns a handler that allows methods and answers with what answer returns, or
// with its error.
func (h *Handlers) handler(answer func(w http.ResponseWriter, r *http.Request) ([]byte, error), methods ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			http.Error(w, "method not allowed: use "+methods[0], http.StatusMethodNotAllowed)
			return
		}
		body, err := answer(w, r)
		var serr *statusError
		switch {
		case errors.As(err, &serr):
			h.log.DebugContext(r.Context(), "no settings for a program", slog.String("path", r.URL.Path), slog.Any("err", err))
			http.Error(w, serr.text, serr.code)
			return
		case err != nil:
			h.log.ErrorContext(r.Context(), "settings for a program", slog.String("path", r.URL.Path), slog.Any("err", err))
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		// Answers change with the configuration, and some have an address.
		w.Header().Set("Cache-Control", "no-cache, private")
		if _, err := w.Write(body); err != nil {
			h.log.DebugContext(r.Context(), "writing settings for a program", slog.Any("err", err))
		}
	})
}

// domain returns a domain that programs can ask about. It counts the request.
func domain(s *config.Snapshot, d dns.Domain, counter *prometheus.CounterVec) (config.Domain, error) {
	dom, ok := s.Domain(d)
	if !ok || dom.Disabled || dom.ReportsOnly {
		counter.WithLabelValues(otherDomain).Inc()
		return config.Domain{}, errNotOurs
	}
	counter.WithLabelValues(dom.Domain.ASCII).Inc()
	return dom, nil
}

// parseAddress parses an address that a person may have typed.
func parseAddress(s string) (smtp.Address, error) {
	a, err := smtp.ParseAddress(strings.TrimSpace(s), smtp.Strict)
	if err != nil {
		return smtp.Address{}, errAddress
	}
	return a, nil
}

// hostDomain returns the domain in the Host header of a request, below a label that is
// for the purpose, "mta-sts" for example.
func hostDomain(r *http.Request, label string) (dns.Domain, error) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return dns.ParseDomain(strings.TrimPrefix(host, label+"."))
}

// services are what mail programs are told: the best way to read mail and the best way to
// send it, and then those on the port for HTTPS, which few programs can use.
func services(s *config.Snapshot, d config.Domain) (imap, submission []config.ClientService, err error) {
	for _, c := range s.ClientServices(d) {
		dst := &imap
		if c.Protocol == config.ClientSubmission {
			dst = &submission
		}
		if len(*dst) == 0 || c.HTTPS {
			*dst = append(*dst, c)
		}
	}
	if len(imap) == 0 || len(submission) == 0 || imap[0].HTTPS || submission[0].HTTPS {
		return nil, nil, errNoServices
	}
	return imap, submission, nil
}
