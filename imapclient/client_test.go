package imapclient

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/imap"
)

var ctxbg = context.Background()

// checkRefused checks that err is this refusal by the server.
func checkRefused(t *testing.T, err error, typ imap.ErrorType, code imap.Code) {
	t.Helper()
	var e *imap.Error
	if !errors.As(err, &e) || e.Type != typ || e.Code != code {
		t.Errorf("got %v, want %s [%s]", err, typ, code)
	}
}

func TestGreeting(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, script string
		state        State
		caps         bool
		err          string
	}{
		{"OK", "S: * OK ready\n", StateNotAuthenticated, false, ""},
		{"OK with capabilities", "S: * OK [CAPABILITY IMAP4rev2] ready\n", StateNotAuthenticated, true, ""},
		{"PREAUTH", "S: * PREAUTH hi\n", StateAuthenticated, false, ""},
		{"BYE", "S: * BYE [UNAVAILABLE] busy\n", 0, false, "reading greeting: BYE [UNAVAILABLE] busy"},
		{"NO", "S: * NO hi\n", 0, false, "reading greeting: greeting is not OK, PREAUTH or BYE"},
		{"another response", "S: * 5 EXISTS\n", 0, false, "reading greeting: greeting is not a status response"},
		{"a tagged response", "S: a OK hi\n", 0, false, "reading greeting: greeting is not a status response"},
		{"another protocol", "S: 220 hello ESMTP\n", 0, false, "reading greeting: parsing response: BAD syntax error: expected OK, NO or BAD before this at column 10"},
		{"nothing", "S!\n", 0, false, "reading greeting: reading response: unexpected EOF"},
		{"half a line", "S> * OK\nS!\n", 0, false, "reading greeting: reading response: unexpected EOF"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			conn, _ := runServer(t, tc.script)
			c, err := New(ctxbg, conn, Options{})
			if tc.err != "" {
				if err == nil || err.Error() != tc.err {
					t.Errorf("got error %v, want %s", err, tc.err)
				}
				if _, err := conn.Write([]byte("x")); err == nil {
					t.Error("the connection is not closed")
				}
				return
			}
			if err != nil || c.State() != tc.state || (c.Caps() != nil) != tc.caps {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestCapabilitiesAreKeptCurrent(t *testing.T) {
	t.Parallel()
	c := dialGreeting(t, Options{}, `S: * OK [CAPABILITY IMAP4rev1 LOGINDISABLED] hi
		C: c1 CAPABILITY
		S: * CAPABILITY IMAP4rev1 IDLE
		S: c1 OK done
		C: c2 LOGIN a b
		S: c2 OK [CAPABILITY IMAP4rev1 MOVE] done
		C: c3 NOOP
		S: * CAPABILITY IMAP4rev1 SORT
		S: c3 OK done
		C: c4 CAPABILITY
		S: c4 OK done
		`)
	if !c.Caps().Has(imap.CapLoginDisabled) {
		t.Error("capabilities of the greeting are not known")
	}
	if caps, err := c.Capability(ctxbg); err != nil || !caps.Has(imap.CapIdle) || caps.Has(imap.CapLoginDisabled) {
		t.Errorf("got %v, %v", caps, err)
	}
	if _, err := c.Login(ctxbg, "a", "b"); err != nil || !c.Caps().Has(imap.CapMove) || c.State() != StateAuthenticated {
		t.Errorf("after login: %v, %v", c.Caps(), err)
	}
	if _, err := c.Noop(ctxbg); err != nil || !c.Caps().Has(imap.CapSort) {
		t.Errorf("after an unsolicited response: %v, %v", c.Caps(), err)
	}
	if _, err := c.Capability(ctxbg); err == nil {
		t.Error("a missing CAPABILITY response is no error")
	}
}

func TestCapabilitiesAreForgottenAtLogin(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 LOGIN a b
		S: c1 OK done
		`)
	if _, err := c.Login(ctxbg, "a", "b"); err != nil || c.Caps() != nil {
		t.Errorf("got %v, %v", c.Caps(), err)
	}
}

func TestRefusedCommands(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 LOGIN a b
		S: * 5 EXISTS
		S: c1 NO [AUTHENTICATIONFAILED] no
		C: c2 NOOP
		S: c2 BAD what
		C: c3 NOOP
		S: c3 OK
		`)
	resp, err := c.Login(ctxbg, "a", "b")
	checkRefused(t, err, imap.TypeNO, imap.CodeAuthenticationFailed)
	if c.State() != StateNotAuthenticated || len(resp.Untagged) != 1 || resp.Status.Text != "no" {
		t.Errorf("got %+v", resp)
	}
	_, err = c.Noop(ctxbg)
	checkRefused(t, err, imap.TypeBAD, "")
	if _, err = c.Noop(ctxbg); err == nil {
		t.Error("a response without text, and without the space before, is taken")
	}
	if _, err := c.Noop(ctxbg); err == nil || !strings.Contains(err.Error(), "not usable") {
		t.Errorf("after a syntax error: %v", err)
	}
}

func TestResponsesOutOfPlace(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]string{
		"another tag":                   "S: x OK done",
		"a continuation request":        "S: + go on",
		"the end":                       "S!",
		"the end in a literal":          "S: * 1 FETCH (BODY[] {10}\nS> abc\nS!",
		"a literal larger than allowed": "S: * 1 FETCH (BODY[] {101}",
		"a string larger than allowed":  "S: * 1 FETCH (PREVIEW {101}",
		"a line longer than allowed":    "S: * OK " + strings.Repeat("x", 200),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, server := net.Pipe()
			go func() {
				defer server.Close()
				io.WriteString(server, "* OK hi\r\n")
				server.Read(make([]byte, 100))
				for line := range strings.Lines(script) {
					if strings.HasPrefix(line, "S!") {
						return
					}
					io.WriteString(server, strings.TrimSuffix(line[3:], "\n"))
					if line[1] == ':' {
						io.WriteString(server, "\r\n")
					}
				}
				io.Copy(io.Discard, server)
			}()
			c, err := New(ctxbg, conn, Options{MaxLine: 150, MaxLiteral: 100})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Noop(ctxbg)
			var e *imap.Error
			if err == nil || errors.As(err, &e) && e.Type == imap.TypeNO {
				t.Errorf("got %v", err)
			}
			if _, err := c.Noop(ctxbg); err == nil || !strings.Contains(err.Error(), "not usable") {
				t.Errorf("the connection is still used: %v", err)
			}
		})
	}
}

