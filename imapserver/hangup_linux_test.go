package imapserver

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"mox/imap/wire"
)

// tcpPair returns both ends of a connection.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); s.Close() })
	return c.(*net.TCPConn), s.(*net.TCPConn)
}

func TestSearchingEndsWhenTheClientHasGone(t *testing.T) {
	t.Parallel()
	client, server := tcpPair(t)
	c := &conn{srv: &Server{hangupInterval: time.Millisecond}, nc: server}
	ctx, stop := c.whileConnected(context.Background())
	defer stop()
	if sent, gone := hungUp(server); sent || gone {
		t.Error("a client that is connected is said to be gone")
	}
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	for !c.closing.Load() {
		time.Sleep(time.Millisecond) // Until the kernel has noticed.
	}
	if ctx.Err() != nil {
		t.Error("a client that may wait for the answer is said to be gone")
	}
	client.Close()
	if _, err := io.WriteString(server, "* OK still working on it\r\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ctx.Done():
	case <-time.After(testTimeout):
		t.Error("the context does not end")
	}
}

// A client that has closed its side is told once that its command is worked on.
func TestClientThatHasClosedItsSideIsAskedOnce(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	c := &conn{srv: &Server{opts: Options{Now: time.Now}, progressInterval: time.Hour}, tag: "s", enc: wire.NewEncoder(&out, nil)}
	tell := c.progress(1200)
	tell(500)
	c.closing.Store(true)
	tell(600)
	tell(700)
	if got, want := out.String(), "* OK [INPROGRESS (\"s\" 600 1200)] still working on it\r\n"; got != want {
		t.Errorf("told %q", got)
	}
}
