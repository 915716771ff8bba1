package smtp

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Reply is what a server answers to a command.
type Reply struct {
	Code int

	// Enhanced is the enhanced status code, e.g. "2.1.0", or empty. It is repeated on
	// each line, RFC 2034 §4.
	Enhanced string

	// Text may have several lines, separated by "\n".
	Text string
}

// foldFrom is the position after which a long line of a reply is broken at a
// space, so that lines do not get short.
const foldFrom = 400

// Append appends the reply to b, in lines with CRLF of at most MaxReplyLine
// octets. Longer lines of text are broken, at a space if there is one near the
// end. Control characters, which could forge another reply, become spaces, and
// octets that are not UTF-8 question marks; so do characters beyond ASCII unless
// utf8 is set, which is for commands with SMTPUTF8 (RFC 6531 §3.7.4).
func (r Reply) Append(b []byte, utf8 bool) []byte {
	prefix := strconv.Itoa(r.Code) + " "
	if r.Enhanced != "" {
		prefix += r.Enhanced + " "
	}
	var lines []string
	for line := range strings.SplitSeq(r.Text, "\n") {
		lines = appendFolded(lines, cleanText(line, utf8), MaxReplyLine-len("\r\n")-len(prefix))
	}
	for i, line := range lines {
		start := len(b)
		b = append(b, prefix...)
		if i < len(lines)-1 {
			b[start+3] = '-'
		}
		b = append(b, line...)
		b = append(b, "\r\n"...)
	}
	return b
}

func appendFolded(lines []string, line string, limit int) []string {
	for len(line) > limit {
		cut := strings.LastIndexByte(line[:limit+1], ' ')
		skip := 1
		if cut < min(foldFrom, limit/2) {
			cut, skip = limit, 0
			for cut > 1 && !utf8.RuneStart(line[cut]) {
				cut--
			}
		}
		lines = append(lines, line[:cut])
		line = line[cut+skip:]
	}
	return append(lines, line)
}

func cleanText(s string, international bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ' || r == 0x7f:
			return ' '
		case r == utf8.RuneError, r > 0x7f && !international, r >= 0x80 && r < 0xa0:
			return '?'
		}
		return r
	}, s)
}
