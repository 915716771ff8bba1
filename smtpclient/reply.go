package smtpclient

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"mox/internal/lex"
)

// Reply is what a server answered, RFC 5321 §4.2.
type Reply struct {
	Code int // 200 to 599.

	// Enhanced is the enhanced status code of the first line, e.g. "2.1.5", or empty.
	Enhanced string

	// Lines are the lines as sent, without line ends.
	Lines []string
}

// Text returns the text of the reply, without codes, lines separated by "\n".
func (r Reply) Text() string {
	var l []string
	for _, line := range r.Lines {
		_, _, text, _ := splitLine(line)
		if rest, ok := strings.CutPrefix(text, r.Enhanced); ok && r.Enhanced != "" {
			text = strings.TrimPrefix(rest, " ")
		}
		l = append(l, text)
	}
	return strings.Join(l, "\n")
}

// ok reports a positive completion reply.
func (r Reply) ok() bool {
	return r.Code/100 == 2
}

// readReply reads one reply. Errors wrap ErrProtocol, or are those of the
// connection.
//
//	Reply-line = *( Reply-code "-" [ textstring ] CRLF ) Reply-code [ SP textstring ] CRLF
func readReply(br *bufio.Reader) (Reply, error) {
	var r Reply
	for {
		line, err := readLine(br)
		if err != nil {
			return Reply{}, err
		}
		code, more, text, ok := splitLine(line)
		switch {
		case !ok:
			return Reply{}, fmt.Errorf("%w: malformed reply line %.100q", ErrProtocol, line)
		case len(r.Lines) == 0:
			r.Code = code
			r.Enhanced = enhancedCode(code, text)
		case code != r.Code:
			return Reply{}, fmt.Errorf("%w: reply with codes %d and %d", ErrProtocol, r.Code, code)
		}
		r.Lines = append(r.Lines, line)
		if !more {
			return r, nil
		}
		if len(r.Lines) == MaxReplyLines {
			return Reply{}, fmt.Errorf("%w: reply of more than %d lines", ErrProtocol, MaxReplyLines)
		}
	}
}

// readLine reads a line of at most MaxReplyLine octets and returns it without its
// end, which may be a bare LF.
func readLine(br *bufio.Reader) (string, error) {
	line, err := br.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return "", fmt.Errorf("%w: reply line of more than %d octets", ErrProtocol, MaxReplyLine)
	case err == io.EOF:
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	s := strings.TrimSuffix(string(line[:len(line)-1]), "\r")
	return s, nil
}

// splitLine takes a reply line apart. A line may be just a code: clients should
// take it, RFC 5321 §4.2.
func splitLine(line string) (code int, more bool, text string, ok bool) {
	if len(line) < 3 || !lex.Digit.All(line[:3]) || line[0] < '2' || line[0] > '5' {
		return 0, false, "", false
	}
	for _, c := range []byte(line[:3]) {
		code = 10*code + int(c-'0')
	}
	if len(line) == 3 {
		return code, false, "", true
	}
	switch line[3] {
	case ' ':
		return code, false, line[4:], true
	case '-':
		return code, true, line[4:], true
	}
	return 0, false, "", false
}

// enhancedCode returns the enhanced status code at the start of the text of a
// reply, or an empty string, RFC 2034 §4 and RFC 3463 §2:
//
//	status-code = class "." subject "." detail
//
// It is looked for whether or not the server announces the extension, and counts
// only if its class is that of the reply code.
func enhancedCode(code int, text string) string {
	s := lex.New(text)
	class := byte('0' + code/100)
	if !s.TryByte(class) || class == '3' {
		return ""
	}
	for range 2 {
		s.NeedByte('.')
		if n := s.NeedRun(lex.Digit, "digits"); len(n) > 3 {
			return ""
		}
	}
	if !s.OK() || !s.End() && !s.PeekIs(lex.WSP) {
		return ""
	}
	return s.Since(0)
}
