package mlog

import (
	"context"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
)

// PkgKey is the key of the attribute that names the package of a logger. Several
// may be given: a line is logged if the last one with a level of its own, or else
// the default, allows it.
const PkgKey = "pkg"

// Options are for [NewHandler].
type Options struct {
	Levels *Levels // Nil is info for all.

	// CLI writes lines for people at a terminal, "level: message: error; k: v; k: v",
	// without the level for info and print, instead of logfmt.
	CLI bool

	// Hook is called for each line that is logged, for counting warnings and errors.
	// It must be fast and safe for concurrent use. May be nil.
	Hook func(level slog.Level, pkg string)
}

// A Handler writes log lines. It is a slog.Handler.
type Handler struct {
	opts Options
	out  *output

	pkgs   []string // From PkgKey attributes, in order.
	group  string   // Prefix for keys, with a dot at the end unless empty.
	fields []field  // From WithAttrs, resolved and with full keys.
}

// output is shared by a handler and those derived from it.
type output struct {
	mu sync.Mutex // Held during a write, so that lines are not mixed.
	w  io.Writer
}

// A field is an attribute ready to be written.
type field struct {
	key, value string
	err        bool // Shown as the error of the line.
}

// NewHandler returns a handler that writes each line with one call to w.
func NewHandler(w io.Writer, opts Options) *Handler {
	if opts.Levels == nil {
		opts.Levels = NewLevels(LevelInfo)
	}
	return &Handler{opts: opts, out: &output{w: w}}
}

// New returns a logger for a package.
func New(pkg string, h slog.Handler) *slog.Logger {
	return slog.New(h).With(slog.String(PkgKey, pkg))
}

// Discard returns a logger that logs nothing.
func Discard() *slog.Logger {
	return slog.New(slog.DiscardHandler)
}

// Enabled implements slog.Handler.
func (h *Handler) Enabled(_ context.Context, level slog.Level) bool {
	return h.opts.Levels.enabled(level, h.pkgs)
}

// WithAttrs implements slog.Handler.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := *h
	n.pkgs = slices.Clone(h.pkgs)
	n.fields = slices.Clone(h.fields)
	for _, a := range attrs {
		if a.Key == PkgKey && n.group == "" {
			n.pkgs = append(n.pkgs, a.Value.Resolve().String())
			continue
		}
		n.fields = appendAttr(n.fields, n.group, a)
	}
	return &n
}

// WithGroup implements slog.Handler. Keys of the group have "name." in front.
func (h *Handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	n := *h
	n.group += name + "."
	return &n
}

// Handle implements slog.Handler.
func (h *Handler) Handle(ctx context.Context, r slog.Record) error {
	l := line{level: r.Level, msg: r.Message, pkgs: h.pkgs}
	fields := slices.Clone(h.fields)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == PkgKey && h.group == "" {
			l.pkgs = append(slices.Clone(l.pkgs), a.Value.Resolve().String())
			return true
		}
		fields = appendAttr(fields, h.group, a)
		return true
	})
	l.split(fields)
	if l.cid == "" {
		if cid := Cid(ctx); cid != 0 {
			l.cid = formatCid(cid)
		}
	}
	if h.opts.Hook != nil {
		h.opts.Hook(r.Level, l.pkg())
	}
	var buf []byte
	if h.opts.CLI {
		buf = l.appendCLI(nil)
	} else {
		buf = l.appendLogfmt(nil)
	}
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(buf)
	return err
}

// Print logs a line that is shown at every level: output that was asked for.
func Print(log *slog.Logger, msg string, attrs ...slog.Attr) {
	log.LogAttrs(context.Background(), LevelPrint, msg, attrs...)
}

// Fatal logs why the process cannot go on. It returns, so that what is to be
// cleaned up is; the caller ends the process.
func Fatal(log *slog.Logger, msg string, err error, attrs ...slog.Attr) {
	log.LogAttrs(context.Background(), LevelFatal, msg, append([]slog.Attr{Err(err)}, attrs...)...)
}

// ErrKey is the key of the error of a line.
const ErrKey = "err"

// Err returns the attribute for the error of a line. A nil error is left out of
// the line.
func Err(err error) slog.Attr {
	if err == nil {
		return slog.Attr{}
	}
	return slog.Any(ErrKey, err)
}

// IP returns the attribute for an IP address. That of a connection that has none, such as
// over a unix socket, is left out of the line.
func IP(key string, ip netip.Addr) slog.Attr {
	if !ip.IsValid() {
		return slog.Attr{}
	}
	return slog.Any(key, ip)
}

// Errx logs err: at debug if it is that of a connection that was closed, at info
// if a context was cancelled or timed out, otherwise at error.
func Errx(ctx context.Context, log *slog.Logger, msg string, err error, attrs ...slog.Attr) {
	log.LogAttrs(ctx, ErrLevel(err), msg, append([]slog.Attr{Err(err)}, attrs...)...)
}