func TestByeIsTheReasonForTheEnd(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 NOOP
		S: * BYE [UNAVAILABLE] shutting down
		S!`)
	_, err := c.Noop(ctxbg)
	checkRefused(t, err, imap.TypeBYE, imap.CodeUnavailable)
	if c.State() != StateLogout {
		t.Errorf("state is %d", c.State())
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, "C: c1 LOGOUT\nS: * BYE see you\nS: c1 OK done\n")
	if err := c.Logout(ctxbg); err != nil || c.State() != StateLogout {
		t.Error(err)
	}
	c = dial(t, Options{}, "C: c1 LOGOUT\nS: c1 OK done\n")
	if err := c.Logout(ctxbg); err == nil {
		t.Error("a missing BYE is no error")
	}
}

func TestLenient(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{Lenient: true}, `C: c1 NOOP
		S: * FOO bar
		S: * 1 FETCH (FOO {3}
		S: abc ENVELOPE {2}
		S: x)
		S: * 7 EXISTS
		S: c1 OK done
		`)
	resp, err := c.Noop(ctxbg)
	if err != nil || len(All[Malformed](resp)) != 2 || !slices.Equal(All[Exists](resp), []Exists{7}) {
		t.Errorf("got %+v, %v", resp, err)
	}
}

func TestOnUntagged(t *testing.T) {
	t.Parallel()
	var got []Untagged
	c := dial(t, Options{OnUntagged: func(u Untagged) { got = append(got, u) }}, "C: c1 NOOP\nS: * 7 EXISTS\nS: * 2 EXPUNGE\nS: c1 OK done\n")
	got = nil // Without the greeting.
	if _, err := c.Noop(ctxbg); err != nil || len(got) != 2 || got[0] != Exists(7) || got[1] != Expunge(2) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestRawCommands(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 FOO 5 "x"
		S: * OK [ALERT] hm
		S: c1 OK [READ-ONLY] done
		C: c2 A
		C: c3 B
		S: c2 OK done
		S: c3 NO no
		C: x IDLE
		S: * 1 EXISTS
		S: + idling
		C: DONE
		S: * 2 EXISTS
		S: x OK done
		C: y APPEND
		S: y NO [OVERQUOTA] full
		C: z APPEND
		S: z OK done
		C: raw
		S: an answer {5}
		S> hello
		`)
	resp, err := c.Cmd(ctxbg, "FOO %d %q", 5, "x")
	if err != nil || resp.Status.Code.Name != imap.CodeReadOnly {
		t.Errorf("got %+v, %v", resp, err)
	}
	if code, ok := resp.Code(imap.CodeAlert); !ok || code.Raw != imap.CodeAlert {
		t.Errorf("got %+v", code)
	}
	if _, ok := resp.Code(imap.CodeUIDNext); ok {
		t.Error("found a code that was not sent")
	}
	first, err := c.Send(ctxbg, "A")
	if err != nil {
		t.Fatal(err)
	}
	second, err := c.Send(ctxbg, "B")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Wait(ctxbg, first); err != nil {
		t.Error(err)
	}
	_, err = c.Wait(ctxbg, second)
	checkRefused(t, err, imap.TypeNO, "")

	write := func(line string) {
		t.Helper()
		if err := c.WriteLine(ctxbg, line); err != nil {
			t.Fatal(err)
		}
	}
	write("x IDLE")
	text, resp, err := c.ReadContinue(ctxbg, "x")
	if err != nil || text != "idling" || len(resp.Untagged) != 1 {
		t.Errorf("got %q, %+v, %v", text, resp, err)
	}
	write("DONE")
	if u, err := c.ReadUntagged(ctxbg); err != nil || u != Exists(2) {
		t.Errorf("got %v, %v", u, err)
	}
	if _, err := c.Wait(ctxbg, "x"); err != nil {
		t.Error(err)
	}
	write("y APPEND")
	_, _, err = c.ReadContinue(ctxbg, "y")
	checkRefused(t, err, imap.TypeNO, imap.CodeOverQuota)
	write("z APPEND")
	if _, _, err = c.ReadContinue(ctxbg, "z"); err == nil {
		t.Error("OK instead of a continuation request is no error")
	}
	c.broken = nil
	write("raw")
	if line, err := c.ReadLine(ctxbg); err != nil || line != "an answer {5}" {
		t.Errorf("got %q, %v", line, err)
	}
	if b, err := c.ReadBytes(ctxbg, 5); err != nil || string(b) != "hello" {
		t.Errorf("got %q, %v", b, err)
	}
}

