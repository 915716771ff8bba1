package script

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultTimeout is how long one read or write may take, unless Options say
	// otherwise.
	DefaultTimeout = time.Minute

	// maxLine is the longest line that is read, in bytes.
	maxLine = 4 << 20
	// maxSkip is how many lines "<..." passes over.
	maxSkip = 100_000
)

// A conn is an open connection of a script.
type conn struct {
	net.Conn
	br      *bufio.Reader
	timeout time.Duration
	skip    bool // A line "<..." came.
}

func newConn(c net.Conn, timeout time.Duration) *conn {
	return &conn{Conn: c, br: bufio.NewReader(c), timeout: timeout}
}

// errLineEnd is about a line that does not end in CRLF.
var errLineEnd = errors.New("line does not end in CRLF")

// readLine reads a line and returns it without its CRLF. With an error other than
// nil it returns what there is of the line, control characters shown quoted.
func (c *conn) readLine() (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return "", err
	}
	var buf []byte
	for {
		part, err := c.br.ReadSlice('\n')
		buf = append(buf, part...)
		if errors.Is(err, bufio.ErrBufferFull) && len(buf) < maxLine {
			continue
		}
		if err != nil {
			return show(buf), err
		}
		break
	}
	line, ok := bytes.CutSuffix(buf, []byte("\r\n"))
	if !ok {
		return show(buf), errLineEnd
	}
	return string(line), nil
}

func show(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	q := strconv.Quote(string(b))
	return strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
}

func (c *conn) write(b []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	_, err := c.Conn.Write(b)
	return err
}

// readBytes reads exactly n bytes.
func (c *conn) readBytes(n int) ([]byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return nil, err
	}
	b := make([]byte, n)
	k, err := io.ReadFull(c.br, b)
	return b[:k], err
}

// readClosed checks that the connection has been closed by the other side and
// that nothing came before.
func (c *conn) readClosed() (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return "", err
	}
	_, err := c.br.Peek(1)
	switch {
	case err == nil:
		text, _ := c.readLine() // What came instead, for the message.
		return text, errors.New("expected the connection to be closed")
	case isTimeout(err):
		return "", errors.New("connection is still open")
	}
	return "", nil // EOF, a reset, a TLS alert: all say that it is closed.
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// buffered is a connection whose first bytes have been read already.
type buffered struct {
	net.Conn
	r io.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }

// replace puts another connection on top of c, such as one with TLS. What has been
// read ahead comes first.
func (c *conn) replace(upgrade func(net.Conn) (net.Conn, error)) error {
	ahead, err := c.br.Peek(c.br.Buffered())
	if err != nil {
		return fmt.Errorf("reading what came early: %w", err)
	}
	under := &buffered{c.Conn, io.MultiReader(bytes.NewReader(bytes.Clone(ahead)), c.Conn)}
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	n, err := upgrade(under)
	if err != nil {
		return err
	}
	c.Conn = n
	c.br = bufio.NewReader(n)
	return nil
}
