package smtpclient

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"mox/internal/testkit"
	"mox/sasl"
	"mox/smtp"
)

// server is a small server made of packages smtp and sasl, that takes everything.
// It answers each command at once.
type server struct {
	nc       net.Conn
	br       *bufio.Reader
	ehlo     []string // Further lines of the reply to EHLO.
	keys     sasl.SCRAMKeys
	bindings []sasl.ChannelBinding

	mail       smtp.MailCommand
	rcpts      []smtp.Path
	content    bytes.Buffer
	user       string
	violations []string
}

func (s *server) reply(format string, args ...any) {
	fmt.Fprintf(s.nc, format+"\r\n", args...)
}

// run serves until QUIT or the end of the connection.
func (s *server) run() {
	s.br = bufio.NewReader(s.nc)
	s.reply("220 mail.example")
	for {
		line, err := s.br.ReadString('\n')
		if err != nil {
			return
		}
		verb, args, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), " ")
		switch verb {
		case "EHLO":
			for _, l := range s.ehlo {
				s.reply("250-%s", l)
			}
			s.reply("250 PIPELINING")
		case "AUTH":
			s.auth(args)
		case "MAIL":
			if s.mail, err = smtp.ParseMail(args, smtp.MailOptions{Mode: smtp.Strict, Extensions: ^smtp.Extensions(0)}); err != nil {
				s.violations = append(s.violations, err.Error())
			}
			s.reply("250 2.1.0 ok")
		case "RCPT":
			rcpt, err := smtp.ParseRcpt(args, smtp.RcptOptions{Mode: smtp.Strict, SMTPUTF8: s.mail.SMTPUTF8})
			if err != nil {
				s.violations = append(s.violations, err.Error())
			}
			s.rcpts = append(s.rcpts, rcpt.ForwardPath)
			s.reply("250 2.1.5 %s", strings.Repeat("ok", 200))
		case "DATA":
			s.reply("354 go")
			if _, err := io.Copy(&s.content, smtp.NewDataReader(s.br, 1<<30)); err != nil {
				s.violations = append(s.violations, err.Error())
			}
			s.reply("250 2.0.0 taken")
		case "QUIT":
			s.reply("221 2.0.0 bye")
			return
		default:
			s.reply("500 5.5.1 what?")
		}
	}
}

// auth does SCRAM-SHA-256-PLUS.
func (s *server) auth(args string) {
	mechanism, initial, _ := strings.Cut(args, " ")
	scram := sasl.NewSCRAMServer(sasl.SHA256, sasl.SCRAMServerOptions{Plus: strings.HasSuffix(mechanism, "-PLUS"), PlusOffered: true, Bindings: s.bindings})
	msg, err := base64.StdEncoding.DecodeString(initial)
	if err != nil {
		s.reply("501 5.5.2 base64")
		return
	}
	steps := []func([]byte) ([]byte, error){
		func(msg []byte) ([]byte, error) {
			id, err := scram.ClientFirst(msg)
			if err != nil {
				return nil, err
			}
			s.user = id.Authentication
			return scram.ServerFirst(s.keys)
		},
		scram.ClientFinal,
	}
	for _, step := range steps {
		challenge, err := step(msg)
		if challenge != nil {
			s.reply("334 %s", base64.StdEncoding.EncodeToString(challenge))
			line, rerr := s.br.ReadString('\n')
			if rerr != nil {
				return
			}
			if msg, rerr = base64.StdEncoding.DecodeString(strings.TrimSpace(line)); rerr != nil && err == nil {
				err = rerr
			}
		}
		if err != nil {
			s.user = ""
			s.reply("535 5.7.8 no")
			return
		}
	}
	s.reply("235 2.7.0 welcome")
}

func TestPipelinesAreAsLongAsTheyGet(t *testing.T) {
	t.Parallel()
	// A net.Pipe has no buffers: if the client wrote all its commands before it read
	// replies, neither side would get any further.
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		s := &server{nc: b, ehlo: []string{"mail.example", "LIMITS RCPTMAX=1000", "SMTPUTF8"}}
		done := make(chan struct{})
		go func() { s.run(); close(done) }()
		client, err := New(t.Context(), a, options(t))
		if err != nil {
			t.Fatal(err)
		}
		var rcpts []string
		for i := range 500 {
			rcpts = append(rcpts, fmt.Sprintf(`"é %d"@ëxample.org`, i))
		}
		env := envelope(t, rcpts...)
		body := strings.Repeat(".a line\r\n", 100_000)
		env.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		results, err := client.Deliver(t.Context(), env)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Err != nil || r.Reply.Text() != "taken" || r.Reply.Enhanced != "2.0.0" {
				t.Fatalf("recipient %d: %+v", i, r)
			}
			if !s.rcpts[i].Equal(env.Recipients[i].ForwardPath) {
				t.Fatalf("recipient %d: server got %v", i, s.rcpts[i])
			}
		}
		if err := client.Close(); err != nil {
			t.Fatal(err)
		}
		<-done
		if s.content.String() != body || len(s.violations) > 0 {
			t.Fatalf("server got %d octets, violations %q", s.content.Len(), s.violations)
		}
	})
}

func TestSCRAMOverTLS(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	serverConfig := ca.ServerConfig(t, "mail.example")
	keys, err := sasl.NewSCRAMKeys(sasl.SHA256, "pencil", sasl.SCRAMMinIterations)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, offer, password string
		err                   Error
	}{
		{"with channel binding", "SCRAM-SHA-256-PLUS SCRAM-SHA-256", "pencil", Error{}},
		{"wrong password", "SCRAM-SHA-256-PLUS SCRAM-SHA-256", "crayon", Error{Command: "auth", Permanent: true, Err: sasl.ErrServerRejected}},
		{"offer changed in between", "SCRAM-SHA-256", "pencil", Error{Command: "auth", Permanent: true, Code: 535, Enhanced: "5.7.8"}},
	}
	for _, tc := range tests {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tc.name+" "+tls.VersionName(version), func(t *testing.T) {
				t.Parallel()
				a, b := net.Pipe()
				s := &server{ehlo: []string{"mail.example", "AUTH " + tc.offer}, keys: keys}
				done := make(chan struct{})
				go func() {
					defer close(done)
					defer b.Close()
					tc := tls.Server(b, serverConfig)
					if err := tc.HandshakeContext(t.Context()); err != nil {
						s.violations = append(s.violations, err.Error())
						return
					}
					cs := tc.ConnectionState()
					s.bindings = sasl.TLSChannelBindings(&cs)
					s.nc = tc
					s.run()
				}()
				opts := options(t)
				opts.TLS.Mode, opts.TLS.VerifyPKIX = TLSImmediate, true
				opts.TLS.Config = &tls.Config{RootCAs: ca.Pool(), MaxVersion: version}
				opts.Auth = func(mechanisms []string, cs *tls.ConnectionState) (sasl.Client, error) {
					return sasl.Choose(sasl.ChooseOptions{
						Offered: mechanisms, TLS: cs,
						Credentials: sasl.Credentials{Identity: sasl.Identity{Authentication: "user"}, Password: tc.password},
					})
				}
				client, err := New(t.Context(), a, opts)
				if tc.err.Command != "" {
					wantError(t, err, tc.err)
					<-done
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if err := client.Close(); err != nil {
					t.Fatal(err)
				}
				<-done
				if s.user != "user" || len(s.violations) > 0 {
					t.Fatalf("server has user %q, violations %q", s.user, s.violations)
				}
			})
		}
	}
}
