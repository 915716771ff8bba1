//go:build linux

package machine

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A marionette is a connection to a program of Mozilla that obeys: messages are arrays in
// JSON, with their length before them.
type marionette struct {
	conn net.Conn
	r    *bufio.Reader
	id   int
}

// maxMarionette is the size of the largest message, which is a picture.
const maxMarionette = 64 << 20

// newMarionette begins a session for what the program itself shows.
func newMarionette(t testing.TB, conn net.Conn) *marionette {
	t.Helper()
	m := &marionette{conn: conn, r: bufio.NewReader(conn)}
	if _, err := m.read(); err != nil {
		t.Fatalf("marionette: %v", err)
	}
	m.command(t, "WebDriver:NewSession", map[string]any{"capabilities": map[string]any{}})
	m.command(t, "Marionette:SetContext", map[string]any{"value": "chrome"})
	return m
}

func (m *marionette) read() (json.RawMessage, error) {
	if err := m.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	size, err := m.r.ReadString(':')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSuffix(size, ":"))
	if err != nil || n > maxMarionette {
		return nil, fmt.Errorf("message of size %q", size)
	}
	msg := make([]byte, n)
	_, err = io.ReadFull(m.r, msg)
	return msg, err
}

// try sends a command and returns the result.
func (m *marionette) try(name string, params map[string]any) (json.RawMessage, error) {
	m.id++
	msg, err := json.Marshal([]any{0, m.id, name, params})
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(m.conn, "%d:%s", len(msg), msg); err != nil {
		return nil, err
	}
	data, err := m.read()
	if err != nil {
		return nil, err
	}
	var resp []json.RawMessage
	if err := json.Unmarshal(data, &resp); err != nil || len(resp) != 4 {
		return nil, fmt.Errorf("response %.200q: %w", data, err)
	}
	if string(resp[2]) != "null" {
		return nil, errors.New(string(resp[2]))
	}
	return resp[3], nil
}

func (m *marionette) command(t testing.TB, name string, params map[string]any) json.RawMessage {
	t.Helper()
	r, err := m.try(name, params)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return r
}

// script runs the body of a function in JavaScript, which may await, and returns its result.
func (m *marionette) script(t testing.TB, body string, args ...string) string {
	t.Helper()
	const wrap = `const resolve = arguments[arguments.length-1]; (async (...args) => {%s})(...arguments).then(v => resolve(JSON.stringify(v) ?? ""), e => resolve("error: " + e + " " + e.stack));`
	if args == nil {
		args = []string{}
	}
	r := m.command(t, "WebDriver:ExecuteAsyncScript", map[string]any{"script": fmt.Sprintf(wrap, body), "args": args})
	var v struct{ Value string }
	if err := json.Unmarshal(r, &v); err != nil {
		t.Fatalf("result of a script: %v: %s", err, r)
	}
	if strings.HasPrefix(v.Value, "error: ") {
		t.Fatalf("script: %s", v.Value)
	}
	return v.Value
}

// picture returns what the window shows, as PNG.
func (m *marionette) picture(t testing.TB) []byte {
	t.Helper()
	var v struct{ Value []byte }
	r := m.command(t, "WebDriver:TakeScreenshot", map[string]any{"full": true, "hash": false, "scroll": false})
	if err := json.Unmarshal(r, &v); err != nil {
		t.Fatalf("picture: %v", err)
	}
	return v.Value
}
