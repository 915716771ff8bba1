package http

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
)

// pipes is a listener with connections that are made in the test.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// serveOne serves a handler, the errors of which are sent to a channel, to a client that
// writes a request and then does what fn does, with a clock that jumps. It returns for
// how long.
func serveOne(t *testing.T, h func(w http.ResponseWriter, r *http.Request) error, request string, fn func(c net.Conn, ended <-chan error)) time.Duration {
	t.Helper()
	conf, err := config.New(config.Static{
		DataDir: "data", LogLevel: "info", Hostname: "mx.example",
		Listeners:  map[string]config.ListenerFields{"public": {IPs: []string{"127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "ann", Mailbox: "Postmaster"},
	}, config.Dynamic{Domains: map[string]config.DomainFields{"mail.example": {}}, Accounts: map[string]config.AccountFields{"ann": {Domain: "mail.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	var took time.Duration
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan error, 1)
		handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ended <- h(w, r) })
		srv := New(Options{Config: config.NewHolder(conf), Services: []Service{{Name: "test", Path: func(config.Listener, config.WebPort) string { return "/" }, Handler: handler}}})
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		done := make(chan error)
		go func() {
			done <- srv.Serve(l, ListenerOptions{Listener: conf.Listeners[0], Port: config.WebPort{Port: 80, Services: []string{"WebserverHTTP"}}})
		}()
		client, server := net.Pipe()
		l.conns <- server
		if _, err := io.WriteString(client, request); err != nil {
			t.Error(err)
		}
		begin := time.Now()
		fn(client, ended)
		took = time.Since(begin)
		client.Close()
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return took
}

// untilClosed reads until the server closes the connection.
func untilClosed(c net.Conn, _ <-chan error) { _, _ = io.Copy(io.Discard, c) }

func TestClientsThatStallAreDisconnected(t *testing.T) {
	t.Parallel()
	const get = "GET / HTTP/1.1\r\nHost: mx.example\r\n\r\n"
	const post = "POST / HTTP/1.1\r\nHost: mx.example\r\nContent-Length: 10\r\n\r\n"
	nothing := func(http.ResponseWriter, *http.Request) error { return nil }
	readBody := func(_ http.ResponseWriter, r *http.Request) error {
		_, err := io.Copy(io.Discard, r.Body)
		if err == nil {
			time.Sleep(time.Hour) // What it takes then is not the client's.
			err = r.Context().Err()
		}
		return err
	}
	write := func(n int) func(http.ResponseWriter, *http.Request) error {
		return func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.Write(bytes.Repeat([]byte{'x'}, n))
			return err
		}
	}
	for name, tc := range map[string]struct {
		h       func(http.ResponseWriter, *http.Request) error
		request string
		want    time.Duration
	}{
		"no header":                 {nothing, "GET / HTTP/1.1\r\n", headerTimeout},
		"no second request":         {nothing, get, idleTimeout},
		"no body":                   {readBody, post + "12345", stallTimeout + restTimeout},
		"no body that is asked for": {nothing, post + "12345", restTimeout},
	} {
		if d := serveOne(t, tc.h, tc.request, untilClosed); d != tc.want {
			t.Errorf("%s: took %v, expected %v", name, d, tc.want)
		}
	}
	serveOne(t, readBody, post, func(c net.Conn, ended <-chan error) {
		for range 10 {
			time.Sleep(stallTimeout - 2*time.Second)
			_, _ = io.WriteString(c, "x")
		}
		if err := <-ended; err != nil {
			t.Errorf("slow body: got %v", err)
		}
		go untilClosed(c, ended)
	})
	var err error
	d := serveOne(t, write(10<<20), get, func(_ net.Conn, ended <-chan error) { err = <-ended })
	if err == nil || d > stallTimeout || d < stallTimeout-deadlineStep {
		t.Errorf("nothing is read: took %v, got %v", d, err)
	}
	serveOne(t, write(20*chunkSize), get, func(c net.Conn, ended <-chan error) {
		buf := make([]byte, chunkSize) // A part of two chunks, with the header before them.
		for range 20 {
			time.Sleep(stallTimeout/2 - time.Second)
			_, _ = io.ReadFull(c, buf)
		}
		go untilClosed(c, ended)
		if err := <-ended; err != nil {
			t.Errorf("slow reader: got %v", err)
		}
	})
}

func TestResponsesMayTakeAnyTime(t *testing.T) {
	t.Parallel()
	events := func(w http.ResponseWriter, _ *http.Request) error {
		for range 100 {
			time.Sleep(10 * time.Minute)
			if _, err := io.WriteString(w, "data: x\n\n"); err != nil {
				return err
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
		}
		return nil
	}
	serveOne(t, events, "GET / HTTP/1.1\r\nHost: mx.example\r\n\r\n", func(c net.Conn, ended <-chan error) {
		go untilClosed(c, ended)
		if err := <-ended; err != nil {
			t.Errorf("got %v", err)
		}
	})
}
