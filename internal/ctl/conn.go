package ctl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Limits of the protocol.
const (
	// MaxLine is the length of the longest line, in octets.
	MaxLine = 64 << 10
	// MaxChunk is the size of the largest chunk of a stream, in octets.
	MaxChunk = 1 << 20

	// ioTimeout is how long the other side may take to read or write something that
	// it has no reason to wait for.
	ioTimeout = 30 * time.Second
	// idleTimeout is how long a connection is kept on which no command is sent.
	idleTimeout = 5 * time.Minute
)

const (
	greeting = "ctlv0"
	okLine   = "ok"
)

// errStream means that the two sides do not agree any more on what comes next on
// the connection.
var errStream = errors.New("stream interrupted")

// Conn is a connection with methods for the elements of the protocol, which are
// the same for both sides.
type Conn struct {
	conn      net.Conn
	br        *bufio.Reader
	bw        *bufio.Writer
	streaming bool // Within a stream of data, in either direction.
	broken    bool // A line could not be read.
	taken     bool // Another protocol is spoken.
}

func newConn(nc net.Conn) *Conn {
	return &Conn{conn: nc, br: bufio.NewReader(nc), bw: bufio.NewWriter(nc)}
}

// readLine reads a line, waiting for it for a time, or forever if that is zero.
func (c *Conn) readLine(timeout time.Duration) (string, error) {
	line, err := c.scanLine(timeout)
	c.broken = c.broken || err != nil
	return line, err
}

func (c *Conn) scanLine(timeout time.Duration) (string, error) {
	var deadline time.Time
	if timeout > 0 {
		deadline = time.Now().Add(timeout)
	}
	if err := c.conn.SetReadDeadline(deadline); err != nil {
		return "", err
	}
	var line []byte
	for {
		part, err := c.br.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil:
			return string(line[:len(line)-1]), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			if err == io.EOF && len(line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		case len(line) > MaxLine:
			return "", fmt.Errorf("line longer than %d octets", MaxLine)
		}
	}
}

// ReadLine reads a line that the other side is about to send, such as a parameter.
func (c *Conn) ReadLine() (string, error) {
	return c.readLine(ioTimeout)
}

// WaitLine reads a line for which the other side may take its time.
func (c *Conn) WaitLine() (string, error) {
	return c.readLine(0)
}

// WriteLine writes a line. Line ends in it become spaces.
func (c *Conn) WriteLine(s string) error {
	s = strings.NewReplacer("\r", " ", "\n", " ").Replace(s)
	if len(s) > MaxLine {
		s = s[:MaxLine]
	}
	return c.write(s + "\n")
}

// write writes all of s.
func (c *Conn) write(s string) error {
	if err := c.conn.SetWriteDeadline(time.Now().Add(ioTimeout)); err != nil {
		return err
	}
	if _, err := c.bw.WriteString(s); err != nil {
		return err
	}
	return c.bw.Flush()
}

// WriteOK tells the other side that all is well.
func (c *Conn) WriteOK() error {
	return c.WriteLine(okLine)
}

// Take returns the connection for another protocol, which is spoken from here on: by the
// server after the "ok" to a command, by the client after it has read that. A handler
// that has called it returns when that protocol has ended. No time limits are set.
func (c *Conn) Take() (net.Conn, error) {
	c.taken = true
	uc, ok := c.conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("control connection is of type %T", c.conn)
	}
	return taken{uc, c.br}, uc.SetDeadline(time.Time{})
}

// taken is a connection of which something may have been read already.
type taken struct {
	*net.UnixConn
	br *bufio.Reader
}

func (t taken) Read(p []byte) (int, error) { return t.br.Read(p) }

// WriteTo hides that of the embedded type, which knows nothing of what was read.
func (t taken) WriteTo(w io.Writer) (int64, error) { return t.br.WriteTo(w) }

// A RemoteError is what the other side says is wrong.
type RemoteError string

// Error returns the text of the other side.
func (e RemoteError) Error() string {
	return string(e)
}

// readOK reads the answer to a command or a chunk.
func (c *Conn) readOK(timeout time.Duration) error {
	line, err := c.readLine(timeout)
	if err != nil {
		return err
	}
	if line != okLine {
		return RemoteError(line)
	}
	return nil
}

// StreamWriter returns a writer for a stream of data. It must be closed, which
// marks the end of the stream; a stream that is not complete must be ended by
// closing the connection instead.
func (c *Conn) StreamWriter() io.WriteCloser {
	c.streaming = true
	return &streamWriter{c: c}
}

type streamWriter struct {
	c   *Conn
	err error
}

