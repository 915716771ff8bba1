package smtpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/smtp"
)

// start is up to the reply to EHLO, with these extensions.
func start(extensions ...string) string {
	s := "s> 220 mail.example\ns< EHLO client.example\n"
	lines := append([]string{"mail.example"}, extensions...)
	for i, line := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		s += "s> 250" + sep + line + "\n"
	}
	return s
}

const quit = "s< QUIT\ns> 221 bye\ns<!\n"

// content and its lines in a script.
const (
	content     = "Subject: test\r\n\r\n.hidden\r\n"
	contentTalk = "s< Subject: test\ns<= \"\"\ns< ..hidden\ns< .\n"
)

func path(t testing.TB, s string) smtp.Path {
	t.Helper()
	p, err := smtp.ParseMailbox(s, smtp.Lenient)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// envelope is a message from me@client.example.
func envelope(t testing.TB, recipients ...string) Envelope {
	env := Envelope{
		Mail: smtp.MailCommand{ReversePath: path(t, "me@client.example")},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
	for _, r := range recipients {
		env.Recipients = append(env.Recipients, smtp.RcptCommand{ForwardPath: path(t, r)})
	}
	return env
}

// summary is how the results of tests are written: "250" for a recipient for which
// the message was taken, else the command and the reply code, "!" for permanent.
func summary(results []Result) string {
	var l []string
	for _, r := range results {
		switch {
		case r.Err == nil:
			l = append(l, fmt.Sprint(r.Reply.Code))
		case r.Err.Permanent:
			l = append(l, fmt.Sprintf("%s %d!", r.Err.Command, r.Err.Code))
		default:
			l = append(l, fmt.Sprintf("%s %d", r.Err.Command, r.Err.Code))
		}
	}
	return strings.Join(l, ", ")
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	const mail = "s< MAIL FROM:<me@client.example>\n"
	const a, b, c = "s< RCPT TO:<a@mail.example>\n", "s< RCPT TO:<b@mail.example>\n", "s< RCPT TO:<c@mail.example>\n"
	const data, ready = "s< DATA\n", "s> 354 go\n"
	const ok = "s> 250 2.0.0 ok\n"
	pipe := start("PIPELINING")
	tests := []struct {
		name, talk string
		rcpts      string
		want       string
		err        string // As in summary.
	}{
		{"one recipient, step by step", start() + mail + ok + a + ok + data + ready + contentTalk + ok + quit, "a", "250", ""},
		{"one recipient, pipelined", pipe + mail + a + data + ok + ok + ready + contentTalk + ok + quit, "a", "250", ""},
		{"some are refused", start() + mail + ok + a + "s> 550 5.1.1 who?\n" + b + ok + c + "s> 450 4.2.1 later\n" + data + ready + contentTalk + ok + quit, "a b c", "rcpt 550!, 250, rcpt 450", ""},
		{"some are refused, pipelined", pipe + mail + a + b + c + data + ok + "s> 550 5.1.1 who?\n" + ok + "s> 450 4.2.1 later\n" + ready + contentTalk + ok + quit, "a b c", "rcpt 550!, 250, rcpt 450", ""},
		{"251 is a success", pipe + mail + a + data + ok + "s> 251 will forward\n" + ready + contentTalk + ok + quit, "a", "250", ""},
		{"all are refused for good", start() + mail + ok + a + "s> 550 5.1.1 who?\n" + b + "s> 551 5.1.1 who?\n" + quit, "a b", "rcpt 550!, rcpt 551!", ""},
		{"all are refused for good, pipelined", pipe + mail + a + b + data + ok + "s> 550 5.1.1 who?\ns> 551 5.1.1 who?\ns> 503 5.5.1 no recipients\n" + quit, "a b", "rcpt 550!, rcpt 551!", ""},
		{"all are refused and the server wants content", pipe + mail + a + data + ok + "s> 550 5.1.1 who?\n" + ready + "s< .\ns> 554 5.5.1 no recipients\n" + quit, "a", "rcpt 550!", ""},
		{"sender refused", start() + mail + "s> 550 5.7.1 not you\n" + quit, "a b", "mail 550!, mail 550!", "mail 550!"},
		{"sender refused, pipelined", pipe + mail + a + b + data + "s> 451 4.7.1 not now\ns> 503 5.5.1 no\ns> 503 5.5.1 no\ns> 503 5.5.1 no\n" + quit, "a b", "mail 451, mail 451", "mail 451"},
		{"sender refused and the server wants content", pipe + mail + a + data + "s> 451 4.7.1 not now\ns> 503 5.5.1 no\ns> 354 go\ns< .\ns> 554 5.5.1 no\n" + quit, "a", "mail 451", "mail 451"},
		{"sender refused and recipient accepted", pipe + mail + a + data + "s> 451 4.7.1 not now\n" + ok + ready + "s<!\n", "a", "mail 451", "mail 451"},
		{"DATA refused", start() + mail + ok + a + ok + b + "s> 550 5.1.1 who?\n" + data + "s> 451 4.3.0 trouble\n" + quit, "a b", "data 451, rcpt 550!", "data 451"},
		{"content refused", pipe + mail + b + a + c + data + ok + "s> 550 5.1.1 who?\n" + ok + ok + ready + contentTalk + "s> 554 5.7.1 spam\n" + quit, "b a c", "rcpt 550!, content 554!, content 554!", "content 554!"},
		{"too many recipients is temporary", pipe + mail + a + data + ok + "s> 552 5.5.3 too many\ns> 503 no\n" + quit, "a", "rcpt 552", ""},
		{"the rest in a second transaction", start() + mail + ok + a + ok + b + "s> 452 4.5.3 too many\n" + data + ready + contentTalk + ok +
			mail + ok + b + ok + data + ready + contentTalk + "s> 251 ok\n" + mail + ok + c + ok + data + ready + contentTalk + "s> 252 ok\n" + quit, "a b c", "250, 251, 252", ""},
		{"the rest in a second transaction, pipelined", pipe + mail + a + b + c + data + ok + ok + ok + "s> 552 5.5.3 too many\n" + ready + contentTalk + ok +
			mail + c + data + ok + ok + ready + contentTalk + "s> 251 ok\n" + quit, "a b c", "250, 250, 251", ""},
		{"limit of recipients", start("PIPELINING", "LIMITS RCPTMAX=2") + mail + a + b + data + ok + ok + ok + ready + contentTalk + ok +
			mail + c + data + ok + ok + ready + contentTalk + "s> 251 ok\n" + quit, "a b c", "250, 250, 251", ""},
		{"limits of recipients and transactions", start("PIPELINING", "LIMITS RCPTMAX=1 MAILMAX=2") + mail + a + data + ok + ok + ready + contentTalk + ok +
			mail + b + data + ok + ok + ready + contentTalk + "s> 251 ok\n" + quit, "a b c", "250, 251, mail 0", "mail 0"},
		{"reset after recipients were refused", start("PIPELINING", "LIMITS RCPTMAX=1") + mail + a + data + ok + "s> 550 5.1.1 who?\ns> 503 no\ns< RSET\n" + ok +
			mail + b + data + ok + ok + ready + contentTalk + ok + quit, "a b", "rcpt 550!, 250", ""},
		{"server refuses and hangs up", pipe + mail + a + data + ok + "s> 550 5.1.1 who?\n@close s\n", "a", "rcpt 550!", ""},
		{"server refuses the sender and hangs up", pipe + mail + a + data + "s> 550 5.7.1 not you\n@close s\n", "a", "mail 550!", "mail 550!"},
		{"server hangs up after one of two", pipe + mail + a + b + data + ok + "s> 550 5.1.1 who?\n@close s\n", "a b", "rcpt 550!, rcpt 0", "rcpt 0"},
		{"server hangs up after the content", pipe + mail + a + data + ok + ok + ready + contentTalk + "@close s\n", "a", "content 0", "content 0"},
		{"DATA answered with something else", pipe + mail + a + data + ok + ok + "s> 250 sure\ns<!\n", "a", "data 250", "data 250"},
		{"no recipients", start() + quit, "", "", "mail 0!"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			conn, wait := peer(t, tc.talk, nil)
			defer wait()
			client, err := New(t.Context(), conn, options(t))
			if err != nil {
				t.Fatal(err)
			}
			var rcpts []string
			for _, s := range strings.Fields(tc.rcpts) {
				rcpts = append(rcpts, s+"@mail.example")
			}
			results, err := client.Deliver(t.Context(), envelope(t, rcpts...))
			gotErr := ""
			if err != nil {
				var e *Error
				if !errors.As(err, &e) {
					t.Fatalf("not an *Error: %v", err)
				}
				gotErr = summary([]Result{{Err: e}})
			}
			if got := summary(results); got != tc.want || gotErr != tc.err {
				t.Errorf("got %q, error %q (%v), want %q, error %q", got, gotErr, err, tc.want, tc.err)
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestConnectionIsUsedForSeveralMessages(t *testing.T) {
	t.Parallel()
	const message = "s< MAIL FROM:<me@client.example>\ns< RCPT TO:<a@mail.example>\ns< DATA\ns> 250 ok\ns> 250 ok\ns> 354 go\n" + contentTalk + "s> 250 ok\n"
	conn, wait := peer(t, start("PIPELINING")+message+"s< RSET\ns> 250 ok\n"+message+quit, nil)
	client, err := New(t.Context(), conn, options(t))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if i > 0 {
			if err := client.Reset(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if results, err := client.Deliver(t.Context(), envelope(t, "a@mail.example")); err != nil || summary(results) != "250" {
			t.Fatalf("got %v, %v", summary(results), err)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
}

func TestDomainsOfASessionAreLimited(t *testing.T) {
	t.Parallel()
	const ok = "s> 250 ok\n"
	conn, wait := peer(t, start("LIMITS RCPTDOMAINMAX=1")+"s< MAIL FROM:<me@client.example>\n"+ok+"s< RCPT TO:<a@one.example>\n"+ok+"s< RCPT TO:<c@one.example>\n"+ok+
		"s< DATA\ns> 354 go\n"+contentTalk+ok+quit, nil)
	client, err := New(t.Context(), conn, options(t))
	if err != nil {
		t.Fatal(err)
	}
	results, err := client.Deliver(t.Context(), envelope(t, "a@one.example", "b@two.example", "c@one.example"))
	wantError(t, err, Error{Command: "mail", Err: ErrLimit})
	if got := summary(results); got != "250, mail 0, 250" {
		t.Fatalf("got %s", got)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
}

func TestManyRecipientsAreSentInSeveralTransactions(t *testing.T) {
	t.Parallel()
	talk := start("PIPELINING")
	var rcpts []string
	for from := 0; from < 2*MaxRecipients+1; from += MaxRecipients {
		talk += "s< MAIL FROM:<me@client.example>\n"
		n := min(MaxRecipients, 2*MaxRecipients+1-from)
		for i := range n {
			rcpts = append(rcpts, fmt.Sprintf("r%d@mail.example", from+i))
			talk += "s< RCPT TO:<" + rcpts[from+i] + ">\n"
		}
		talk += "s< DATA\ns> 250 ok\n" + strings.Repeat("s> 250 ok\n", n) + "s> 354 go\n" + contentTalk + "s> 250 ok\n"
	}
	conn, wait := peer(t, talk+quit, nil)
	client, err := New(t.Context(), conn, options(t))
	if err != nil {
		t.Fatal(err)
	}
	results, err := client.Deliver(t.Context(), envelope(t, rcpts...))
	if err != nil || strings.ReplaceAll(summary(results), "250", "") != strings.Repeat(", ", 2*MaxRecipients) {
		t.Fatalf("got %s, %v", summary(results), err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
}

func TestParametersAreThoseTheServerKnows(t *testing.T) {
	t.Parallel()
	full := func(env *Envelope) {
		env.Mail.Size, env.Mail.Body, env.Mail.Auth = 100, smtp.Body8BitMIME, &smtp.Path{}
		env.Mail.Ret, env.Mail.EnvID = smtp.RetHeaders, "id"
		env.Recipients[0].Notify = smtp.NotifyNever
		env.Recipients[0].OriginalRecipient = smtp.OriginalRecipient{AddrType: "rfc822", Address: "o@mail.example"}
	}
	tests := []struct {
		name       string
		extensions []string
		edit       func(*Envelope)
		mail, rcpt string
		err        Error
	}{
		{"all", []string{"SIZE 100", "8BITMIME", "AUTH PLAIN", "DSN"}, full,
			"MAIL FROM:<me@client.example> SIZE=100 BODY=8BITMIME AUTH=<> RET=HDRS ENVID=id", "RCPT TO:<a@mail.example> NOTIFY=NEVER ORCPT=rfc822;o@mail.example", Error{}},
		{"none", nil, full, "MAIL FROM:<me@client.example>", "RCPT TO:<a@mail.example>", Error{}},
		{"SMTPUTF8", []string{"SMTPUTF8"}, func(e *Envelope) { e.Mail.ReversePath = path(t, "é@ëxample.org") }, "MAIL FROM:<é@ëxample.org> SMTPUTF8", "RCPT TO:<a@mail.example>", Error{}},
		{"SMTPUTF8 for a recipient", []string{"SMTPUTF8"}, func(e *Envelope) { e.Recipients[0].ForwardPath = path(t, "é@ëxample.org") }, "MAIL FROM:<me@client.example> SMTPUTF8", "RCPT TO:<é@ëxample.org>", Error{}},
		{"A-labels without SMTPUTF8", nil, func(e *Envelope) { e.Recipients[0].ForwardPath = path(t, "e@ëxample.org") }, "MAIL FROM:<me@client.example>", "RCPT TO:<e@xn--xample-ova.org>", Error{}},
		{"SMTPUTF8 missing", nil, func(e *Envelope) { e.Recipients[0].ForwardPath = path(t, "é@ëxample.org") }, "", "", Error{Command: "mail", Enhanced: "4.6.7", Err: ErrSMTPUTF8Unsupported}},
		{"SMTPUTF8 for the header missing", nil, func(e *Envelope) { e.Mail.SMTPUTF8 = true }, "", "", Error{Command: "mail", Enhanced: "4.6.7", Err: ErrSMTPUTF8Unsupported}},
		{"REQUIRETLS", []string{"REQUIRETLS"}, func(e *Envelope) { e.Mail.RequireTLS = true }, "MAIL FROM:<me@client.example> REQUIRETLS", "RCPT TO:<a@mail.example>", Error{}},
		{"REQUIRETLS missing", nil, func(e *Envelope) { e.Mail.RequireTLS = true }, "", "", Error{Command: "mail", Permanent: true, Enhanced: "5.7.30", Err: ErrRequireTLSUnsupported}},
		{"hold", []string{"FUTURERELEASE 100 2030-01-01T00:00:00Z"}, func(e *Envelope) { e.Mail.HoldFor = time.Minute }, "MAIL FROM:<me@client.example> HOLDFOR=60", "RCPT TO:<a@mail.example>", Error{}},
		{"hold missing", nil, func(e *Envelope) { e.Mail.HoldFor = time.Minute }, "", "", Error{Command: "mail", Permanent: true, Enhanced: "5.3.3", Err: ErrFutureReleaseUnsupported}},
		{"too large", []string{"SIZE 99"}, full, "", "", Error{Command: "mail", Permanent: true, Enhanced: "5.3.4", Err: ErrSize}},
		{"no limit of size", []string{"SIZE 0"}, func(e *Envelope) { e.Mail.Size = 100 }, "MAIL FROM:<me@client.example> SIZE=100", "RCPT TO:<a@mail.example>", Error{}},
		{"binary", []string{"8BITMIME", "BINARYMIME"}, func(e *Envelope) { e.Mail.Body = smtp.BodyBinaryMIME }, "", "", Error{Command: "mail", Enhanced: "4.6.3", Err: ErrBinaryMIMEUnsupported}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			talk := start(tc.extensions...)
			if tc.mail != "" {
				talk += "s< " + tc.mail + "\ns> 250 ok\ns< " + tc.rcpt + "\ns> 250 ok\ns< DATA\ns> 354 go\n" + contentTalk + "s> 250 ok\n"
			}
			conn, wait := peer(t, talk+quit, nil)
			defer wait()
			client, err := New(t.Context(), conn, options(t))
			if err != nil {
				t.Fatal(err)
			}
			env := envelope(t, "a@mail.example")
			tc.edit(&env)
			_, err = client.Deliver(t.Context(), env)
			if tc.mail != "" && err != nil {
				t.Error(err)
			} else if tc.mail == "" {
				wantError(t, err, tc.err)
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRequire8BitMIME(t *testing.T) {
	t.Parallel()
	conn, wait := peer(t, start()+quit, nil)
	opts := options(t)
	opts.Require8BitMIME = true
	client, err := New(t.Context(), conn, opts)
	if err != nil {
		t.Fatal(err)
	}
	env := envelope(t, "a@mail.example")
	env.Mail.Body = smtp.Body8BitMIME
	_, err = client.Deliver(t.Context(), env)
	wantError(t, err, Error{Command: "mail", Enhanced: "4.6.3", Err: Err8BitMIMEUnsupported})
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
}

// failingReader returns an error after what is in r.
type failingReader struct {
	r   io.Reader
	err error
}

func (f failingReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err == io.EOF {
		err = f.err
	}
	return n, err
}

func TestContentThatCannotBeSentIsNotDelivered(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk broken")
	tests := []struct {
		name string
		open func() (io.ReadCloser, error)
		err  Error
	}{
		{"cannot be opened", func() (io.ReadCloser, error) { return nil, broken }, Error{Command: "content", Err: broken}},
		{"cannot be read", func() (io.ReadCloser, error) {
			return io.NopCloser(failingReader{strings.NewReader("a\r\n"), broken}), nil
		}, Error{Command: "content", Err: broken}},
		{"bare CR", func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("a\rb\r\n")), nil }, Error{Command: "content", Permanent: true, Err: smtp.ErrBareCR}},
		{"bare LF", func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("a\nb\r\n")), nil }, Error{Command: "content", Permanent: true, Err: smtp.ErrBareLF}},
		{"line that could be taken for the end", func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("a\r\n\x00.\r\nb\r\n")), nil }, Error{Command: "content", Permanent: true, Err: smtp.ErrSmuggling}},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			conn, wait := peer(t, start()+"s< MAIL FROM:<me@client.example>\ns> 250 ok\ns< RCPT TO:<a@mail.example>\ns> 250 ok\ns< DATA\ns> 354 go\ns<!", nil)
			defer wait()
			client, err := New(t.Context(), conn, options(t))
			if err != nil {
				t.Fatal(err)
			}
			env := envelope(t, "a@mail.example")
			env.Open = tc.open
			_, err = client.Deliver(t.Context(), env)
			wantError(t, err, tc.err)
			if client.Usable() {
				t.Error("connection is in the middle of a message, and usable")
			}
		})
	}
}

// silentServer answers the commands in script, each a line and its reply, and then
// says nothing.
func silentServer(nc net.Conn, replies ...string) {
	buf := make([]byte, 4096)
	for _, r := range replies {
		if _, err := io.WriteString(nc, r+"\r\n"); err != nil {
			return
		}
		if _, err := nc.Read(buf); err != nil {
			return
		}
	}
	for {
		if _, err := nc.Read(buf); err != nil {
			return
		}
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		command string
		after   time.Duration
		replies []string
	}{
		{"greeting", GreetingTimeout, nil},
		{"ehlo", CommandTimeout, []string{"220 hi"}},
		{"mail", CommandTimeout, []string{"220 hi", "250 mail.example"}},
		{"rcpt", CommandTimeout, []string{"220 hi", "250 mail.example", "250 ok"}},
		{"data", DataTimeout, []string{"220 hi", "250 mail.example", "250 ok", "250 ok"}},
		{"content", DataFinishTimeout, []string{"220 hi", "250 mail.example", "250 ok", "250 ok", "354 go"}},
	}
	for _, tc := range tests {
		t.Run(tc.command, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := net.Pipe()
				go silentServer(b, tc.replies...)
				begin := time.Now()
				client, err := New(t.Context(), a, options(t))
				if err == nil {
					_, err = client.Deliver(t.Context(), envelope(t, "a@mail.example"))
				}
				wantError(t, err, Error{Command: tc.command})
				var ne net.Error
				if !errors.As(err, &ne) || !ne.Timeout() {
					t.Fatalf("got %v", err)
				}
				if took := time.Since(begin); took != tc.after {
					t.Fatalf("took %v, want %v", took, tc.after)
				}
				b.Close()
			})
		})
	}
}

func TestServerThatDoesNotReadContent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		go func() {
			buf := make([]byte, 4096)
			for _, r := range []string{"220 hi", "250 mail.example", "250 ok", "250 ok"} {
				if _, err := io.WriteString(b, r+"\r\n"); err != nil {
					return
				}
				if _, err := b.Read(buf); err != nil {
					return
				}
			}
			_, _ = io.WriteString(b, "354 go\r\n")
		}()
		client, err := New(t.Context(), a, options(t))
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_, err = client.Deliver(t.Context(), envelope(t, "a@mail.example"))
		wantError(t, err, Error{Command: "content"})
		if took := time.Since(begin); took < DataBlockTimeout || took > DataBlockTimeout+QuitTimeout {
			t.Fatalf("took %v", took)
		}
		b.Close()
	})
}

func TestReplyDuringContentIsTheReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		go func() {
			buf := make([]byte, 4096)
			for _, r := range []string{"220 hi", "250 mail.example", "250 ok", "250 ok"} {
				if _, err := io.WriteString(b, r+"\r\n"); err != nil {
					return
				}
				if _, err := b.Read(buf); err != nil {
					return
				}
			}
			// The reply is sent while the client is writing, which it has given up when it
			// reads it.
			_, _ = io.WriteString(b, "354 go\r\n")
			_, _ = io.WriteString(b, "552 5.3.4 too much\r\n")
		}()
		client, err := New(t.Context(), a, options(t))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Deliver(t.Context(), envelope(t, "a@mail.example"))
		wantError(t, err, Error{Command: "content", Permanent: true, Code: 552, Enhanced: "5.3.4"})
		b.Close()
	})
}

func TestContextEndsWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		go silentServer(b, "220 hi", "250 mail.example")
		client, err := New(t.Context(), a, options(t))
		if err != nil {
			t.Fatal(err)
		}
		why := errors.New("shutting down")
		ctx, cancel := context.WithCancelCause(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel(why)
		}()
		begin := time.Now()
		results, err := client.Deliver(ctx, envelope(t, "a@mail.example"))
		wantError(t, err, Error{Command: "mail", Err: why})
		if took := time.Since(begin); took != time.Second || summary(results) != "mail 0" {
			t.Fatalf("took %v, got %s", took, summary(results))
		}
		b.Close()
	})
	synctest.Test(t, func(t *testing.T) {
		a, b := net.Pipe()
		go silentServer(b)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := New(ctx, a, options(t))
		wantError(t, err, Error{Command: "greeting", Err: context.DeadlineExceeded})
		b.Close()
		synctest.Wait()
		a, b = net.Pipe()
		_, err = New(ctx, a, options(t))
		wantError(t, err, Error{Command: "greeting", Err: context.DeadlineExceeded})
		b.Close()
	})
}
