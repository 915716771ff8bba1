package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// Others are served while a client sends commands without waiting for answers, also if there
// is one processor only: reading from a connection is not always announced to the scheduler.
func TestOthersHaveTheirTurn(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{loglevel: "error", wrap: []string{"env", "GOMAXPROCS=1"}})
	flood, other := s.dial("imap"), s.dial("imap")
	defer flood.Close()
	defer other.Close()
	for _, nc := range []net.Conn{flood, other} {
		if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	readGreeting(t, flood)
	r := readGreeting(t, other)

	var enough atomic.Bool
	sent, answered := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, flood)
		answered <- err
	}()
	go func() {
		var err error
		for p := bytes.Repeat([]byte("a NOOP\r\n"), 8000); !enough.Load() && err == nil; {
			_, err = flood.Write(p)
		}
		if err == nil {
			_, err = io.WriteString(flood, "a LOGOUT\r\n")
		}
		sent <- err
	}()
	for range 20 {
		if _, err := io.WriteString(other, "b NOOP\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	enough.Store(true)
	if err := errors.Join(<-sent, <-answered); err != nil {
		t.Fatal(err)
	}
}

// readGreeting reads the greeting of a server.
func readGreeting(t *testing.T, nc net.Conn) *bufio.Reader {
	t.Helper()
	r := bufio.NewReader(nc)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return r
}
