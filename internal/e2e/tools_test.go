package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit"
)

// run runs a program to its end and returns its output, and its exit code.
func run(t testing.TB, stdin, name string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, testkit.Tool(t, name), args...)
	cmd.Stdin = strings.NewReader(stdin)
	// Only what is here is configuration of the program.
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s did not end\n%s", name, out.String())
	}
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("%s: %v", name, err)
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// succeed runs a program that must succeed and returns its output.
func succeed(t testing.TB, stdin, name string, args ...string) string {
	t.Helper()
	out, code := run(t, stdin, name, args...)
	if code != 0 {
		t.Fatalf("%s %s: exit code %d\n%s", name, strings.Join(args, " "), code, out)
	}
	return out
}

// subjectProgram searches for messages with a word in the subject.
func subjectProgram(word string) imap.SearchProgram {
	return imap.SearchProgram{Key: imap.SearchKey{Op: imap.SearchSubject, Text: word}}
}

// waitSubject waits until the inbox has n messages with a word in the subject, which
// the server tells with IDLE, and returns their UIDs.
func (s *server) waitSubject(word string, n int) []uint32 {
	s.t.Helper()
	c := s.inbox()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		res, err := c.Search(ctx, imapclient.UID, subjectProgram(word), imapclient.SearchOptions{})
		if err != nil {
			s.t.Fatalf("search for subject %q: %v", word, err)
		}
		if len(res.Nums) >= n {
			if len(res.Nums) > n {
				s.t.Errorf("%d messages with subject %q instead of %d", len(res.Nums), word, n)
			}
			return res.Nums
		}
		if len(imapclient.All[imapclient.Exists](res.Response)) > 0 {
			continue // Came meanwhile.
		}
		err = c.Idle(ctx, func(u imapclient.Untagged) error {
			if _, ok := u.(imapclient.Exists); ok {
				return imapclient.ErrStopIdle
			}
			return nil
		})
		if err != nil || ctx.Err() != nil {
			s.t.Fatalf("%d of %d messages with subject %q came: %v", len(res.Nums), n, word, err)
		}
	}
}

// idles waits until another client waits with IDLE, of a server with log level trace. What
// comes before the server has said that it may wait, not all clients take.
func (s *server) idles() {
	s.t.Helper()
	s.proc.WaitLine(`LS: .*\+ idling`)
}

// fetch returns a message of the inbox as it is.
func (s *server) fetch(uid uint32) string {
	s.t.Helper()
	c := s.inbox()
	item := imap.FetchItem{Attr: imap.FetchBodySection, Peek: true}
	l, _, err := c.Fetch(testContext(s.t), imapclient.UID, imap.NewRanges(uid).NumSet(), []imap.FetchItem{item}, imapclient.FetchOptions{})
	if err != nil || len(l) != 1 || len(l[0].Sections) != 1 {
		s.t.Fatalf("fetch message %d: %d responses, %v", uid, len(l), err)
	}
	return string(l[0].Sections[0].Data)
}

// poll calls fn until it returns true, for what has no event to wait for.
func poll(t testing.TB, what string, fn func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !fn(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// numbers returns a set of message numbers.
func numbers(t testing.TB, s string) imap.NumSet {
	t.Helper()
	set, err := imap.ParseNumSet(s, 100)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
