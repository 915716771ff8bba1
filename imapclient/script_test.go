package imapclient

import (
	"bufio"
	"context"
	"net"
	"strings"
	"testing"
)

// dial returns a client of a server that follows a script, without its greeting. Lines of
// the script start with "S: " for a line that the server sends, "S> " for the same without
// CRLF, "C: " for a line that the client must send, or "S!" for closing the connection. The
// script must have been followed to its end when the test ends.
func dial(t testing.TB, opts Options, script string) *Client {
	t.Helper()
	return dialGreeting(t, opts, "S: * OK [CAPABILITY IMAP4rev1 IMAP4rev2 LITERAL+ SASL-IR] hi\n"+script)
}

// dialGreeting is dial with the greeting in the script.
func dialGreeting(t testing.TB, opts Options, script string) *Client {
	t.Helper()
	conn, _ := runServer(t, script)
	c, err := New(context.Background(), conn, opts)
	if err != nil {
		t.Fatalf("greeting: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// runServer starts a server that follows a script.
func runServer(t testing.TB, script string) (conn net.Conn, done chan bool) {
	t.Helper()
	conn, server := net.Pipe()
	done = make(chan bool)
	go func() {
		defer close(done)
		defer server.Close()
		follow(t, server, script)
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	return conn, done
}

func follow(t testing.TB, server net.Conn, script string) {
	r := bufio.NewReader(server)
	for line := range strings.Lines(script) {
		line = strings.TrimSuffix(strings.TrimLeft(line, "\t"), "\n")
		kind, text := line, ""
		if len(line) > 2 {
			kind, text = line[:2], line[3:]
		}
		var err error
		switch kind {
		case "S:":
			_, err = server.Write([]byte(text + "\r\n"))
		case "S>":
			_, err = server.Write([]byte(text))
		case "S!":
			return
		case "C:":
			var got string
			if got, err = r.ReadString('\n'); err == nil && got != text+"\r\n" {
				t.Errorf("client sent %q, want %q", got, text)
				return
			}
		case "":
		default:
			t.Errorf("invalid line %q in script", line)
			return
		}
		if err != nil {
			t.Errorf("at %q of the script: %v", line, err)
			return
		}
	}
}
