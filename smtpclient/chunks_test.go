package smtpclient

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"mox/smtp"
)

// big is an envelope that says that it is large enough for BDAT.
func big(t testing.TB, content string, recipients ...string) Envelope {
	env := envelope(t, recipients...)
	env.Mail.Size = chunkedMin
	env.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil }
	return env
}

func TestDeliverWithBDAT(t *testing.T) {
	t.Parallel()
	const mail = "s< MAIL FROM:<me@client.example>\n"
	const a, b = "s< RCPT TO:<a@mail.example>\n", "s< RCPT TO:<b@mail.example>\n"
	const ok = "s> 250 2.0.0 ok\n"
	const chunk = "s< BDAT 9 LAST\ns< .hidden\n"
	pipe := start("PIPELINING", "CHUNKING")
	tests := []struct {
		name, talk, content, rcpts, want string
	}{
		{"step by step", start("CHUNKING") + mail + ok + a + ok + chunk + ok + quit, ".hidden\r\n", "a", "250"},
		{"pipelined", pipe + mail + a + b + ok + "s> 550 5.1.1 who?\n" + ok + chunk + ok + quit, ".hidden\r\n", "a b", "rcpt 550!, 250"},
		{"a line end that is missing is added", pipe + mail + a + ok + ok + chunk + ok + quit, ".hidden", "a", "250"},
		{"nothing at all", pipe + mail + a + ok + ok + "s< BDAT 0 LAST\n" + ok + quit, "", "a", "250"},
		{"all are refused", pipe + mail + a + ok + "s> 550 5.1.1 who?\n" + quit, ".hidden\r\n", "a", "rcpt 550!"},
		{"sender refused", pipe + mail + a + "s> 550 5.7.1 not you\ns> 503 5.5.1 no\n" + quit, ".hidden\r\n", "a", "mail 550!"},
		{"sender refused and recipient accepted", pipe + mail + a + "s> 451 4.7.1 not now\n" + ok + "s<!\n", ".hidden\r\n", "a", "mail 451"},
		{"content refused", pipe + mail + a + ok + ok + chunk + "s> 554 5.7.1 spam\n" + quit, ".hidden\r\n", "a", "content 554!"},
		{"too many recipients", pipe + mail + a + b + ok + ok + "s> 452 4.5.3 too many\n" + chunk + ok + mail + b + ok + ok + chunk + "s> 251 ok\n" + quit, ".hidden\r\n", "a b", "250, 251"},
		{"content that cannot be sent", pipe + mail + a + ok + ok + "s<!\n", "bare\nline feed", "a", "content 0!"},
		{"server hangs up", pipe + mail + a + ok + ok + chunk + "@close s\n", ".hidden\r\n", "a", "content 0"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			conn, wait := peer(t, tc.talk, nil)
			client, err := New(t.Context(), conn, options(t))
			if err != nil {
				t.Fatal(err)
			}
			var rcpts []string
			for r := range strings.FieldsSeq(tc.rcpts) {
				rcpts = append(rcpts, r+"@mail.example")
			}
			results, _ := client.Deliver(t.Context(), big(t, tc.content, rcpts...))
			if got := summary(results); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
			if hangup := tc.name == "server hangs up"; results[0].Err != nil && results[0].Err.Unanswered != hangup {
				t.Errorf("unanswered is %v", results[0].Err.Unanswered)
			}
			if err := client.Close(); err != nil {
				t.Error(err)
			}
			wait()
		})
	}
}

