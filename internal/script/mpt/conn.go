package mpt

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultTimeout is how long an answer may take, unless Options say otherwise.
	DefaultTimeout = time.Minute

	maxLine    = 1 << 20  // Octets, of one line of a response.
	maxLiteral = 16 << 20 // Octets.
)

// Options are for the runners of this package.
type Options struct {
	// Dial returns a new connection for a session, "1", "2" and so on.
	Dial func(ctx context.Context, session string) (net.Conn, error)

	// Delimiter is the hierarchy delimiter of the server, for IMAP. The one of the files is
	// a dot: mailbox names are changed accordingly. Zero leaves them alone.
	Delimiter byte

	// Login, if not nil, is run on each new connection after the greeting.
	Login *File

	// Timeout is how long an answer may take. Zero is DefaultTimeout.
	Timeout time.Duration
}

func (o Options) timeout() time.Duration {
	if o.Timeout > 0 {
		return o.Timeout
	}
	return DefaultTimeout
}

type conn struct {
	net.Conn
	br      *bufio.Reader
	timeout time.Duration

	tags    map[string]bool // IMAP: of commands that were sent.
	literal int             // IMAP: octets still to be sent of a literal.
}

func dial(ctx context.Context, o Options, session string) (*conn, error) {
	nc, err := o.Dial(ctx, session)
	if err != nil {
		return nil, err
	}
	return &conn{Conn: nc, br: bufio.NewReader(nc), timeout: o.timeout(), tags: map[string]bool{}}, nil
}

// send writes lines, with CRLF. A server that does not take them all because it has
// closed the connection is found out by what it answered.
func (c *conn) send(lines []line) error {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.text)
		b.WriteString("\r\n")
	}
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return err
	}
	_, err := io.WriteString(c.Conn, b.String())
	return err
}

var errLineEnd = errors.New("line does not end in CRLF")

// readLine reads a line, returned without CRLF.
func (c *conn) readLine() (string, error) {
	if err := c.SetDeadline(time.Now().Add(c.timeout)); err != nil {
		return "", err
	}
	var b []byte
	for {
		part, err := c.br.ReadSlice('\n')
		b = append(b, part...)
		if errors.Is(err, bufio.ErrBufferFull) && len(b) < maxLine {
			continue
		}
		if err != nil {
			return "", err
		}
		break
	}
	s, ok := strings.CutSuffix(string(b), "\r\n")
	if !ok {
		return "", errLineEnd
	}
	return s, nil
}

// readResponse reads an IMAP response: a line, with what follows on the literals in
// it. RFC 9051 §4.3
func (c *conn) readResponse() (string, error) {
	var b strings.Builder
	for {
		s, err := c.readLine()
		if err != nil {
			return "", err
		}
		b.WriteString(s)
		n, ok := literalSize(s)
		if !ok {
			return b.String(), nil
		}
		if n > maxLiteral || b.Len() > maxLiteral {
			return "", fmt.Errorf("response is too large")
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(c.br, data); err != nil {
			return "", err
		}
		b.WriteString("\r\n")
		b.Write(data)
	}
}

// literalSize returns the size of the literal that a line ends in.
func literalSize(s string) (int, bool) {
	s, ok := strings.CutSuffix(s, "}")
	if !ok {
		return 0, false
	}
	i := strings.LastIndexByte(s, '{')
	n, err := strconv.Atoi(s[i+1:])
	return n, i >= 0 && err == nil && n >= 0
}
