//go:build !race

package imapserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"
)

// directPair returns both ends of a connection, that of the server as a directConn.
func directPair(t testing.TB) (client *net.TCPConn, server *directConn) {
	t.Helper()
	c, s := tcpPair(t)
	nc, wait := direct(s)
	d, ok := nc.(*directConn)
	if !ok {
		t.Fatal("a TCP connection is not made direct")
	}
	wait(true)
	return c, d
}

// What is written is what is read, with more than the buffers of the sockets hold.
func TestDirectConnMovesAll(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 100, maxDirect - 1, maxDirect, maxDirect + 1, 5 * maxDirect} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			client, server := directPair(t)
			data := make([]byte, min(8<<20, 1000*size))
			for i := range data {
				data[i] = byte(i ^ i>>8 ^ i>>16)
			}
			sent := make(chan error, 1)
			go func() {
				for l := data; len(l) > 0; l = l[min(size, len(l)):] {
					if n, err := server.Write(l[:min(size, len(l))]); err != nil || n != min(size, len(l)) {
						sent <- fmt.Errorf("wrote %d: %w", n, err)
						return
					}
				}
				sent <- server.CloseWrite()
			}()
			back := make(chan error, 1)
			go func() { // Comes back the same way.
				_, err := io.Copy(client, client)
				back <- errors.Join(err, client.CloseWrite())
			}()
			var got bytes.Buffer
			p := make([]byte, size)
			for {
				n, err := server.Read(p)
				got.Write(p[:n])
				if err == io.EOF {
					break
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(<-sent, <-back); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), data) {
				t.Errorf("%d octets came back, not what was sent", got.Len())
			}
		})
	}
}

func TestDirectConnErrors(t *testing.T) {
	t.Parallel()
	p := make([]byte, 10)
	for _, tc := range []struct {
		name string
		do   func(client *net.TCPConn, server *directConn) (int, error)
		want error
	}{
		{"nothing to read into", func(_ *net.TCPConn, s *directConn) (int, error) { return s.Read(nil) }, nil},
		{"nothing to write", func(_ *net.TCPConn, s *directConn) (int, error) { return s.Write(nil) }, nil},
		{"end", func(c *net.TCPConn, s *directConn) (int, error) {
			c.Close()
			return s.Read(p)
		}, io.EOF},
		{"reset", func(c *net.TCPConn, s *directConn) (int, error) {
			_ = c.SetLinger(0)
			c.Close()
			return s.Read(p)
		}, syscall.ECONNRESET},
		{"write after reset", func(c *net.TCPConn, s *directConn) (int, error) {
			_ = c.SetLinger(0)
			c.Close()
			_, _ = s.Read(p)
			return s.Write(p)
		}, syscall.EPIPE},
		{"deadline has been", func(_ *net.TCPConn, s *directConn) (int, error) {
			_ = s.SetDeadline(time.Unix(1, 0))
			return s.Read(p)
		}, os.ErrDeadlineExceeded},
		{"deadline while reading", func(_ *net.TCPConn, s *directConn) (int, error) {
			time.AfterFunc(time.Millisecond, func() { _ = s.SetReadDeadline(time.Unix(1, 0)) })
			return s.Read(p)
		}, os.ErrDeadlineExceeded},
		{"closed while reading", func(_ *net.TCPConn, s *directConn) (int, error) {
			time.AfterFunc(time.Millisecond, func() { s.Close() })
			return s.Read(p)
		}, net.ErrClosed},
		{"closed", func(_ *net.TCPConn, s *directConn) (int, error) {
			s.Close()
			return s.Write(p)
		}, net.ErrClosed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			client, server := directPair(t)
			n, err := tc.do(client, server)
			if n != 0 || !errors.Is(err, tc.want) {
				t.Errorf("%d, %v, want error %v", n, err, tc.want)
			}
		})
	}
}

// A client that does not read makes Write wait, until the deadline, and the octets that the
// system took are counted.
func TestDirectConnWritesUntilTheDeadline(t *testing.T) {
	t.Parallel()
	client, server := directPair(t)
	if err := server.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var sent int
	var err error
	for p := make([]byte, maxDirect); err == nil; {
		var n int
		n, err = server.Write(p)
		sent += n
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	server.Close()
	if got, err := io.Copy(io.Discard, client); err != nil || got != int64(sent) {
		t.Errorf("%d octets came, %v; %d were said to be written", got, err, sent)
	}
}

func TestDirectConnAllocatesNothing(t *testing.T) {
	client, server := directPair(t)
	p := make([]byte, 100)
	if n := testing.AllocsPerRun(100, func() {
		_, err := client.Write(p)
		if err == nil {
			_, err = io.ReadFull(server, p)
		}
		if err == nil {
			_, err = server.Write(p)
		}
		if err == nil {
			_, err = io.ReadFull(client, p)
		}
		if err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestOnlyTCPIsMadeDirect(t *testing.T) {
	t.Parallel()
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	if nc, _ := direct(a); nc != a {
		t.Error("a pipe is made direct")
	}
}

// Only the read that a command begins with is not announced, and of these one in some is.
func TestDirectConnAnnouncesReads(t *testing.T) {
	t.Parallel()
	client, server := directPair(t)
	server.wait(false)
	p := make([]byte, 1)
	announced := func() bool {
		t.Helper()
		server.in.n = 0
		_, err := client.Write(p)
		if err == nil {
			_, err = server.Read(p)
		}
		if err != nil {
			t.Fatal(err)
		}
		return server.in.n == 0
	}
	n := 0
	for range 2 * announceEach {
		server.wait(true)
		if announced() {
			n++
		}
		server.wait(false)
		if !announced() {
			t.Fatal("a read within a command is not announced")
		}
	}
	if n != 2 {
		t.Errorf("%d of %d reads that begin commands were announced", n, 2*announceEach)
	}
}