func (w *streamWriter) Write(p []byte) (int, error) {
	n := 0
	for w.err == nil && n < len(p) {
		chunk := p[n:min(n+MaxChunk, len(p))]
		werr := w.write(chunk)
		w.err = w.c.readOK(ioTimeout) // Also when the other side stopped reading: it says why.
		if rerr := RemoteError(""); werr != nil && !errors.As(w.err, &rerr) {
			w.err = werr
		}
		if w.err == nil {
			n += len(chunk)
		}
	}
	return n, w.err
}

func (w *streamWriter) write(chunk []byte) error {
	if err := w.c.conn.SetWriteDeadline(time.Now().Add(ioTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w.c.bw, "%d\n", len(chunk)); err != nil {
		return err
	}
	if _, err := w.c.bw.Write(chunk); err != nil {
		return err
	}
	return w.c.bw.Flush()
}

// Close marks the end of the stream.
func (w *streamWriter) Close() error {
	if w.err != nil {
		return w.err
	}
	w.c.streaming = false
	return w.write(nil)
}

// StreamReader returns a reader for a stream of data, up to its end.
func (c *Conn) StreamReader() io.Reader {
	c.streaming = true
	return &streamReader{c: c}
}

type streamReader struct {
	c    *Conn
	left int // Of the current chunk.
	err  error
}

func (r *streamReader) Read(p []byte) (int, error) {
	if r.err != nil || len(p) == 0 {
		return 0, r.err
	}
	if r.left == 0 {
		if r.left, r.err = r.next(); r.err != nil {
			return 0, r.err
		}
	}
	if err := r.c.conn.SetReadDeadline(time.Now().Add(ioTimeout)); err != nil {
		return 0, err
	}
	n, err := r.c.br.Read(p[:min(len(p), r.left)])
	r.left -= n
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if err == nil && r.left == 0 {
		err = r.c.WriteOK()
	}
	if err != nil {
		r.err = fmt.Errorf("%w: %w", errStream, err)
	}
	return n, r.err
}

// next returns the size of the next chunk. The error at the end of the stream is
// io.EOF.
func (r *streamReader) next() (int, error) {
	line, err := r.c.ReadLine()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errStream, err)
	}
	size, err := strconv.ParseUint(line, 10, 31)
	switch {
	case err != nil:
		return 0, RemoteError(line) // Instead of a next chunk, what went wrong.
	case size > MaxChunk:
		return 0, fmt.Errorf("%w: chunk of %d octets, more than %d", errStream, size, MaxChunk)
	case size == 0:
		r.c.streaming = false
		return 0, io.EOF
	}
	return int(size), nil
}

// Client sends commands to a server.
type Client struct {
	*Conn
	stop func() bool
}

// ErrNotRunning means that no server listens on a socket.
var ErrNotRunning = errors.New("mox is not running")

// Dial connects to the server whose data directory is given. The error matches
// [ErrNotRunning] if there is none. When ctx ends, the connection is closed.
func Dial(ctx context.Context, dataDir string) (*Client, error) {
	nc, err := dialSocket(ctx, dataDir)
	if err != nil {
		return nil, err
	}
	c := newConn(nc)
	line, err := c.ReadLine()
	if err == nil && line != greeting {
		err = fmt.Errorf("server speaks protocol %.50q, this command %q: use the mox program that the server runs", line, greeting)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading greeting: %w", err), nc.Close())
	}
	return &Client{c, context.AfterFunc(ctx, func() { _ = nc.Close() })}, nil
}

// Close closes the connection.
func (c *Client) Close() error {
	c.stop()
	return c.conn.Close()
}

// Send sends a command with its parameters. Parameters cannot have line ends.
func (c *Client) Send(command string, params ...string) error {
	for _, line := range append([]string{command}, params...) {
		if strings.ContainsAny(line, "\r\n") || len(line) > MaxLine {
			return fmt.Errorf("parameter has a line end, or more than %d octets", MaxLine)
		}
	}
	// In one write: a server that does not know the command reads no parameters.
	return c.write(strings.Join(append([]string{command}, params...), "\n") + "\n")
}

// Do sends a command with its parameters and waits until it is answered, however
// long that takes. An error of type [RemoteError] is the server's answer.
func (c *Client) Do(command string, params ...string) error {
	if err := c.Send(command, params...); err != nil {
		return err
	}
	return c.ReadOK()
}

// ReadOK waits for the answer of the server, however long that takes.
func (c *Client) ReadOK() error {
	return c.readOK(0)
}

// WaitClosed waits until the server closes the connection, as it does at its end.
func (c *Client) WaitClosed() error {
	line, err := c.readLine(0)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return nil
	case err != nil:
		return err
	}
	return RemoteError(line)
}
