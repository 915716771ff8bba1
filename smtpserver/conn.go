package smtpserver

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"mox/internal/proxyproto"
	"mox/mlog"
)

// Errors of conn, other than those of the network.
var (
	errLineTooLong = errors.New("line too long")
	errBareLF      = errors.New("line ends in a line feed without carriage return")
	errStopping    = errors.New("server is stopping")
)

// buffers has the buffers of connections, so that those in use are as many as
// connections that have something to read.
type buffers struct {
	small, large sync.Pool // Of *bufio.Reader.
	copy         sync.Pool // Of *[]byte, for copying messages.
}

func newBuffers() *buffers {
	return &buffers{
		small: sync.Pool{New: func() any { return bufio.NewReaderSize(nil, commandBuffer) }},
		large: sync.Pool{New: func() any { return bufio.NewReaderSize(nil, dataBuffer) }},
		copy: sync.Pool{New: func() any {
			b := make([]byte, copyBuffer)
			return &b
		}},
	}
}

// conn reads and writes lines and message data, with a deadline for each read and
// write, transcripts in the log, and the delays of slow mode. It is for one
// goroutine, interrupt and abort apart.
type conn struct {
	ctx  context.Context // Ends delays. Also for the connection id in transcripts.
	log  *slog.Logger
	bufs *buffers

	raw net.Conn // As accepted.
	tls *tls.Conn
	c   net.Conn // Either of them.

	br    *bufio.Reader
	large bool          // br has a large buffer.
	limit time.Duration // For the next read.
	until time.Time     // For all reads up to the next line, if not zero.

	out     []byte // Replies that have not been written yet.
	slow    bool
	written int64 // Octets, for the log.

	mu      sync.Mutex // Guards what follows, and setting the deadline for reads.
	waiting bool       // For a line, so that nothing is lost when reading is stopped.
	stopped bool
	revoked bool // The login is not good any more.
}

func newConn(ctx context.Context, log *slog.Logger, bufs *buffers, nc net.Conn) *conn {
	c := &conn{ctx: ctx, log: log, bufs: bufs, raw: nc, c: nc}
	if tc, ok := nc.(*tls.Conn); ok {
		c.raw, c.tls = tc.NetConn(), tc
	}
	c.br = bufs.small.Get().(*bufio.Reader)
	c.br.Reset(connReader{c})
	return c
}

// connReader sets the deadline before each read from the network.
type connReader struct{ c *conn }

func (r connReader) Read(p []byte) (int, error) {
	if err := r.c.armRead(); err != nil {
		return 0, err
	}
	return r.c.c.Read(p)
}

// past is a deadline that makes reads return.
var past = time.Unix(1, 0)

func (c *conn) armRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting && c.stopped {
		return errStopping
	}
	deadline := time.Now().Add(c.limit)
	if !c.until.IsZero() && c.until.Before(deadline) {
		deadline = c.until
	}
	return c.raw.SetReadDeadline(deadline)
}

// interrupt makes the connection stop reading lines, with errStopping. Message data
// that is being read is read to its end.
func (c *conn) interrupt() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	if c.waiting {
		// An error means that the connection is closed, which the reader notices.
		_ = c.raw.SetReadDeadline(past)
	}
}

// revoke is interrupt because the user could not log in again.
func (c *conn) revoke() {
	c.mu.Lock()
	c.revoked = true
	c.mu.Unlock()
	c.interrupt()
}

func (c *conn) isRevoked() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.revoked
}

func (c *conn) setWaiting(waiting bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting = waiting
}

// stopping reports whether interrupt was called.
func (c *conn) stopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

// readLine reads a line of at most limit octets with its CRLF, which is removed.
// Replies that wait are written first, unless a line has been received already
// (RFC 2920 §3.2). The line is valid until the next call of a method.
func (c *conn) readLine(limit int, timeout time.Duration) ([]byte, error) {
	if !c.lineBuffered() {
		if err := c.flush(); err != nil {
			return nil, err
		}
		c.useSmall()
	} else {
		// A client that sends many commands at once does not wait in between, and would
		// keep a processor for longer than others should wait.
		runtime.Gosched()
	}
	if c.slow {
		if err := sleep(c.ctx, slowDelay); err != nil {
			return nil, errStopping
		}
	}
	c.limit, c.until = timeout, time.Now().Add(timeout)
	c.setWaiting(true)
	defer c.setWaiting(false)
	line, err := c.collect(limit)
	c.until = time.Time{}
	switch {
	case err != nil && c.stopping() && !mlog.IsClosed(err):
		return nil, errStopping
	case err != nil:
		return nil, err
	case !bytes.HasSuffix(line, []byte("\r\n")):
		return nil, errBareLF
	}
	return line[:len(line)-2], nil
}

