package e2e

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"
)

// Others are served while a client sends commands without waiting for answers, also if there
// is one processor only: reading from a connection is not always announced to the scheduler.
func TestOthersHaveTheirTurn(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{loglevel: "error", wrap: []string{"env", "GOMAXPROCS=1"}})
	const commands = 200000
	flood, other := s.dial("imap"), s.dial("imap")
	defer flood.Close()
	defer other.Close()
	readGreeting(t, flood)
	r := readGreeting(t, other)

	sent, ended := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := flood.Write(bytes.Repeat([]byte("a NOOP\r\n"), commands))
		sent <- err
	}()
	first := make(chan bool)
	go func() {
		lines := bufio.NewReaderSize(flood, 1<<20)
		var err error
		for i := 0; i < commands && err == nil; i++ {
			if _, err = lines.ReadSlice('\n'); i == commands/100 {
				close(first)
			}
		}
		ended <- err
	}()
	<-first
	served := 0
	for {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			if err := <-sent; err != nil {
				t.Fatal(err)
			}
			t.Logf("served %d times", served)
			if served < 5 {
				t.Errorf("another client was served %d times only", served)
			}
			return
		default:
		}
		if _, err := io.WriteString(other, "b NOOP\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		served++
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
