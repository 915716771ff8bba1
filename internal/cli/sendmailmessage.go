package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"mox/message"
	"mox/smtp"
)

// maxSendmail is the largest message that sendmail takes, in octets.
const maxSendmail = 100 << 20

// letter is a message as a program has written it.
type letter struct {
	fields [][]byte // Header fields, each with its continuation lines, with CRLF.
	body   []byte   // With CRLF.
}

// readLetter reads a message. Lines may end in LF or CRLF. What does not begin with a
// header is all body.
func readLetter(r io.Reader) (*letter, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxSendmail+1))
	if err != nil {
		return nil, fmt.Errorf("read message: %w", err)
	}
	if len(data) > maxSendmail {
		return nil, fmt.Errorf("message is larger than %d octets", maxSendmail)
	}
	l := &letter{}
	for first := true; len(data) > 0; first = false {
		line, rest, _ := bytes.Cut(data, []byte("\n"))
		line = bytes.TrimSuffix(line, []byte("\r"))
		switch {
		case len(line) == 0:
			data = rest
			l.body = toCRLF(data)
			return l, nil
		case first && bytes.HasPrefix(line, []byte("From ")): // Of mbox files.
		case (line[0] == ' ' || line[0] == '\t') && len(l.fields) > 0:
			n := len(l.fields) - 1
			l.fields[n] = append(append(l.fields[n], line...), '\r', '\n')
		case isField(line):
			l.fields = append(l.fields, append(append([]byte{}, line...), '\r', '\n'))
		default: // The empty line is missing.
			l.body = toCRLF(data)
			return l, nil
		}
		data = rest
	}
	return l, nil
}

// isField reports whether a line begins a header field (RFC 5322 §2.2).
func isField(line []byte) bool {
	name, _, ok := bytes.Cut(line, []byte(":"))
	name = bytes.TrimRight(name, " \t")
	return ok && len(name) > 0 && !bytes.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' })
}

// toCRLF makes all line ends CRLF, also single CRs, and adds a missing one.
func toCRLF(data []byte) []byte {
	s := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))
	if s != "" && !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return []byte(strings.ReplaceAll(s, "\n", "\r\n"))
}

func fieldIs(field []byte, name string) bool {
	got, _, _ := bytes.Cut(field, []byte(":"))
	return strings.EqualFold(string(bytes.TrimRight(got, " \t")), name)
}

func (l *letter) has(name string) bool {
	for _, f := range l.fields {
		if fieldIs(f, name) {
			return true
		}
	}
	return false
}

// remove removes all fields with a name.
func (l *letter) remove(name string) {
	kept := l.fields[:0]
	for _, f := range l.fields {
		if !fieldIs(f, name) {
			kept = append(kept, f)
		}
	}
	l.fields = kept
}

// recipient returns the one recipient in the header.
func (l *letter) recipient() (string, error) {
	if l.has("Cc") || l.has("Bcc") {
		return "", errors.New("with -t, only a To field with one address is possible, no Cc and no Bcc")
	}
	h := message.ParseHeader(append(bytes.Join(l.fields, nil), '\r', '\n'), message.Limits{})
	var to []string
	n := 0
	for range h.All("To") {
		n++
	}
	for _, a := range h.Addresses("To") {
		switch {
		case a.Kind != message.KindMailbox:
		case a.Host == "":
			to = append(to, a.Mailbox)
		default:
			to = append(to, a.Mailbox+"@"+a.Host)
		}
	}
	if len(to) == 0 && n == 1 { // A local user, without domain.
		if name := strings.TrimSpace(h.Text("To")); name != "" && !strings.ContainsAny(name, " \t,;:<>@\"") {
			to = append(to, name)
		}
	}
	if len(to) != 1 || n != 1 {
		return "", fmt.Errorf("with -t, the message must have one To field with one address, not %d", len(to))
	}
	return to[0], nil
}

// complete makes the message one that can be submitted.
func (l *letter) complete(s *submitter, to smtp.Address) []byte {
	var w message.HeaderWriter
	l.remove("From")
	w.Field("From")
	w.Add("<" + s.from.String() + ">")
	if !l.has("To") {
		w.Field("To")
		w.Add("<" + to.String() + ">")
	}
	if s.RequireTLS == "no" && !l.has("TLS-Required") {
		w.Field("TLS-Required")
		w.Add("No")
	}
	b := append(w.Bytes(), bytes.Join(l.fields, nil)...)
	return append(append(b, '\r', '\n'), l.body...)
}
