package testkit

import (
	"bufio"
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A Sink is an SMTP server that takes all messages and forgets them at once, with
// PIPELINING and without TLS.
type Sink struct {
	Addr string // The first address, with its port.

	taken func(id string)
	count atomic.Int64

	mu     sync.Mutex // Guards what follows.
	idle   *sync.Cond // There are fewer connections.
	closed bool
	conns  map[net.Conn]bool
}

// NewSink starts a sink that stops when the test ends, on addresses with ports; without
// any it is a port of 127.0.0.1. Taken, if not nil, is called with the Message-ID of each
// message before the sink says that it has taken it. It is called by several goroutines.
func NewSink(t testing.TB, taken func(id string), addrs ...string) *Sink {
	t.Helper()
	if len(addrs) == 0 {
		addrs = []string{"127.0.0.1:0"}
	}
	s := &Sink{taken: taken, conns: map[net.Conn]bool{}}
	s.idle = sync.NewCond(&s.mu)
	var wg sync.WaitGroup
	t.Cleanup(func() {
		s.close()
		wg.Wait()
	})
	for _, addr := range addrs {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatalf("listening for smtp: %v", err)
		}
		if s.Addr == "" {
			s.Addr = ln.Addr().String()
		}
		t.Cleanup(func() { _ = ln.Close() }) // There is nothing to be done about it.
		wg.Go(func() {
			for {
				nc, err := ln.Accept()
				if err != nil {
					return
				}
				if s.open(nc) {
					wg.Go(func() { s.serve(nc) })
				}
			}
		})
	}
	return s
}

// open remembers a connection, unless the sink has stopped.
func (s *Sink) open(nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = nc.Close() // The client sees it.
		return false
	}
	s.conns[nc] = true
	return true
}

func (s *Sink) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for nc := range s.conns {
		_ = nc.Close() // The client sees it.
	}
}

// Count returns how many messages the sink has taken.
func (s *Sink) Count() int { return int(s.count.Load()) }

// Wait waits until all clients are gone, so that what they have sent was taken.
func (s *Sink) Wait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.conns) > 0 {
		s.idle.Wait()
	}
}

func (s *Sink) serve(nc net.Conn) {
	defer func() {
		_ = nc.Close() // The client sees it.
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.conns, nc)
		s.idle.Broadcast()
	}()
	br, bw := bufio.NewReaderSize(nc, 32<<10), bufio.NewWriter(nc)
	reply := "220 sink.example ESMTP\r\n"
	for reply != "" {
		// Errors of the writer stay, and Flush returns them.
		_, _ = bw.WriteString(reply)
		// What is pipelined is answered together.
		if br.Buffered() == 0 && bw.Flush() != nil {
			return
		}
		line, err := br.ReadSlice('\n')
		if err != nil {
			return
		}
		reply = s.command(line, br, bw)
	}
	_, _ = bw.WriteString("221 2.0.0 bye\r\n")
	_ = bw.Flush()
}

// command returns the reply to a command, empty at the end.
func (s *Sink) command(line []byte, br *bufio.Reader, bw *bufio.Writer) string {
	switch verb := string(bytes.ToUpper(line[:min(4, len(line))])); verb {
	case "EHLO":
		return "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"
	case "QUIT":
		return ""
	case "DATA":
		if _, err := bw.WriteString("354 go\r\n"); err != nil || bw.Flush() != nil {
			return ""
		}
		id, err := readContent(br)
		if err != nil {
			return ""
		}
		if s.taken != nil {
			s.taken(id)
		}
		s.count.Add(1)
		return "250 2.0.0 taken\r\n"
	}
	return "250 2.0.0 ok\r\n"
}

// readContent reads a message up to the final dot, and returns its Message-ID.
func readContent(br *bufio.Reader) (id string, err error) {
	header := true
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		switch {
		case len(line) == 3 && line[0] == '.':
			return id, nil
		case len(line) == 2:
			header = false
		case header && len(line) > 11 && bytes.EqualFold(line[:11], []byte("Message-ID:")):
			id = string(bytes.TrimSpace(line[11:]))
		}
	}
}
