package imapclient

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"mox/imap"
	"mox/internal/testkit"
)

func TestStartTLS(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	serverConfig, clientConfig := ca.ServerConfig(t, "mail.example"), ca.ClientConfig("mail.example")
	conn, server := net.Pipe()
	done := make(chan error, 1)
	go func() {
		defer server.Close()
		done <- func() error {
			io.WriteString(server, "* OK [CAPABILITY STARTTLS] hi\r\n")
			server.Read(make([]byte, 100))
			io.WriteString(server, "c1 OK go\r\n")
			tc := tls.Server(server, serverConfig)
			b := make([]byte, 100)
			n, err := tc.Read(b)
			if err == nil && string(b[:n]) != "c2 NOOP\r\n" {
				err = fmt.Errorf("got %q", b[:n])
			}
			io.WriteString(tc, "c2 OK done\r\n")
			return err
		}()
	}()
	c, err := New(ctxbg, conn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(ctxbg, clientConfig); err != nil {
		t.Fatal(err)
	}
	if c.Caps() != nil {
		t.Error("capabilities from before TLS are kept")
	}
	if _, err := c.Noop(ctxbg); err != nil {
		t.Error(err)
	}
	if _, ok := c.Conn().(*tls.Conn); !ok {
		t.Error("the connection has no TLS")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestStartTLSWithInjectedData(t *testing.T) {
	t.Parallel()
	conn, server := net.Pipe()
	go func() {
		io.WriteString(server, "* OK hi\r\n")
		server.Read(make([]byte, 100))
		io.WriteString(server, "c1 OK go\r\n* OK [ALERT] pay here\r\n")
	}()
	c, err := New(ctxbg, conn, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(ctxbg, &tls.Config{ServerName: "mail.example"}); err == nil || !strings.Contains(err.Error(), "between STARTTLS") {
		t.Errorf("got %v", err)
	}
}

func TestStartTLSRefused(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, "C: c1 STARTTLS\nS: c1 NO no certificate\n")
	checkRefused(t, c.StartTLS(ctxbg, nil), imap.TypeNO, "")
}
