package smtpserver

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"mox/sasl"
)

// client is the other side of a connection, line by line.
type client struct {
	t  testing.TB
	nc net.Conn
	br *bufio.Reader
}

func newClient(t testing.TB, nc net.Conn) *client {
	return &client{t, nc, bufio.NewReader(nc)}
}

// dialClient connects over TCP.
func dialClient(t testing.TB, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return newClient(t, nc)
}

// pipeClient connects to a server in memory, for tests in a bubble of
// testing/synctest. The address is not that of a loopback.
func (ts *testServer) pipeClient(setup testSetup, o ListenerOptions) *client {
	ts.t.Helper()
	c, s := net.Pipe()
	o = ts.listenerOptions(setup, o)
	go ts.ServeConn(addrConn{s}, o)
	ts.t.Cleanup(func() { _ = c.Close() })
	return newClient(ts.t, c)
}

// addrConn is a connection from an address that is not special.
type addrConn struct{ net.Conn }

func (addrConn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1234} }
func (addrConn) LocalAddr() net.Addr  { return &net.TCPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 25} }

func (c *client) write(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.nc, format, args...); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

// reply reads a reply and returns its lines with spaces between them.
func (c *client) reply() string {
	c.t.Helper()
	var lines []string
	for {
		line, err := c.br.ReadString('\n')
		if err != nil {
			c.t.Fatalf("read reply: %v, after %q", err, append(lines, line))
		}
		line = strings.TrimSuffix(line, "\r\n")
		lines = append(lines, line)
		if len(line) < 4 || line[3] != '-' {
			return strings.Join(lines, " ")
		}
	}
}

// want reads a reply that starts with prefix.
func (c *client) want(prefix string) string {
	c.t.Helper()
	got := c.reply()
	if !strings.HasPrefix(got, prefix) {
		c.t.Fatalf("got reply %q, expected %q", got, prefix)
	}
	return got
}

// cmd sends a command and reads its reply.
func (c *client) cmd(line, prefix string) string {
	c.t.Helper()
	c.write("%s\r\n", line)
	return c.want(prefix)
}

func (c *client) hello() {
	c.t.Helper()
	c.want("220 ")
	c.cmd("EHLO client.example", "250")
}

// message sends a message and returns the reply to it.
func (c *client) message(from string, rcpts []string, content, prefix string) string {
	c.t.Helper()
	c.cmd("MAIL FROM:<"+from+">", "250 ")
	for _, r := range rcpts {
		c.cmd("RCPT TO:<"+r+">", "250 ")
	}
	c.cmd("DATA", "354 ")
	return c.cmd(content+"\r\n.", prefix)
}

// closed checks that the server has closed the connection.
func (c *client) closed() {
	c.t.Helper()
	if line, err := c.br.ReadString('\n'); err == nil {
		c.t.Fatalf("got line %q, expected the connection to be closed", line)
	} else if isTimeout(err) {
		c.t.Fatalf("connection is open: %v", err)
	}
}

// startTLS does a handshake.
func (c *client) startTLS() *tls.Conn {
	c.t.Helper()
	tc := tls.Client(c.nc, testCA().ClientConfig("mx.example.org"))
	if err := tc.Handshake(); err != nil {
		c.t.Fatalf("handshake: %v", err)
	}
	c.nc, c.br = tc, bufio.NewReader(tc)
	return tc
}

// auth does a SASL exchange and returns the final reply. The success must come when
// the mechanism has nothing more to say.
func (c *client) auth(m sasl.Client, initial bool) string {
	c.t.Helper()
	line := "AUTH " + m.Name()
	last := false
	if initial && m.ClientFirst() {
		data, l, err := m.Next(nil)
		if err != nil {
			c.t.Fatalf("client: %v", err)
		}
		last = l
		line += " " + base64.StdEncoding.EncodeToString(data)
	} else if m.ClientFirst() {
		c.cmd(line, "334 ")
		data, l, err := m.Next(nil)
		if err != nil {
			c.t.Fatalf("client: %v", err)
		}
		last = l
		line = base64.StdEncoding.EncodeToString(data)
	}
	for {
		c.write("%s\r\n", line)
		reply := c.reply()
		text, more := strings.CutPrefix(reply, "334 ")
		if !more {
			if strings.HasPrefix(reply, "235") && !last {
				c.t.Fatalf("server is done before the mechanism is")
			}
			return reply
		}
		challenge, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			c.t.Fatalf("challenge %q: %v", text, err)
		}
		data, l, err := m.Next(challenge)
		if err != nil {
			line = "*"
			continue
		}
		line, last = base64.StdEncoding.EncodeToString(data), l
	}
}

// took checks how long something took in a bubble.
func took(t *testing.T, start time.Time, want time.Duration, what string) {
	t.Helper()
	if d := time.Since(start); d != want {
		t.Errorf("%s took %v, expected %v", what, d, want)
	}
}
