package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"mox/dns"
	"mox/imapclient"
	"mox/internal/testkit"
	"mox/internal/testkit/peers"
	"mox/smtp"
	"mox/smtpclient"
)

// peerOptions are for clients of other servers, or through them.
var peerOptions = smtpclient.Options{
	Hostname: dns.IPDomain{Domain: dns.Domain{ASCII: "client.example"}},
	TLS:      smtpclient.TLSOptions{Mode: smtpclient.TLSSkip},
}

// TestExim delivers with exim4, which sends messages with BDAT to servers that offer
// CHUNKING.
func TestExim(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{loglevel: "trace", edit: tolerant})
	_, port := s.hostPort("smtp")
	exim := peers.NewExim(t, peers.Options{
		Hostname: "exim.example",
		Routers: `all:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = remote
`,
		Transports: `remote:
  driver = smtp
  port = ` + port + `
  hosts_try_chunking = *
  allow_localhost
`,
	})
	send := func(subject, body string) {
		t.Helper()
		cmd := exim.Command(t, "-oi", "-odf", "-f", "sender@remote.example", "mox@localhost", "other@localhost")
		text := "From: <sender@remote.example>\nTo: <mox@localhost>\nSubject: " + subject + "\n\n" + body
		if out, code := run(t, text, cmd.Args[0], cmd.Args[1:]...); code != 0 {
			t.Fatalf("exim4: exit code %d\n%s", code, out)
		}
		if n := len(s.waitSubject(subject, 2)); n != 2 {
			t.Fatalf("%d messages came, log of exim4:\n%s", n, exim.Log())
		}
	}
	send("exim small", "one line\n.\n..\n")
	uid1 := s.waitSubject("exim small", 2)[0]
	if msg := s.fetch(uid1); !strings.HasSuffix(msg, "\r\n\r\none line\r\n.\r\n..\r\n") {
		t.Errorf("message %q", msg)
	}
	big := strings.Repeat("0123456789 the quick brown fox\n", 100_000)
	send("exim big", big)
	if msg := s.fetch(s.waitSubject("exim big", 2)[0]); !strings.HasSuffix(msg, "\r\n\r\n"+strings.ReplaceAll(big, "\n", "\r\n")) {
		t.Errorf("big message differs")
	}
	log := exim.Log()
	if n := strings.Count(log, " K "); n < 2 || strings.Contains(log, "==") || strings.Contains(log, "**") {
		t.Errorf("log of exim4 has %d deliveries with CHUNKING:\n%s", n, log)
	}
	if n := strings.Count(s.proc.Output(), "RC: BDAT "); n < 3 {
		t.Errorf("%d BDAT commands in the transcript", n)
	}
}

