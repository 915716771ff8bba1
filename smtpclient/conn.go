package smtpclient

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"mox/mlog"
)

// conn is a connection with buffers, deadlines and a transcript. It knows replies,
// and no commands.
type conn struct {
	raw net.Conn // As given.
	net net.Conn // What is read from and written to: raw, or TLS over it.
	br  *bufio.Reader
	bw  *bufio.Writer

	ctx    context.Context // Of the call that is running.
	log    *slog.Logger
	readT  *mlog.Tracer
	writeT *mlog.Tracer

	botched bool // The state of the connection is not known, or it is closed.
}

func newConn(ctx context.Context, nc net.Conn, log *slog.Logger) *conn {
	c := &conn{raw: nc, ctx: ctx, log: log}
	c.readT = mlog.NewTracer(ctx, log, "RS: ")
	c.writeT = mlog.NewTracer(ctx, log, "LC: ")
	c.layer(nc)
	return c
}

// layer makes nc what is read from and written to.
func (c *conn) layer(nc net.Conn) {
	c.net = nc
	c.br = bufio.NewReaderSize(c.readT.Reader(nc), MaxReplyLine)
	c.bw = bufio.NewWriterSize(c.writeT.Writer(blockWriter{c}), bufferSize)
}

// aLongTimeAgo is a deadline that has passed.
var aLongTimeAgo = time.Unix(1, 0)

// begin makes ctx the one that can end what is waited for. The function it returns
// is to be called when done.
func (c *conn) begin(ctx context.Context) func() {
	c.ctx = ctx
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		// An error means that the connection is closed, which will do too.
		_ = c.raw.SetDeadline(aLongTimeAgo)
	})
	return func() {
		if !stop() {
			<-ended // Or it would hit the call after this one.
		}
	}
}

// deadline returns when d is over, or the context, whichever comes first.
func (c *conn) deadline(d time.Duration) time.Time {
	t := time.Now().Add(d)
	if end, ok := c.ctx.Deadline(); ok && end.Before(t) {
		return end
	}
	return t
}

// setReadDeadline sets the deadline for a read. It fails if the context is done,
// whose function in begin may have run before this one.
func (c *conn) setReadDeadline(d time.Duration) error {
	if err := c.net.SetReadDeadline(c.deadline(d)); err != nil {
		return err
	}
	return c.ctx.Err()
}

// blockWriter writes with a deadline for each write.
type blockWriter struct{ c *conn }

func (w blockWriter) Write(p []byte) (int, error) {
	if err := w.c.net.SetWriteDeadline(w.c.deadline(DataBlockTimeout)); err != nil {
		return 0, err
	}
	if err := w.c.ctx.Err(); err != nil {
		return 0, err
	}
	return w.c.net.Write(p)
}

// fail marks the connection as unusable and closes it, for a failure that the
// server cannot be told about.
func (c *conn) fail(command string, err error) *Error {
	c.close()
	return ioError(c.ctx, command, err)
}

// close closes the connection, without the close notify of TLS: the server may be
// doing the same, and each would wait for the other to read.
func (c *conn) close() {
	if c.botched {
		return
	}
	c.botched = true
	if err := c.raw.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		c.log.Debug("closing connection", mlog.Err(err))
	}
}

// read reads a reply.
func (c *conn) read(command string, timeout time.Duration) (Reply, *Error) {
	if err := c.setReadDeadline(timeout); err != nil {
		return Reply{}, c.fail(command, err)
	}
	r, err := readReply(c.br)
	if err != nil {
		// With TLS 1.3, a server that does not like our certificate, or that
		// its own was refused, says so when we read for the first time.
		if isTLSAlert(err) {
			err = fmt.Errorf("%w: %w", ErrTLS, err)
		}
		return Reply{}, c.fail(command, err)
	}
	return r, nil
}

// isTLSAlert reports whether err is an alert that the other side sent.
func isTLSAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// write writes a line and flushes it.
func (c *conn) write(command, line string) *Error {
	if _, err := c.bw.WriteString(line + "\r\n"); err != nil {
		return c.fail(command, err)
	}
	if err := c.bw.Flush(); err != nil {
		return c.fail(command, err)
	}
	return nil
}

// handshake starts TLS. Nothing may have been read ahead: it would have come
// without TLS, and be taken for something that came with it.
func (c *conn) handshake(config *tls.Config) (*tls.ConnectionState, error) {
	if n := c.br.Buffered(); n > 0 {
		return nil, fmt.Errorf("%w: %d octets after the reply to STARTTLS", ErrProtocol, n)
	}
	ctx, cancel := context.WithTimeout(c.ctx, TLSTimeout)
	defer cancel()
	if err := c.raw.SetDeadline(c.deadline(TLSTimeout)); err != nil {
		return nil, err
	}
	tc := tls.Client(c.raw, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("%w: handshake: %w", ErrTLS, err)
	}
	c.layer(tc)
	cs := tc.ConnectionState()
	return &cs, nil
}
