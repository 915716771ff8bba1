package smtpclient

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/internal/script"
	"mox/internal/testkit"
	"mox/sasl"
	"mox/smtp"
)

// peer runs a server that speaks by a script, whose connection is named "s". It
// returns the client's end of the connection, and a function that waits for the
// script to have come out.
func peer(t *testing.T, talk string, directives map[string]script.Directive) (net.Conn, func()) {
	t.Helper()
	s, err := script.Parse(t.Name(), []byte("-- talk --\n"+talk))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- s.Run(context.Background(), script.Options{
			Dial:       func(context.Context, string) (net.Conn, error) { return server, nil },
			Directives: directives,
		})
	}()
	return client, func() {
		t.Helper()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// startTLS returns the directive "starttls" for servers with config.
func startTLS(config *tls.Config) map[string]script.Directive {
	return map[string]script.Directive{"starttls": func(r *script.Run, args []string) error {
		return r.Upgrade(args[0], func(nc net.Conn) (net.Conn, error) {
			tc := tls.Server(nc, config)
			return tc, tc.HandshakeContext(r.Context())
		})
	}}
}

func domain(t testing.TB, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomain(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// options are for a client named client.example that talks to mail.example
// without TLS.
func options(t *testing.T) Options {
	return Options{
		Hostname: dns.IPDomain{Domain: domain(t, "client.example")},
		TLS:      TLSOptions{Mode: TLSSkip, ServerName: domain(t, "mail.example")},
	}
}

// wantError checks the parts of an *Error that are not zero in want, and for its
// cause with errors.Is.
func wantError(t *testing.T, err error, want Error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error", err)
	}
	if e.Command != want.Command || e.Permanent != want.Permanent || e.Code != want.Code || e.Enhanced != want.Enhanced {
		t.Fatalf("got %+v (%v), want %+v", *e, e, want)
	}
	if want.Err != nil && !errors.Is(e, want.Err) {
		t.Fatalf("got cause %v, want %v", e.Err, want.Err)
	}
}

func TestSessionSetUp(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, talk string
		want       Capabilities
		err        Error
	}{
		{"EHLO", `
s> 220 mail.example ESMTP
s< EHLO client.example
s> 250-mail.example
s> 250-pipelining
s> 250-SIZE 1000
s> 250-8BITMIME
s> 250-AUTH PLAIN scram-sha-256
s> 250-X-UNKNOWN a b
s> 250-LIMITS RCPTMAX=20 MAILMAX=5 FUTURE=x RCPTDOMAINMAX=0
s> 250 ENHANCEDSTATUSCODES
s< QUIT
s> 221 2.0.0 bye
s<!`,
			Capabilities{
				Extensions: smtp.ExtPipelining | smtp.ExtSize | smtp.Ext8BITMIME | smtp.ExtAuth | smtp.ExtLimits | smtp.ExtEnhancedStatusCodes,
				MaxSize:    1000, Mechanisms: []string{"PLAIN", "SCRAM-SHA-256"}, Limits: Limits{MailMax: 5, RcptMax: 20},
			}, Error{}},
		{"greeting of several lines", `
s> 220-mail.example ESMTP
s> 220-
s> 220 welcome
s< EHLO client.example
s> 250 mail.example
s< QUIT
s> 221 bye
s<!`, Capabilities{}, Error{}},
		{"HELO", `
s> 220 mail.example
s< EHLO client.example
s> 502 what?
s< HELO client.example
s> 250 mail.example
s< QUIT
s> 221 bye
s<!`, Capabilities{}, Error{}},
		{"syntax error in LIMITS", `
s> 220 mail.example
s< EHLO client.example
s> 250-mail.example
s> 250-LIMITS RCPTMAX=20 MAIL;MAX
s> 250 SIZE x
s< QUIT
s> 221 bye
s<!`, Capabilities{Extensions: smtp.ExtSize}, Error{}},
		{"old form of AUTH", `
s> 220 mail.example
s< EHLO client.example
s> 250-mail.example
s> 250 AUTH=LOGIN PLAIN
s< QUIT
s> 221 bye
s<!`, Capabilities{Extensions: smtp.ExtAuth, Mechanisms: []string{"LOGIN", "PLAIN"}}, Error{}},
		{"greeting without service", `
s> 554 no service
s< QUIT
s> 221 bye
s<!`, Capabilities{}, Error{Command: "greeting", Permanent: true, Code: 554}},
		{"busy", `
s> 421 4.3.2 busy
s< QUIT
s> 221 bye
s<!`, Capabilities{}, Error{Command: "greeting", Code: 421, Enhanced: "4.3.2"}},
		{"EHLO refused", `
s> 220 mail.example
s< EHLO client.example
s> 550 5.7.1 not you
s< QUIT
s> 221 bye
s<!`, Capabilities{}, Error{Command: "ehlo", Permanent: true, Code: 550, Enhanced: "5.7.1"}},
		{"HELO refused", `
s> 220 mail.example
s< EHLO client.example
s> 500 what?
s< HELO client.example
s> 450 not now
s< QUIT
s> 221 bye
s<!`, Capabilities{}, Error{Command: "helo", Code: 450}},
		{"not SMTP", `
s> SSH-2.0-OpenSSH_9.9
s<!`, Capabilities{}, Error{Command: "greeting", Err: ErrProtocol}},
		{"reply with two codes", `
s> 220 mail.example
s< EHLO client.example
s> 250-mail.example
s> 251 SIZE
s<!`, Capabilities{}, Error{Command: "ehlo", Err: ErrProtocol}},
		{"greeting that is no greeting", `
s> 354 go on
s< QUIT
s> 221 bye
s<!`, Capabilities{}, Error{Command: "greeting", Code: 354, Err: ErrProtocol}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			conn, wait := peer(t, tc.talk, nil)
			defer wait()
			c, err := New(t.Context(), conn, options(t))
			if tc.err.Command != "" {
				wantError(t, err, tc.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Capabilities(); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
			if !c.Usable() || c.Greeting().Code != 220 || c.TLS().State != nil {
				t.Errorf("greeting %+v, TLS %+v", c.Greeting(), c.TLS())
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if c.Usable() {
				t.Error("usable after it was closed")
			}
			_, err = c.Deliver(t.Context(), Envelope{Recipients: make([]smtp.RcptCommand, 1)})
			wantError(t, err, Error{Command: "mail", Err: ErrBotched})
			wantError(t, c.Reset(t.Context()), Error{Command: "rset", Err: ErrBotched})
		})
	}
}

func TestDialErrorsAreErrorsOfTheClient(t *testing.T) {
	t.Parallel()
	cause := errors.New("no route")
	_, err := Dial(t.Context(), func(context.Context) (net.Conn, error) { return nil, cause }, Options{})
	wantError(t, err, Error{Command: "connect", Err: cause})

	conn, wait := peer(t, "s> 554 5.3.2 no\ns< QUIT\ns> 221 bye\ns<!", nil)
	_, err = Dial(t.Context(), func(context.Context) (net.Conn, error) { return conn, nil }, Options{})
	wantError(t, err, Error{Command: "greeting", Permanent: true, Code: 554, Enhanced: "5.3.2"})
	wait()
}

func TestRepliesAreObserved(t *testing.T) {
	t.Parallel()
	conn, wait := peer(t, "s> 220 hi\ns< EHLO client.example\ns> 250 mail.example\ns< RSET\ns> 250 2.0.0 ok\ns< QUIT\ns> 221 bye\ns<!", nil)
	var seen []string
	opts := options(t)
	opts.OnReply = func(command string, r Reply, took time.Duration) {
		seen = append(seen, command+" "+strings.Join(r.Lines, "/"))
	}
	c, err := New(t.Context(), conn, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
	if got := strings.Join(seen, ", "); got != "greeting 220 hi, ehlo 250 mail.example, rset 250 2.0.0 ok, quit 221 bye" {
		t.Fatalf("got %s", got)
	}
}

const hello = `
s> 220 mail.example
s< EHLO client.example
s> 250-mail.example
s> 250-STARTTLS
s> 250-SIZE 100
s> 250 LIMITS RCPTMAX=1
`

func TestTLS(t *testing.T) {
	t.Parallel()
	ca, other := testkit.NewCA(t), testkit.NewCA(t)
	bad := errors.New("no TLSA record matches")
	const secure = `
s< STARTTLS
s> 220 2.0.0 go
s+ starttls
s< EHLO client.example
s> 250-mail.example
s> 250 8BITMIME
s< QUIT
s> 221 bye
s<!`
	const failing = `
s< STARTTLS
s> 220 2.0.0 go
@starttls-fails s`
	tests := []struct {
		name, talk string
		edit       func(*TLSOptions)
		err        Error
		tls        bool
		pkix       bool // Whether PKIX verification has an error.
	}{
		{"opportunistic", hello + secure, func(o *TLSOptions) { o.Mode = TLSOpportunistic }, Error{}, true, false},
		{"opportunistic, unverified", hello + secure, func(o *TLSOptions) { o.Mode = TLSOpportunistic; o.Config.RootCAs = other.Pool() }, Error{}, true, true},
		{"opportunistic, another name", hello + secure, func(o *TLSOptions) { o.Mode = TLSOpportunistic; o.ServerName = domain(t, "other.example") }, Error{}, true, true},
		{"opportunistic, refused", hello + "s< STARTTLS\ns> 454 4.7.0 not now\ns< QUIT\ns> 221 bye\ns<!", func(o *TLSOptions) { o.Mode = TLSOpportunistic }, Error{}, false, false},
		{"required", hello + secure, func(o *TLSOptions) { o.Mode = TLSRequired; o.VerifyPKIX = true }, Error{}, true, false},
		{"required and not announced", "s> 220 hi\ns< EHLO client.example\ns> 250 mail.example\n" + secure, func(o *TLSOptions) { o.Mode = TLSRequired; o.VerifyPKIX = true }, Error{}, true, false},
		{"required and refused", hello + "s< STARTTLS\ns> 502 5.5.1 what?\ns< QUIT\ns> 221 bye\ns<!", func(o *TLSOptions) { o.Mode = TLSRequired },
			Error{Command: "starttls", Code: 502, Enhanced: "5.5.1", Err: ErrTLS}, false, false},
		{"required, unverified", hello + failing, func(o *TLSOptions) { o.Mode = TLSRequired; o.VerifyPKIX = true; o.Config.RootCAs = other.Pool() },
			Error{Command: "tls", Err: ErrTLS}, false, true},
		{"unverified and ignored", hello + secure, func(o *TLSOptions) {
			o.Mode, o.VerifyPKIX, o.IgnoreVerifyErrors, o.Config.RootCAs = TLSRequired, true, true, other.Pool()
		}, Error{}, true, true},
		{"own verification fails", hello + failing, func(o *TLSOptions) { o.Mode = TLSRequired; o.Verify = func(tls.ConnectionState) error { return bad } },
			Error{Command: "tls", Err: bad}, false, false},
		{"own verification succeeds where PKIX fails", hello + secure, func(o *TLSOptions) {
			o.Mode, o.Config.RootCAs, o.Verify = TLSRequired, other.Pool(), func(tls.ConnectionState) error { return nil }
		}, Error{}, true, true},
		{"immediate", "s+ starttls\n" + strings.ReplaceAll(hello, "s> 250 LIMITS RCPTMAX=1", "s> 250 8BITMIME") + "s< QUIT\ns> 221 bye\ns<!", func(o *TLSOptions) { o.Mode = TLSImmediate; o.VerifyPKIX = true },
			Error{}, true, false},
		{"skipped", hello + "s< QUIT\ns> 221 bye\ns<!", func(o *TLSOptions) {}, Error{}, false, false},
		{"plain text before the handshake", hello + "s< STARTTLS\ns>= \"220 go\\r\\n250 injected\\r\\n\"\ns<...\ns<!", func(o *TLSOptions) { o.Mode = TLSRequired }, Error{Command: "tls", Err: ErrProtocol}, false, false},
		{"EHLO refused after TLS", hello + "s< STARTTLS\ns> 220 go\ns+ starttls\ns< EHLO client.example\ns> 502 what?\ns< QUIT\ns> 221 bye\ns<!", func(o *TLSOptions) { o.Mode = TLSRequired },
			Error{Command: "ehlo", Permanent: true, Code: 502}, false, false},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			directives := startTLS(ca.ServerConfig(t, "mail.example"))
			directives["starttls-fails"] = func(r *script.Run, args []string) error {
				if err := directives["starttls"](r, args); err == nil {
					nc, err := r.Conn(args[0])
					if err != nil {
						return err
					}
					// With TLS 1.3, the server is done before the client has verified.
					if _, err := nc.Read(make([]byte, 1)); err == nil {
						return errors.New("client uses the connection")
					}
				}
				return nil
			}
			talk := tc.talk
			if tc.name == "plain text before the handshake" {
				talk = strings.ReplaceAll(talk, "s<...\n", "")
			}
			conn, wait := peer(t, talk, directives)
			defer wait()
			opts := options(t)
			opts.TLS.Config = &tls.Config{RootCAs: ca.Pool()}
			tc.edit(&opts.TLS)
			var verified []TLSInfo
			opts.TLS.OnVerify = func(info TLSInfo) { verified = append(verified, info) }
			c, err := New(t.Context(), conn, opts)
			if handshake := tc.tls || tc.name == "required, unverified" || tc.name == "own verification fails" || tc.name == "EHLO refused after TLS"; handshake != (len(verified) == 1) {
				t.Errorf("verification was seen %d times", len(verified))
			} else if handshake && ((verified[0].PKIXErr != nil) != tc.pkix || (verified[0].VerifyErr != nil) != (tc.err.Err == bad)) {
				t.Errorf("verification was seen as %+v", verified[0])
			}
			if tc.err.Command != "" {
				wantError(t, err, tc.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			info := c.TLS()
			if (info.State != nil) != tc.tls || (info.PKIXErr != nil) != tc.pkix {
				t.Fatalf("got %+v", info)
			}
			// What was announced before TLS does not count.
			if caps := c.Capabilities(); tc.tls && tc.name != "immediate" && (caps.Extensions != smtp.Ext8BITMIME || caps.MaxSize != 0 || caps.Limits != (Limits{})) {
				t.Fatalf("got %+v", caps)
			}
			if (info.StartTLSErr != nil) != (tc.name == "opportunistic, refused") {
				t.Fatalf("got %v", info.StartTLSErr)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestTLSClientCertificateRefusedIsAnErrorOfTLS(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	config := ca.ServerConfig(t, "mail.example")
	config.ClientAuth = tls.RequireAndVerifyClientCert
	directives := map[string]script.Directive{"refuse": func(r *script.Run, args []string) error {
		err := startTLS(config)["starttls"](r, args)
		if err == nil {
			return errors.New("handshake without certificate")
		}
		return nil
	}}
	conn, wait := peer(t, "@refuse s", directives)
	opts := options(t)
	opts.TLS.Mode = TLSImmediate
	opts.TLS.Config = &tls.Config{RootCAs: ca.Pool()}
	_, err := New(t.Context(), conn, opts)
	wantError(t, err, Error{Command: "greeting", Err: ErrTLS})
	wait()
}

func TestTLSClientCertificate(t *testing.T) {
	t.Parallel()
	ca := testkit.NewCA(t)
	config := ca.ServerConfig(t, "mail.example")
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, ca.Pool()
	conn, wait := peer(t, "s+ starttls\ns> 220 mail.example\ns< EHLO client.example\ns> 250-mail.example\ns> 250 AUTH EXTERNAL\n"+
		"s< AUTH EXTERNAL =\ns> 235 2.7.0 ok\n"+quit, startTLS(config))
	opts := options(t)
	opts.TLS.Mode, opts.TLS.VerifyPKIX = TLSImmediate, true
	opts.TLS.Config = &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{ca.IssueClient(t, testkit.ECDSA, "client.example")}}
	opts.Auth = func([]string, *tls.ConnectionState) (sasl.Client, error) { return sasl.NewExternalClient(""), nil }
	c, err := New(t.Context(), conn, opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
}

// credentials are a user's.
var credentials = sasl.Credentials{Identity: sasl.Identity{Authentication: "user"}, Password: "pencil"}

func TestAuth(t *testing.T) {
	t.Parallel()
	const start = "s> 220 hi\ns< EHLO client.example\ns> 250-mail.example\ns> 250 AUTH PLAIN LOGIN CRAM-MD5 EXTERNAL\n"
	const end = "s< QUIT\ns> 221 bye\ns<!"
	long := credentials
	long.Password = strings.Repeat("p", 400)
	longResponse := "AHVzZXIAcHBw" + strings.Repeat("cHBw", 132) + "cA=="
	tests := []struct {
		name, talk string
		client     func() sasl.Client
		err        Error
	}{
		{"initial response", start + "s< AUTH PLAIN AHVzZXIAcGVuY2ls\ns> 235 2.7.0 ok\n" + end, func() sasl.Client { return sasl.NewPlainClient(credentials) }, Error{}},
		{"initial response that is too long", start + "s< AUTH PLAIN\ns> 334 \ns< " + longResponse + "\ns> 235 2.7.0 ok\n" + end, func() sasl.Client { return sasl.NewPlainClient(long) }, Error{}},
		{"empty initial response", start + "s< AUTH EXTERNAL =\ns> 235 2.7.0 ok\n" + end, func() sasl.Client { return sasl.NewExternalClient("") }, Error{}},
		{"challenges", start + "s< AUTH LOGIN\ns> 334 VXNlcm5hbWU6\ns< dXNlcg==\ns> 334 UGFzc3dvcmQ6\ns< cGVuY2ls\ns> 235 2.7.0 ok\n" + end, func() sasl.Client { return sasl.NewLoginClient(credentials) }, Error{}},
		{"wrong password", start + "s< AUTH PLAIN AHVzZXIAcGVuY2ls\ns> 535 5.7.8 no\n" + end, func() sasl.Client { return sasl.NewPlainClient(credentials) },
			Error{Command: "auth", Permanent: true, Code: 535, Enhanced: "5.7.8"}},
		{"temporary failure", start + "s< AUTH PLAIN AHVzZXIAcGVuY2ls\ns> 454 4.7.0 no\n" + end, func() sasl.Client { return sasl.NewPlainClient(credentials) },
			Error{Command: "auth", Code: 454, Enhanced: "4.7.0"}},
		{"success too early", start + "s< AUTH LOGIN\ns> 235 2.7.0 ok\n" + end, func() sasl.Client { return sasl.NewLoginClient(credentials) },
			Error{Command: "auth", Code: 235, Enhanced: "2.7.0", Err: ErrProtocol}},
		{"success in the middle", start + "s< AUTH LOGIN\ns> 334 VXNlcm5hbWU6\ns< dXNlcg==\ns> 235 2.7.0 ok\n" + end, func() sasl.Client { return sasl.NewLoginClient(credentials) },
			Error{Command: "auth", Code: 235, Enhanced: "2.7.0", Err: ErrProtocol}},
		{"one challenge too many", start + "s< AUTH PLAIN AHVzZXIAcGVuY2ls\ns> 334 \ns< *\ns> 501 5.7.0 cancelled\n" + end, func() sasl.Client { return sasl.NewPlainClient(credentials) },
			Error{Command: "auth", Permanent: true, Err: ErrProtocol}},
		{"challenge not base64", start + "s< AUTH CRAM-MD5\ns> 334 !\ns< *\ns> 501 5.7.0 cancelled\n" + end, func() sasl.Client { return sasl.NewCRAMMD5Client(credentials) },
			Error{Command: "auth", Permanent: true, Err: ErrProtocol}},
		{"mechanism gives up", start + "s< AUTH CRAM-MD5\ns> 334 \ns< *\ns> 501 5.7.0 cancelled\n" + end, func() sasl.Client { return sasl.NewCRAMMD5Client(credentials) },
			Error{Command: "auth", Permanent: true, Err: sasl.ErrProtocol}},
		{"no mechanism", start + end, func() sasl.Client { return nil }, Error{Command: "auth", Permanent: true, Enhanced: "5.7.4", Err: sasl.ErrMechanism}},
		{"no AUTH", "s> 220 hi\ns< EHLO client.example\ns> 250 mail.example\n" + end, func() sasl.Client { return nil }, Error{Command: "auth", Permanent: true, Enhanced: "5.7.4", Err: ErrAuthUnsupported}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			// The runner strips spaces at the end of a line.
			conn, wait := peer(t, strings.ReplaceAll(tc.talk, "s> 334 \n", "s>= \"334 \\r\\n\"\n"), nil)
			defer wait()
			opts := options(t)
			opts.Auth = func(mechanisms []string, cs *tls.ConnectionState) (sasl.Client, error) {
				if strings.Join(mechanisms, " ") != "PLAIN LOGIN CRAM-MD5 EXTERNAL" || cs != nil {
					t.Errorf("got mechanisms %q, TLS %v", mechanisms, cs)
				}
				if c := tc.client(); c != nil {
					return c, nil
				}
				return nil, sasl.ErrMechanism
			}
			c, err := New(t.Context(), conn, opts)
			if tc.err.Command != "" {
				wantError(t, err, tc.err)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
