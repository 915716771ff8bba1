package bench

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// An smtpConn is a client that sends messages to one recipient, as mail servers do: the
// commands of a transaction together (RFC 2920 §3.1), and the message when they have
// been answered.
type smtpConn struct {
	nc       net.Conn
	br       *bufio.Reader
	envelope []byte
}

// dialSMTP connects and says hello.
func dialSMTP(t testing.TB, addr, recipient string) *smtpConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	check(t, err)
	t.Cleanup(func() { _ = nc.Close() }) // It may have been closed.
	c := &smtpConn{nc: nc, br: bufio.NewReader(nc)}
	c.envelope = fmt.Appendf(nil, "MAIL FROM:<sender@example.org>\r\nRCPT TO:<%s>\r\nDATA\r\n", recipient)
	check(t, c.reply("220"))
	check(t, c.write([]byte("EHLO client.example.org\r\n")))
	check(t, c.reply("250"))
	return c
}

func (c *smtpConn) write(b []byte) error {
	if err := c.nc.SetDeadline(time.Now().Add(commandTimeout)); err != nil {
		return err
	}
	_, err := c.nc.Write(b)
	return err
}

// reply reads a reply, which must have this code.
func (c *smtpConn) reply(code string) error {
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("reading reply: %w", err)
		}
		if len(line) < 4 || string(line[:3]) != code {
			return fmt.Errorf("reply %q, not %s", line, code)
		}
		if line[3] == ' ' {
			return nil
		}
	}
}

// send sends a message as [dotted] returns it. When it returns, the server has taken
// responsibility.
func (c *smtpConn) send(message []byte) error {
	if err := c.write(c.envelope); err != nil {
		return err
	}
	for _, code := range []string{"250", "250", "354"} {
		if err := c.reply(code); err != nil {
			return err
		}
	}
	if err := c.write(message); err != nil {
		return err
	}
	return c.reply("250")
}

// dotted returns a message for DATA. RFC 5321 §4.5.2
func dotted(message string) []byte {
	s := strings.ReplaceAll(message, "\r\n.", "\r\n..")
	if strings.HasPrefix(s, ".") {
		s = "." + s
	}
	return []byte(s + ".\r\n")
}
