package certs

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapLogger returns a logger for certmagic that writes to ours. What matters of what
// it says is told by events, which have lines of their own: its lines are for looking
// closer, and its errors are warnings, because it tries again.
func zapLogger(log *slog.Logger) *zap.Logger {
	return zap.New(zapCore{log: log})
}

// zapCore is a zapcore.Core on a logger.
type zapCore struct {
	log *slog.Logger
}

func zapLevel(l zapcore.Level) slog.Level {
	if l >= zapcore.ErrorLevel {
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func (c zapCore) Enabled(l zapcore.Level) bool {
	return c.log.Enabled(context.Background(), zapLevel(l))
}

func (c zapCore) With(fields []zapcore.Field) zapcore.Core {
	return zapCore{slog.New(c.log.Handler().WithAttrs(attrs(fields)))}
}

func (c zapCore) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if c.Enabled(e.Level) {
		return ce.AddCore(e, c)
	}
	return ce
}

func (c zapCore) Write(e zapcore.Entry, fields []zapcore.Field) error {
	msg := e.Message
	if e.LoggerName != "" {
		msg = e.LoggerName + ": " + msg
	}
	c.log.LogAttrs(context.Background(), zapLevel(e.Level), msg, attrs(fields)...)
	return nil
}

func (c zapCore) Sync() error { return nil }

// attrs returns fields as attributes.
func attrs(fields []zapcore.Field) []slog.Attr {
	var l []slog.Attr
	for _, f := range fields {
		enc := zapcore.NewMapObjectEncoder()
		f.AddTo(enc)
		for k, v := range enc.Fields {
			l = append(l, slog.Any(k, v))
		}
	}
	return l
}
