package bench

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// commandTimeout is for the longest command.
const commandTimeout = 10 * time.Minute

// maxLine is for a SEARCH or THREAD response that has all messages.
const maxLine = 16 << 20

// An imapConn is an IMAP client that looks for the end of answers only. Its tags are
// words that messages do not have.
type imapConn struct {
	nc   transport
	tags int
	tag  []byte // Of the command that is running, with the space after it.
	buf  []byte
	n    int // Octets in buf: the last line so far.
}

// A transport is what is used of a connection.
type transport interface {
	io.ReadWriteCloser
	SetDeadline(t time.Time) error
}

// dialIMAP connects and logs in.
func dialIMAP(t testing.TB, addr string) *imapConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	check(t, err)
	return loginIMAP(t, nc)
}

// dialAlone is dialIMAP for a client that is the only one: it waits in read(2). Other clients
// wait for input together, in a goroutine each: Go then wakes and stops threads, on the
// processors that the server runs on too, for longer than a short command takes.
func dialAlone(t testing.TB, addr string) *imapConn {
	t.Helper()
	nc, err := dialBlocking(addr, commandTimeout)
	check(t, err)
	return loginIMAP(t, nc)
}

// loginIMAP logs in, with a connection that was made.
func loginIMAP(t testing.TB, nc transport) *imapConn {
	t.Helper()
	t.Cleanup(func() { _ = nc.Close() }) // It may have been closed.
	c := newIMAP(nc)
	check(t, c.greeting())
	c.do(t, "LOGIN "+address+" "+password)
	return c
}

func newIMAP(nc transport) *imapConn {
	return &imapConn{nc: nc, buf: make([]byte, 256<<10)}
}

// greeting reads the greeting.
func (c *imapConn) greeting() error {
	_, _, err := c.until([]byte("* "), nil)
	return err
}

// continuation reads a request for the rest of a command. RFC 9051 §7.6
func (c *imapConn) continuation() error {
	_, _, err := c.until([]byte("+ "), nil)
	return err
}

// do runs a command and returns the octets of the answer.
func (c *imapConn) do(t testing.TB, command string) (size int64) {
	t.Helper()
	size, err := c.run(command+"\r\n", nil)
	if err != nil {
		t.Fatalf("%.200s: %v", command, err)
	}
	return size
}

// run runs a command, with CRLF and literals in it, and gives each line or part of the
// answer to see, if that is not nil.
func (c *imapConn) run(command string, see func([]byte)) (size int64, err error) {
	if err := c.send(command); err != nil {
		return 0, err
	}
	return c.read(see)
}

// send sends a command under a new tag.
func (c *imapConn) send(command string) error {
	c.tags++
	c.tag = append(strconv.AppendInt(append(c.tag[:0], "zq"...), int64(c.tags), 10), ' ')
	if err := c.nc.SetDeadline(time.Now().Add(commandTimeout)); err != nil {
		return err
	}
	// One write, so that it leaves at once.
	_, err := c.nc.Write(append(append(make([]byte, 0, len(c.tag)+len(command)), c.tag...), command...))
	return err
}

// read reads the answer to a command, which must be OK.
func (c *imapConn) read(see func([]byte)) (size int64, err error) {
	line, size, err := c.until(c.tag, see)
	if err == nil && !bytes.HasPrefix(line[len(c.tag):], []byte("OK")) {
		err = fmt.Errorf("answer: %s", bytes.TrimSpace(line))
	}
	return size, err
}

// until reads up to the end of a line with a prefix, which must be the last that the
// server has sent. It returns the line and the octets of all.
func (c *imapConn) until(prefix []byte, see func([]byte)) (line []byte, size int64, err error) {
	c.n = 0
	for {
		if c.n == len(c.buf) {
			if c.n >= maxLine {
				return nil, size, fmt.Errorf("line longer than %d octets", c.n)
			}
			c.buf = append(c.buf, make([]byte, len(c.buf))...)
		}
		n, err := c.nc.Read(c.buf[c.n:])
		if err != nil {
			return nil, size, fmt.Errorf("reading answer: %w", err)
		}
		if see != nil {
			see(c.buf[c.n : c.n+n])
		}
		c.n += n
		size += int64(n)
		if line := c.lastLine(); bytes.HasPrefix(line, prefix) {
			return line, size, nil
		}
	}
}

// lastLine returns the last line if it is complete, and drops what is before it.
func (c *imapConn) lastLine() []byte {
	b := c.buf[:c.n]
	complete := b[len(b)-1] == '\n'
	end := len(b)
	if complete {
		end--
	}
	start := bytes.LastIndexByte(b[:end], '\n') + 1
	c.n = copy(c.buf, b[start:])
	if !complete {
		return nil
	}
	return c.buf[:c.n]
}

// A tally counts what is in an answer.
type tally struct {
	lines   map[string]int // Untagged responses by their last keyword: "FETCH".
	numbers int            // In SEARCH responses.
	line    []byte         // Start of the line so far.
}

// see takes the next part of an answer.
func (a *tally) see(b []byte) {
	for _, part := range bytes.SplitAfter(b, []byte("\n")) {
		a.line = append(a.line, part...)
		if bytes.HasSuffix(part, []byte("\n")) {
			a.count(a.line)
			a.line = a.line[:0]
		}
	}
}

// count counts a line. A line of a literal that looks like a response is counted too.
func (a *tally) count(line []byte) {
	f := strings.Fields(string(line[:min(len(line), 64)]))
	if len(f) < 2 || f[0] != "*" {
		return
	}
	if f[1] == "SEARCH" {
		a.numbers += bytes.Count(line, []byte(" ")) - 1
	}
	if _, err := strconv.Atoi(f[1]); err == nil && len(f) > 2 {
		f = f[1:]
	}
	a.lines[f[1]]++
}

// tally runs a command and counts what comes.
func (c *imapConn) tally(t testing.TB, command string) *tally {
	t.Helper()
	a := &tally{lines: map[string]int{}}
	if _, err := c.run(command+"\r\n", a.see); err != nil {
		t.Fatalf("%.200s: %v", command, err)
	}
	return a
}

// appendCommand returns an APPEND of messages, with CRLF.
func appendCommand(mailbox string, msgs ...mixed) string {
	var b strings.Builder
	b.WriteString("APPEND " + mailbox)
	for _, m := range msgs {
		fmt.Fprintf(&b, " (%s) %q {%d+}\r\n%s", m.flags, m.received.Format("02-Jan-2006 15:04:05 -0700"), len(m.text), m.text)
	}
	b.WriteString("\r\n")
	return b.String()
}
