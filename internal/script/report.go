package script

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// maxShown is how many lines that came are shown where one was expected.
const maxShown = 50

// Error returns the talk up to the failing line, and a few lines more, with what
// came in the place where it came.
func (f *Failure) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: talk line %d", f.Script.Name, f.Line+1)
	if f.Err != nil {
		fmt.Fprintf(&b, ": %v", f.Err)
	}
	b.WriteByte('\n')
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(f.Script.files[talkFile]), "\r\n", "\n"), "\n"), "\n")
	const after = 5
	for i, text := range lines {
		switch {
		case i > f.Line+after:
			fmt.Fprintf(&b, "  ... %d more lines\n", len(lines)-i)
			return b.String()
		case i != f.Line:
			b.WriteString("  " + text + "\n")
		default:
			f.writeLine(&b, text)
		}
	}
	return b.String()
}

// writeLine writes the failing line and what came.
func (f *Failure) writeLine(b *strings.Builder, text string) {
	prefix := text[:identLen(text)] + "< "
	if f.Want != "" && !strings.HasSuffix(text, " "+f.Want) {
		text += "\n- " + prefix + f.Want
	}
	b.WriteString("- " + text + "\n")
	got := f.Got
	if n := len(got) - maxShown; n > 0 {
		fmt.Fprintf(b, "+ ... %d lines\n", n)
		got = got[n:]
	}
	for _, g := range got {
		b.WriteString("+ " + prefix + visible(g) + "\n")
	}
}

// visible shows a line that has control characters or ends in a space quoted, as
// the operator "<=" wants it.
func visible(s string) string {
	clean := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
	if clean && !strings.HasSuffix(s, " ") {
		return s
	}
	return fmt.Sprintf("(as a quoted string) %q", s)
}

// RunDir runs each script that matches a pattern of path/filepath as a parallel
// subtest with its name. Setup prepares what the script's setup asks for, and
// cleans up with t.Cleanup, such as checking the integrity of a store.
func RunDir(t *testing.T, glob string, setup func(t *testing.T, s *Script) Options) {
	t.Helper()
	paths, err := filepath.Glob(glob)
	if err != nil {
		t.Fatalf("finding scripts: %v", err)
	}
	if len(paths) == 0 {
		t.Fatalf("no scripts match %s", glob)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := ParseFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Run(t.Context(), setup(t, s)); err != nil {
				t.Error(err)
			}
		})
	}
}
