package imapserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mox/internal/script"
	"mox/internal/testkit"
	"mox/store"
)

// TestScripts runs the conversations of testdata, see testdata/README.md.
func TestScripts(t *testing.T) {
	t.Parallel()
	script.RunDir(t, "testdata/*.txtar", func(t *testing.T, s *script.Script) script.Options {
		ts := scriptServer(t, s)
		return script.Options{
			Dial: ts.dial,
			Directives: map[string]script.Directive{
				"starttls": ts.startTLS,
				"deflate":  ts.deflate,
				"deliver":  ts.deliverFile,
				"shutdown": ts.shutdown,
				"damage":   ts.damage,
			},
		}
	})
}

// scriptServer makes a server as the settings of a script say.
func scriptServer(t *testing.T, s *script.Script) *testServer {
	is := func(key string) bool { v, ok := s.Get(key); return ok && v == "yes" }
	number := func(key string) int64 {
		v, ok := s.Get(key)
		if !ok {
			return 0
		}
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil {
			t.Fatalf("setting %s: %v", key, err)
		}
		return n
	}
	setup := testSetup{quota: number("quota"), messages: number("quotamessages")}
	setup.store = func(o *store.Options) { o.Tombstones = number("tombstones") }
	var ca *testkit.CA
	setup.listener = func(l *ListenerOptions) {
		l.MaxMessageSize = number("maxsize")
		l.AllowPlaintextLogin = !is("needtls")
		if is("tls") || is("needtls") {
			ca = testkit.NewCA(t)
			l.TLSConfig = ca.ServerConfig(t, "localhost")
		}
	}
	setup.options = func(o *Options) {
		o.MessageLimit = int(number("messagelimit"))
		if v, ok := s.Get("clock"); ok {
			now, err := time.Parse(time.RFC3339, v)
			if err != nil {
				t.Fatalf("clock: %v", err)
			}
			o.Now = func() time.Time { return now }
		}
	}
	ts := newTestServer(t, setup)
	ts.ca = ca
	for _, line := range s.All("message") {
		ts.deliverLine(s, strings.Fields(line))
	}
	return ts
}

// deliverLine delivers "mailbox file flag...", a file of the script.
func (ts *testServer) deliverLine(s *script.Script, args []string) {
	data, ok := s.File(args[1])
	if !ok {
		ts.t.Fatalf("no file %q in script", args[1])
	}
	ts.deliver("mjl", args[0], string(data), args[2:]...)
}

func (ts *testServer) deliverFile(r *script.Run, args []string) error {
	if len(args) < 2 {
		return fmt.Errorf("want mailbox and file")
	}
	ts.deliverLine(r.Script(), args)
	return nil
}

// startTLS is for "name+ starttls".
func (ts *testServer) startTLS(r *script.Run, args []string) error {
	return r.Upgrade(args[0], func(nc net.Conn) (net.Conn, error) {
		tc := tls.Client(nc, ts.clientTLS())
		return tc, tc.HandshakeContext(r.Context())
	})
}

// shutdown ends the server, as a signal does.
func (ts *testServer) shutdown(r *script.Run, _ []string) error {
	ctx, cancel := context.WithTimeout(r.Context(), testTimeout)
	defer cancel()
	return ts.server.Shutdown(ctx)
}

// damage cuts off the files of all messages of the account, as a broken disk might.
func (ts *testServer) damage(*script.Run, []string) error {
	ts.damaged = true
	return filepath.WalkDir(filepath.Join(ts.dir, "accounts", "mjl", "msg"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		return os.Truncate(path, 3)
	})
}