// TestPostfixDSN sends through a Postfix, which passes on what the sender wants to be
// told. The notification goes through the queue to the sender, who lives here too.
func TestPostfixDSN(t *testing.T) {
	t.Parallel()
	s := localserve(t, options{loglevel: "trace"})
	_, port := s.hostPort("smtp")
	postfix := peers.StartPostfix(t, peers.Options{
		Hostname: "postfix.example",
		Config:   "relayhost = [127.0.0.1]:" + port + "\nsmtp_tls_security_level = may\nsmtp_dns_support_level = disabled\n",
	})
	nc, err := net.Dial("tcp", postfix.Addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	c, err := smtpclient.New(ctx, nc, peerOptions)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	path := func(s string) smtp.Path {
		p, err := smtp.ParseMailbox(s, smtp.Strict)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	results, err := c.Deliver(ctx, smtpclient.Envelope{
		Mail: smtp.MailCommand{ReversePath: path("sender@remote.example"), Ret: smtp.RetHeaders, EnvID: "envelope 1"},
		Recipients: []smtp.RcptCommand{
			{ForwardPath: path("told@localhost"), Notify: smtp.NotifySuccess | smtp.NotifyFailure, OriginalRecipient: smtp.OriginalRecipient{AddrType: "rfc822", Address: "first@remote.example"}},
			{ForwardPath: path("silent@localhost"), Notify: smtp.NotifyNever},
		},
		Open: func() (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader(simple("dsn by postfix"))), nil
		},
	})
	if err != nil || results[0].Err != nil || results[1].Err != nil {
		t.Fatalf("sending to postfix: %v, %v", err, results)
	}
	s.waitSubject("dsn by postfix", 2)
	msg := s.fetch(s.waitSubject("mail was delivered", 1)[0])
	for _, want := range []string{
		"Return-Path: <>\r\n", "To: <sender@remote.example>\r\n", "Original-Envelope-Id: envelope 1\r\n", "Original-Recipient: rfc822; first@remote.example\r\n",
		"Final-Recipient: rfc822; told@localhost\r\n", "Action: delivered\r\n", "Status: 2.0.0\r\n", "Received-From-MTA: dns; postfix.example\r\n",
	} {
		if !strings.Contains(msg, want) {
			t.Errorf("no %q in notification:\n%s", want, msg)
		}
	}
	if strings.Contains(msg, "silent@localhost") {
		t.Errorf("notification about a recipient that nobody asked about:\n%s", msg)
	}
	if !regexp.MustCompile(`RC: RCPT TO:<told@localhost> (ORCPT=\S+ )?NOTIFY=SUCCESS,FAILURE`).MatchString(s.proc.Output()) {
		t.Errorf("postfix did not ask for a notification")
	}
}

// TestHAProxy connects through haproxy, which tells with the PROXY protocol who the
// client is.
func TestHAProxy(t *testing.T) {
	t.Parallel()
	haproxy := testkit.Tool(t, "haproxy")
	const proxyIP, clientIP = "127.0.0.9", "127.0.0.7"
	s := localserve(t, options{edit: []string{"\t\tLimits:", "\t\tProxyProtocol:\n\t\t\tNetworks:\n\t\t\t\t- " + proxyIP + "\n\t\tLimits:"}})
	dial := func(addr string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(clientIP)}, Timeout: patience}
		var nc net.Conn
		poll(t, "haproxy listens", func() (ok bool) {
			var err error
			nc, err = d.Dial("tcp", addr)
			return err == nil
		})
		return nc
	}
	for _, version := range []string{"send-proxy", "send-proxy-v2"} {
		t.Run(version, func(t *testing.T) {
			smtpPort, imapPort := testkit.FreePort(t), testkit.FreePort(t)
			conf := filepath.Join(t.TempDir(), "haproxy.cfg")
			text := "global\n\tmaxconn 100\ndefaults\n\tmode tcp\n\ttimeout connect 10s\n\ttimeout client 60s\n\ttimeout server 60s\n"
			for service, port := range map[string]string{"smtp": smtpPort, "imap": imapPort} {
				text += fmt.Sprintf("listen %s\n\tbind 127.0.0.1:%s\n\tserver mox %s %s source %s\n", service, port, s.addr[service], version, proxyIP)
			}
			testkit.WriteFile(t, conf, text)
			testkit.Start(t, exec.Command(haproxy, "-db", "-f", conf))
			ts := s.with(t)
			c, err := smtpclient.New(testContext(t), dial("127.0.0.1:"+smtpPort), peerOptions)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			deliver(t, c, "mox@localhost", simple("through "+version+" haproxy"))
			msg := ts.fetch(ts.waitSubject("through "+version+" haproxy", 1)[0])
			if want := "([" + clientIP + "])"; !strings.Contains(msg, want) || strings.Contains(msg, proxyIP) {
				t.Errorf("no %s in %s", want, msg)
			}
			ic, err := imapclient.New(testContext(t), dial("127.0.0.1:"+imapPort), imapclient.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer ic.Close()
			if _, err := ic.Login(context.Background(), user, password); err != nil {
				t.Error(err)
			}
		})
	}
	// Who is no proxy is not asked for a header, and the proxy cannot leave it out.
	deliver(t, s.smtpClient(), "mox@localhost", simple("directly"))
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(proxyIP)}}
	nc, err := d.Dial("tcp", s.addr["smtp"])
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.Write([]byte("EHLO client.example\r\n")); err != nil {
		t.Fatal(err)
	}
	if data, _ := io.ReadAll(nc); len(data) > 0 {
		t.Errorf("a proxy without header got %q", data)
	}
}
