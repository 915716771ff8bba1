package smtpserver

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"

	"mox/internal/script"
)

// TestScripts runs the conversations of testdata. Connections are named smtp*
// (delivery), sub* (submission) and subs* (submission with immediate TLS).
func TestScripts(t *testing.T) {
	t.Parallel()
	script.RunDir(t, "testdata/*.txtar", func(t *testing.T, s *script.Script) script.Options {
		ts := newTestServer(t, testSetup{})
		return ts.scriptOptions()
	})
}

func (ts *testServer) scriptOptions() script.Options {
	return script.Options{
		Dial: ts.dial,
		Directives: map[string]script.Directive{
			"starttls":  ts.startTLS,
			"delivered": ts.wantDelivered,
		},
	}
}

func (ts *testServer) dial(ctx context.Context, name string) (net.Conn, error) {
	var d net.Dialer
	switch {
	case strings.HasPrefix(name, "subs"):
		nc, err := d.DialContext(ctx, "tcp", ts.submissions)
		if err != nil {
			return nil, err
		}
		return tls.Client(nc, ts.ca.ClientConfig("mx.example.org")), nil
	case strings.HasPrefix(name, "sub"):
		return d.DialContext(ctx, "tcp", ts.submission)
	case strings.HasPrefix(name, "smtp"):
		return d.DialContext(ctx, "tcp", ts.delivery)
	}
	return nil, fmt.Errorf("unknown kind of connection %q", name)
}

// startTLS does a TLS handshake on a connection.
func (ts *testServer) startTLS(r *script.Run, args []string) error {
	return r.Upgrade(args[0], func(c net.Conn) (net.Conn, error) {
		tc := tls.Client(c, ts.ca.ClientConfig("mx.example.org"))
		return tc, tc.HandshakeContext(r.Context())
	})
}

// wantDelivered checks the messages that were delivered: "@delivered rcpt=file ..."
// in any order, nothing for none.
func (ts *testServer) wantDelivered(r *script.Run, args []string) error {
	got := ts.fake.messages()
	if len(got) != len(args) {
		return fmt.Errorf("%d messages delivered: %+v", len(got), got)
	}
	for _, a := range args {
		rcpt, file, _ := strings.Cut(a, "=")
		want, ok := r.Script().File(file)
		if !ok {
			return fmt.Errorf("no file %q", file)
		}
		found := false
		for _, m := range got {
			found = found || m.rcpt == rcpt && m.content == string(want)
		}
		if !found {
			return fmt.Errorf("no such message for %s: %q", rcpt, got)
		}
	}
	return nil
}
