package cli

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// roff returns a text for a manual page. Lines cannot begin a request.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", "\\`", "^", `\(ha`, "~", `\(ti`).Replace(s)
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, ".") {
			lines[i] = `\&` + line
		}
	}
	return strings.Join(lines, "\n")
}

// writeManualText writes paragraphs. Lines that are indented with a tab stay as they are.
func writeManualText(b *strings.Builder, s string) {
	literal := false
	paragraph := true
	for line := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
		text, tab := strings.CutPrefix(line, "\t")
		switch {
		case tab && !literal:
			b.WriteString(".RS 4\n.nf\n")
		case !tab && literal:
			b.WriteString(".fi\n.RE\n")
			paragraph = true
		}
		literal = tab
		switch {
		case tab:
			b.WriteString(roff(text) + "\n")
		case line == "":
			paragraph = true
		default:
			if paragraph {
				b.WriteString(".PP\n")
				paragraph = false
			}
			b.WriteString(roff(strings.TrimSpace(line)) + "\n")
		}
	}
	if literal {
		b.WriteString(".fi\n.RE\n")
	}
}

// writeManualFlags writes the documentation of flags.
func writeManualFlags(b *strings.Builder, fs *flag.FlagSet) {
	fs.VisitAll(func(f *flag.Flag) {
		name, text := flag.UnquoteUsage(f)
		fmt.Fprintf(b, ".TP\n\\fB\\-%s\\fR", roff(f.Name))
		if name != "" {
			fmt.Fprintf(b, " \\fI%s\\fR", roff(name))
		}
		b.WriteString("\n" + roff(strings.TrimSpace(text)) + "\n")
	})
}

// WriteManual writes the manual page mox(1), from what the help texts are made of.
func WriteManual(w io.Writer) error {
	var b strings.Builder
	b.WriteString(`.\" Made by "make generate": do not edit.
.TH MOX 1 "" mox "User Commands"
.SH NAME
mox \- mail server
.SH SYNOPSIS
.B mox
.RI [ flags ]
.I command
\&...
.SH DESCRIPTION
.B mox
is a mail server and the program to operate it with: one command runs the server, others
talk to it while it runs, and some look at DNS, messages and other servers.
`)
	b.WriteString(".SH OPTIONS\nThey stand before the command.\n")
	var g globals
	writeManualFlags(&b, g.flags())
	b.WriteString(".SH COMMANDS\n")
	for _, c := range listed() {
		fmt.Fprintf(&b, ".SS \"%s\"\n.B %s\n", roff(c.words), roff(strings.ReplaceAll(c.usage(), `"`, `\(dq`)))
		writeManualText(&b, c.help)
		fs, _ := c.flags()
		writeManualFlags(&b, fs)
	}
	b.WriteString(`.SH EXIT STATUS
0 if all is well, 1 after an error, and 2 if the command line is wrong. A server that a
signal has stopped exits with the number of the signal. Called as
.BR sendmail ,
exit codes are those of sysexits.
.SH ENVIRONMENT
.TP
.B MOXCONF
Path of mox.conf, if the flag
.B \-config
is not given.
.SH FILES
.TP
.I config/mox.conf
The configuration, read at start, if nothing else is said.
.TP
.I config/domains.conf
Domains and accounts, next to mox.conf. Read again when it changes.
.SH SEE ALSO
.B mox config describe\-static
and
.B mox config describe\-domains
print all fields of the configuration.
`)
	_, err := io.WriteString(w, b.String())
	return err
}
