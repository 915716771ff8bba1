package junkbench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// bogofilterCutoff is its default, from which on a message is spam for it.
const bogofilterCutoff = 0.99

// bogofilter runs Debian's bogofilter with its default parameters, on the same bytes.
type bogofilter struct {
	bin, dir string
	files    []string // Of the messages.
}

func newBogofilter(t testing.TB, mails []mail) *bogofilter {
	t.Helper()
	b := &bogofilter{bin: testkit.Tool(t, "bogofilter"), dir: t.TempDir()}
	for i, m := range mails {
		name := filepath.Join(b.dir, fmt.Sprintf("m%05d", i))
		if err := os.WriteFile(name, m.data, 0600); err != nil {
			t.Fatal(err)
		}
		b.files = append(b.files, name)
	}
	return b
}

// train registers messages from one number up to another.
func (b *bogofilter) train(t testing.TB, mails []mail, from, to int) {
	t.Helper()
	var ham, spam []string
	for i := from; i < to; i++ {
		if mails[i].spam {
			spam = append(spam, b.files[i])
		} else {
			ham = append(ham, b.files[i])
		}
	}
	for flag, files := range map[string][]string{"-n": ham, "-s": spam} {
		if len(files) > 0 {
			b.run(t, files, flag, "-b")
		}
	}
}

// judge classifies messages.
func (b *bogofilter) judge(t testing.TB, mails []mail, from, to int) []result {
	t.Helper()
	out := b.run(t, b.files[from:to], "-T", "-T", "-b")
	var l []result
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		var score float64
		var name string
		if _, err := fmt.Sscan(sc.Text(), &name, &score); err != nil {
			t.Fatalf("bogofilter said %q: %v", sc.Text(), err)
		}
		i := from + len(l)
		if name != b.files[i] {
			t.Fatalf("bogofilter said %q, not about %s", sc.Text(), b.files[i])
		}
		l = append(l, result{score: score, junk: score >= bogofilterCutoff, spam: mails[i].spam})
	}
	if len(l) != to-from {
		t.Fatalf("bogofilter judged %d messages of %d", len(l), to-from)
	}
	return l
}

// run runs it with file names on standard input.
func (b *bogofilter) run(t testing.TB, files []string, args ...string) []byte {
	t.Helper()
	cmd := exec.Command(b.bin, append([]string{"-C", "-d", b.dir}, args...)...)
	cmd.Stdin = strings.NewReader(strings.Join(files, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	// The exit code is about the last message, 3 an error.
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() > 2 {
		t.Fatalf("bogofilter %v: %v: %s", args, err, &stderr)
	}
	return out
}
