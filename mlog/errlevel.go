package mlog

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"syscall"
)

// IsClosed reports whether err is what reading or writing returns when the remote
// side or we have closed or reset the connection.
func IsClosed(err error) bool {
	for _, e := range []error{io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, syscall.EPIPE, syscall.ECONNRESET, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// ErrLevel returns the level that an error of serving a peer is logged at: debug
// for a closed connection, info for a time-out or a cancelled context, error for
// others.
func ErrLevel(err error) slog.Level {
	switch {
	case IsClosed(err):
		return LevelDebug
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return LevelInfo
	}
	return LevelError
}
