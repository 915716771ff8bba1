package quickstart

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"mox/internal/admin"
)

// lineWidth is how long lines of text are at most, where words allow.
const lineWidth = 88

// report is what is printed, which is kept for the log file.
type report struct {
	w    io.Writer
	kept bytes.Buffer
	err  error // The first one of writing.
}

func (r *report) write(s string) {
	r.kept.WriteString(s)
	r.show(s)
}

// show prints what is not to be kept.
func (r *report) show(s string) {
	if r.err == nil {
		_, r.err = io.WriteString(r.w, s)
	}
}

func (r *report) printf(format string, args ...any) { r.write(fmt.Sprintf(format, args...)) }

// findings prints results of a check. Only the first lines of each begins with its
// severity.
func (r *report) findings(l []admin.Finding) {
	for _, f := range l {
		r.write(wrap(fmt.Sprintf("%-8s %-10s ", f.Severity, f.Check), f.Text))
	}
}

// paragraph prints text in lines.
func (r *report) paragraph(format string, args ...any) {
	r.write(wrap("", fmt.Sprintf(format, args...)) + "\n")
}

func (r *report) heading(s string) { r.printf("\n%s\n%s\n\n", s, strings.Repeat("-", len(s))) }

// wrap returns text in lines, the first of which begins with a prefix, and the others
// with as much space.
func wrap(prefix, text string) string {
	var b strings.Builder
	indent := strings.Repeat(" ", len(prefix))
	line := prefix
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > lineWidth:
			b.WriteString(line + "\n")
			line = indent + word
		default:
			line += " " + word
		}
	}
	b.WriteString(line + "\n")
	return b.String()
}
