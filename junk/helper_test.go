package junk

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mox/message"
)

// read makes tokens of a message, whose line ends are made CRLF.
func read(t testing.TB, msg string) *Tokens {
	t.Helper()
	return readRaw(t, strings.ReplaceAll(msg, "\n", "\r\n"))
}

func readRaw(t testing.TB, msg string) *Tokens {
	t.Helper()
	r := strings.NewReader(msg)
	root, err := message.Parse(r, r.Size(), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := Read(r, r.Size(), root)
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func texts(t *Tokens) []string { return strings.Split(t.String(), "\n") }

// wantTokens checks that tokens are there, and those after "!" not.
func wantTokens(t *testing.T, tokens *Tokens, want ...string) {
	t.Helper()
	have := texts(tokens)
	for _, w := range want {
		w, not := strings.CutPrefix(w, "!")
		if slices.Contains(have, w) == not {
			t.Errorf("token %q: got %v, want %v; all: %q", w, !not == false, !not, have)
		}
	}
}

// text returns a message with a text.
func text(body string) string {
	return "From: Ann <ann@example.org>\nTo: bob@example.net\nSubject: hello\nMessage-ID: <1@example.org>\n\n" + body + "\n"
}

func open(t testing.TB, o Options) *Filter {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "junk.db"), o)
}

func openAt(t testing.TB, path string, o Options) *Filter {
	t.Helper()
	f, err := Open(context.Background(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func apply(t testing.TB, f *Filter, row int64, l ...Lesson) {
	t.Helper()
	if err := f.Apply(context.Background(), row, l); err != nil {
		t.Fatal(err)
	}
}

func classify(t testing.TB, f *Filter, tokens *Tokens) Verdict {
	t.Helper()
	v, err := f.Classify(context.Background(), tokens)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// trainSome teaches a filter that talk of pills is junk and talk of gardens is not.
func trainSome(t testing.TB, f *Filter, n int) {
	t.Helper()
	for i := range n {
		apply(t, f, 0,
			Lesson{Tokens: read(t, text(fmt.Sprintf("buy cheap pills now from our store number%d offer", i))), Spam: true},
			Lesson{Tokens: read(t, text(fmt.Sprintf("the garden needs water and the roses bloom, letter%d", i)))})
	}
}
