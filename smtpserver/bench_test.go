package smtpserver

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"mox/internal/deliver"
)

// discard delivers to nowhere.
type discard struct{}

func (discard) Deliver(context.Context, deliver.Delivery) (deliver.Result, error) {
	return deliver.Result{}, nil
}

// benchClient is a connection to a server that keeps nothing.
func benchClient(b *testing.B) *client {
	ts := newTestServer(b, testSetup{
		options:  func(o *Options) { o.Deliver = discard{} },
		listener: func(l *ListenerOptions) { l.MaxMessageSize = 100 << 20 },
	})
	nc, err := net.Dial("tcp", ts.delivery)
	if err != nil {
		b.Fatalf("dial: %v", err)
	}
	b.Cleanup(func() { _ = nc.Close() })
	c := newClient(b, nc)
	c.hello()
	return c
}

// BenchmarkReceive receives messages over one connection, each transaction in two
// writes.
func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10, 1 << 20, 16 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			c := benchClient(b)
			m := []byte(stuff(bigMessage(size)) + ".\r\n")
			b.SetBytes(int64(len(m)))
			b.ReportAllocs()
			for b.Loop() {
				c.write("MAIL FROM:<a@elsewhere.example>\r\nRCPT TO:<ann@example.org>\r\nDATA\r\n")
				for _, code := range []string{"250 ", "250 ", "354 "} {
					c.want(code)
				}
				if _, err := c.nc.Write(m); err != nil {
					b.Fatalf("write: %v", err)
				}
				c.want("250 ")
			}
		})
	}
}

// BenchmarkCommands is the cost of a command without work, pipelined.
func BenchmarkCommands(b *testing.B) {
	c := benchClient(b)
	const n = 100
	group := strings.Repeat("RSET\r\n", n)
	b.ReportAllocs()
	for b.Loop() {
		c.write("%s", group)
		for range n {
			c.want("250 ")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/command")
}

// BenchmarkConnection is a session with one small message.
func BenchmarkConnection(b *testing.B) {
	ts := newTestServer(b, testSetup{options: func(o *Options) { o.Deliver = discard{} }})
	b.ReportAllocs()
	for b.Loop() {
		nc, err := net.Dial("tcp", ts.delivery)
		if err != nil {
			b.Fatalf("dial: %v", err)
		}
		c := newClient(b, nc)
		c.hello()
		c.message("a@elsewhere.example", []string{"ann@example.org"}, "Subject: x\r\n\r\nx", "250 ")
		c.cmd("QUIT", "221 ")
		if err := nc.Close(); err != nil {
			b.Fatalf("close: %v", err)
		}
	}
}
