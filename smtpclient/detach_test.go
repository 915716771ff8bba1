package smtpclient

import (
	"bufio"
	"errors"
	"io"
	"net"
	"testing"

	"mox/dns"
)

func TestDetachedConnectionStartsWithWhatWasReadAhead(t *testing.T) {
	t.Parallel()
	ours, theirs := net.Pipe()
	go func() {
		br := bufio.NewReader(theirs)
		_, _ = io.WriteString(theirs, "220 hi\r\n") // What goes wrong here is seen by the client.
		_, _ = br.ReadString('\n')
		_, _ = io.WriteString(theirs, "250 x.example\r\nmore\r\n")
		_, _ = br.ReadString('\n')
		_, _ = io.WriteString(theirs, "bye\r\n")
		_ = theirs.Close()
	}()
	c, err := New(t.Context(), ours, Options{Hostname: dns.IPDomain{Domain: dns.Domain{ASCII: "c.example"}}, TLS: TLSOptions{Mode: TLSSkip}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := c.Detach()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "QUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	if data, err := io.ReadAll(conn); string(data) != "more\r\nbye\r\n" || err != nil {
		t.Errorf("got %q, %v", data, err)
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	if c.Usable() {
		t.Error("client is usable")
	}
	if _, err := c.Detach(); !errors.Is(err, ErrBotched) {
		t.Errorf("got %v", err)
	}
}
