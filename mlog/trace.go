package mlog

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
)

// What is shown of protocol data that the level of a package hides.
const (
	hiddenAuth = "***"
	hiddenData = "..."
)

// maxTrace is how many bytes of one read or write a transcript shows.
const maxTrace = 16 << 10

// Trace logs bytes of a protocol transcript, such as one read or write. Prefix
// tells the direction, "LC: " or "RC: " for the local and remote side of a client.
// Level is LevelTrace; LevelTraceauth for credentials, which show as "***" unless
// the log is at that level; or LevelTracedata for message data, which show as
// "...".
func Trace(ctx context.Context, log *slog.Logger, level slog.Level, prefix string, data []byte) {
	if !log.Enabled(ctx, LevelTrace) {
		return
	}
	var text string
	shown := LevelTrace
	switch {
	case log.Enabled(ctx, level):
		shown = min(level, LevelTrace)
		text = string(data[:min(len(data), maxTrace)])
		if len(data) > maxTrace {
			text += hiddenData
		}
	case level == LevelTracedata:
		text = hiddenData
	default:
		text = hiddenAuth
	}
	log.LogAttrs(ctx, shown, prefix+text, slog.Int("size", len(data)))
}

// A Tracer writes what goes over a connection to the log, with [Trace]. Its level
// says what kind of data goes over it now, and can be changed from another
// goroutine.
type Tracer struct {
	ctx    context.Context
	log    *slog.Logger
	prefix string
	level  atomic.Int64
}

// NewTracer returns a tracer at LevelTrace. The context is only used for its
// connection id.
func NewTracer(ctx context.Context, log *slog.Logger, prefix string) *Tracer {
	t := &Tracer{ctx: context.WithoutCancel(ctx), log: log, prefix: prefix}
	t.level.Store(int64(LevelTrace))
	return t
}

// SetLevel says what kind of data follows: LevelTrace, LevelTraceauth or
// LevelTracedata. The function it returns sets it back:
//
//	defer t.SetLevel(mlog.LevelTraceauth)()
func (t *Tracer) SetLevel(level slog.Level) (restore func()) {
	old := t.level.Swap(int64(level))
	return func() { t.level.Store(old) }
}

func (t *Tracer) trace(p []byte) {
	if len(p) > 0 {
		Trace(t.ctx, t.log, slog.Level(t.level.Load()), t.prefix, p)
	}
}

// Reader returns a reader that traces what is read from r.
//
// The level counts when data is read from r. What is read ahead into a buffer
// before a command is known to have credentials is traced at the level of that
// moment, so where lines may hold credentials trace the lines, with [Trace], and
// not the reads.
func (t *Tracer) Reader(r io.Reader) io.Reader {
	return tracedReader{r, t}
}

// Writer returns a writer that traces what is written to w.
func (t *Tracer) Writer(w io.Writer) io.Writer {
	return tracedWriter{w, t}
}

type tracedReader struct {
	r io.Reader
	t *Tracer
}

func (r tracedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.t.trace(p[:n])
	return n, err
}

type tracedWriter struct {
	w io.Writer
	t *Tracer
}

func (w tracedWriter) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.t.trace(p[:n])
	return n, err
}