// collect reads up to and including a LF.
func (c *conn) collect(limit int) ([]byte, error) {
	var long []byte // Of a line that is longer than the buffer.
	for {
		part, err := c.br.ReadSlice('\n')
		if len(long)+len(part) > limit {
			return nil, errLineTooLong
		}
		switch {
		case err == nil && long == nil:
			return part, nil
		case err == nil:
			return append(long, part...), nil
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, part...)
		case errors.Is(err, io.EOF) && len(long)+len(part) > 0:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

// lineBuffered reports whether a whole line has been received and not been read.
func (c *conn) lineBuffered() bool {
	buf, _ := c.br.Peek(c.br.Buffered()) // Does not read, so cannot fail.
	return bytes.IndexByte(buf, '\n') >= 0
}

// pending reports whether something has been received and not been read.
func (c *conn) pending() bool {
	return c.br.Buffered() > 0
}

// dataReader prepares for reading message data, which must be there at a time, and
// returns the reader for it: with a large buffer, unless many need one.
func (c *conn) dataReader(until time.Time, large bool) *bufio.Reader {
	if large && !c.large {
		small := c.br
		buffered, _ := small.Peek(small.Buffered())
		rest := bytes.NewReader(bytes.Clone(buffered))
		c.br = c.bufs.large.Get().(*bufio.Reader)
		c.br.Reset(io.MultiReader(rest, connReader{c}))
		c.large = true
		small.Reset(nil)
		c.bufs.small.Put(small)
	}
	c.limit, c.until = dataTimeout, until
	return c.br
}

// useSmall gives a large buffer back, if nothing is in it.
func (c *conn) useSmall() {
	if !c.large || c.br.Buffered() > 0 {
		return
	}
	c.br.Reset(nil)
	c.bufs.large.Put(c.br)
	c.br = c.bufs.small.Get().(*bufio.Reader)
	c.br.Reset(connReader{c})
	c.large = false
}

// hold waits, until the server stops. An error means that the client is gone.
func (c *conn) hold(d time.Duration) error {
	if err := c.flush(); err != nil {
		return err
	}
	c.useSmall()
	end := time.Now().Add(d)
	c.limit, c.until = d, end
	c.setWaiting(true)
	_, err := c.br.Peek(1)
	c.setWaiting(false)
	c.until = time.Time{}
	switch {
	case err == nil: // It has sent something already. The connection is watched no longer.
		_ = sleep(c.ctx, time.Until(end))
		return nil
	case c.stopping() && !mlog.IsClosed(err), isTimeout(err):
		return nil
	}
	return err
}

// write adds to what is written to the client. Only errors of writing much are
// returned; others come with the next flush.
func (c *conn) write(p []byte) error {
	mlog.Trace(c.ctx, c.log, mlog.LevelTrace, "LS: ", p)
	c.out = append(c.out, p...)
	if len(c.out) >= replyBuffer {
		return c.flush()
	}
	return nil
}

// flush writes what waits to be written.
func (c *conn) flush() error {
	if len(c.out) == 0 {
		return nil
	}
	out := c.out
	c.out = c.out[:0]
	if cap(c.out) > 2*replyBuffer || !c.lineBuffered() {
		c.out = nil
	}
	deadline := time.Now().Add(writeTimeout)
	if err := c.raw.SetWriteDeadline(deadline); err != nil {
		return err
	}
	out, err := c.drip(out, deadline.Add(-slowReserve))
	if err != nil {
		return err
	}
	n, err := c.c.Write(out)
	c.written += int64(n)
	return err
}

// drip writes octet by octet to a client in slow mode, until the deadline. It
// returns the rest.
func (c *conn) drip(out []byte, deadline time.Time) ([]byte, error) {
	for c.slow && len(out) > 1 && time.Now().Before(deadline) {
		if _, err := c.c.Write(out[:1]); err != nil {
			return nil, err
		}
		c.written++
		out = out[1:]
		if err := sleep(c.ctx, slowDelay); err != nil || c.stopping() {
			break
		}
	}
	return out, nil
}

// readProxyHeader reads the header of the PROXY protocol, and nothing else.
func (c *conn) readProxyHeader() (proxyproto.Header, error) {
	c.limit, c.until = proxyTimeout, time.Now().Add(proxyTimeout)
	defer func() { c.until = time.Time{} }()
	c.setWaiting(true)
	defer c.setWaiting(false)
	return proxyproto.Read(connReader{c})
}

// startTLS does the TLS handshake. Nothing may be pending.
func (c *conn) startTLS(config *tls.Config) (*tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(c.ctx, handshakeTimeout)
	defer cancel()
	if err := c.raw.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return nil, err
	}
	tc := tls.Server(c.raw, config)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	c.tls, c.c = tc, tc
	c.br.Reset(connReader{c})
	cs := tc.ConnectionState()
	return &cs, nil
}

// close ends the connection. In an orderly end, all that was written reaches the
// client: TLS is ended, and what the client is still sending is read for a moment,
// since closing with unread data would make its system throw away our last reply.
func (c *conn) close(orderly bool) {
	if c.br == nil {
		return // Closed before.
	}
	if orderly {
		_ = c.raw.SetDeadline(time.Now().Add(closeTimeout))
		if c.tls != nil {
			_ = c.tls.CloseWrite()
		}
		if h, ok := c.raw.(interface{ CloseWrite() error }); ok && h.CloseWrite() == nil {
			_, _ = io.CopyN(io.Discard, c.raw, maxLinger)
		}
	}
	_ = c.raw.Close() // All that matters has been flushed.
	pool := &c.bufs.small
	if c.large {
		pool = &c.bufs.large
	}
	c.br.Reset(nil)
	pool.Put(c.br)
	c.br = nil
}

// abort makes all reads and writes fail, now and later. Another goroutine calls it.
func (c *conn) abort() {
	_ = c.raw.Close()
}

// sleep waits for d or until ctx ends, with the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