func TestChunkRefusedEarly(t *testing.T) {
	t.Parallel()
	// Two chunks that are full, and the server refuses the first.
	body := strings.Repeat(strings.Repeat("x", 126)+"\r\n", 2*chunkSize/128)
	full := strings.Repeat("s< "+strings.Repeat("x", 126)+"\n", chunkSize/128)
	const head = "s< MAIL FROM:<me@client.example>\n"
	conn, wait := peer(t, start("CHUNKING")+head+"s> 250 ok\ns< RCPT TO:<a@mail.example>\ns> 250 ok\ns< BDAT 262144\n"+full+"s> 552 5.3.4 too big\n"+
		"s< RSET\ns> 250 ok\n"+head+"s> 550 5.7.1 no\n"+quit, nil)
	client, err := New(t.Context(), conn, options(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"content 552!", "mail 550!"} {
		results, err := client.Deliver(t.Context(), big(t, body, "a@mail.example"))
		if got := summary(results); err == nil || got != want {
			t.Fatalf("got %s, %v, want %s", got, err, want)
		}
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
}

func TestChunksUnderWayWhenOneIsRefused(t *testing.T) {
	t.Parallel()
	body := strings.Repeat(strings.Repeat("x", 126)+"\r\n", maxChunksAhead*chunkSize/128)
	full := "s< BDAT 262144\n" + strings.Repeat("s< "+strings.Repeat("x", 126)+"\n", chunkSize/128)
	conn, wait := peer(t, start("CHUNKING", "PIPELINING")+"s< MAIL FROM:<me@client.example>\ns< RCPT TO:<a@mail.example>\ns> 250 ok\ns> 250 ok\n"+
		strings.Repeat(full, maxChunksAhead)+strings.Repeat("s> 452 4.3.1 no space\n", maxChunksAhead)+"s< RSET\ns> 250 ok\n"+quit, nil)
	client, err := New(t.Context(), conn, options(t))
	if err != nil {
		t.Fatal(err)
	}
	results, err := client.Deliver(t.Context(), big(t, body, "a@mail.example"))
	if got := summary(results); err == nil || got != "content 452" {
		t.Fatalf("got %s, %v", got, err)
	}
	if err := client.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
}

func TestBinaryContentIsSentAsItIs(t *testing.T) {
	t.Parallel()
	conn, wait := peer(t, start("CHUNKING", "BINARYMIME")+"s< MAIL FROM:<me@client.example> BODY=BINARYMIME\ns> 250 ok\ns< RCPT TO:<a@mail.example>\ns> 250 ok\n"+
		"s< BDAT 7 LAST\ns<= \"a\\rb\\x00.\"\ns> 250 ok\n"+quit, nil)
	client, err := New(t.Context(), conn, options(t))
	if err != nil {
		t.Fatal(err)
	}
	env := big(t, "a\rb\x00.\r\n", "a@mail.example")
	env.Mail.Size, env.Mail.Body = 0, smtp.BodyBinaryMIME
	if results, err := client.Deliver(t.Context(), env); err != nil {
		t.Fatalf("%s, %v", summary(results), err)
	}
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}
	wait()
}

func TestContentThatCannotBeReadEndsTheConnection(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken disk")
	for _, extension := range []string{"CHUNKING", "SIZE"} {
		talk := start(extension) + "s< MAIL FROM:<me@client.example>"
		if extension == "SIZE" {
			talk += " SIZE=1048576\ns> 250 ok\ns< RCPT TO:<a@mail.example>\ns> 250 ok\ns< DATA\ns> 354 go\ns<!\n"
		} else {
			talk += "\ns> 250 ok\ns< RCPT TO:<a@mail.example>\ns> 250 ok\ns<!\n"
		}
		conn, wait := peer(t, talk, nil)
		client, err := New(t.Context(), conn, options(t))
		if err != nil {
			t.Fatal(err)
		}
		env := big(t, "", "a@mail.example")
		env.Open = func() (io.ReadCloser, error) { return io.NopCloser(iotest.ErrReader(broken)), nil }
		start := time.Now()
		results, err := client.Deliver(t.Context(), env)
		if !errors.Is(err, broken) || !errors.Is(err, ErrContent) || results[0].Err.Unanswered || client.Usable() || time.Since(start) > QuitTimeout {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		wait()
	}
}