func TestReadUntaggedWantsUntagged(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, "S: x OK done\n")
	if u, err := c.ReadUntagged(ctxbg); err == nil {
		t.Errorf("got %v", u)
	}
}

func TestNilResponse(t *testing.T) {
	t.Parallel()
	var r *Response
	if _, ok := r.Code(imap.CodeAlert); ok || All[Exists](r) != nil {
		t.Error("no response has something in it")
	}
}

// The following tests have a server that says nothing more.

func silent(t *testing.T) *Client {
	t.Helper()
	conn, server := net.Pipe()
	go func() {
		defer server.Close()
		io.WriteString(server, "* OK hi\r\n")
		io.Copy(io.Discard, server)
	}()
	c, err := New(ctxbg, conn, Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := silent(t)
		defer c.Close()
		start := time.Now()
		if _, err := c.Noop(ctxbg); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

func TestDeadlineOfContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := silent(t)
		defer c.Close()
		ctx, cancel := context.WithTimeout(ctxbg, time.Second)
		defer cancel()
		start := time.Now()
		if _, err := c.Noop(ctx); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

func TestCancelledContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := silent(t)
		defer c.Close()
		reason := errors.New("enough")
		ctx, cancel := context.WithCancelCause(ctxbg)
		time.AfterFunc(5*time.Second, func() { cancel(reason) })
		start := time.Now()
		if _, err := c.Noop(ctx); !errors.Is(err, reason) || time.Since(start) != 5*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

func TestContextThatIsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := silent(t)
		defer c.Close()
		ctx, cancel := context.WithCancel(ctxbg)
		cancel()
		if _, err := c.Noop(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

// The time-out is for silence, not for all of a long response.
func TestSlowServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		conn, server := net.Pipe()
		go func() {
			defer server.Close()
			io.WriteString(server, "* OK hi\r\n")
			server.Read(make([]byte, 100))
			for range 5 {
				time.Sleep(40 * time.Second)
				io.WriteString(server, "* 1 EXISTS\r\n")
			}
			io.WriteString(server, "* 1 FETCH (BODY[] {5}\r\n")
			for range 5 {
				time.Sleep(40 * time.Second)
				io.WriteString(server, "x")
			}
			io.WriteString(server, ")\r\nc1 OK done\r\n")
			io.Copy(io.Discard, server)
		}()
		c, err := New(ctxbg, conn, Options{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if resp, err := c.Noop(ctxbg); err != nil || len(resp.Untagged) != 6 {
			t.Errorf("got %+v, %v", resp, err)
		}
	})
}
