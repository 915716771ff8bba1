package cli

import (
	"fmt"
	"io"
	"strings"
)

// WriteReference writes the help texts of all commands in Markdown, for the
// documentation.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("## Global flags\n\nThey stand before the command.\n\n```\n")
	var g globals
	writeFlags(&b, g.flags())
	b.WriteString("```\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "\n## mox %s\n\n```\n", c.words)
		c.writeHelp(&b)
		b.WriteString("```\n")
	}
	_, err := io.WriteString(w, strings.ReplaceAll(b.String(), "```\n\n  -", "```\n  -"))
	return err
}
