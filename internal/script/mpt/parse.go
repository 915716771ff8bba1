package mpt

import (
	"errors"
	"fmt"
	"strings"
)

// A File is a parsed conversation.
type File struct {
	Name  string // For messages.
	turns []turn
}

// A turn is what is sent over a connection, and the answer to it.
type turn struct {
	session string
	reinit  bool   // Over a new connection.
	send    []line // Without line ends.
	want    []line // Regular expressions.
}

type line struct {
	n    int // Counted from 1.
	text string
}

// defaultSession is the name of the connection where a file names none.
const defaultSession = "1"

// An Edit is a change of a file before it is parsed, with the reason.
type Edit struct {
	Old string // Must occur in the file, all occurrences are replaced.
	New string
	Why string
}

// Parse parses the text of a file, after changes. Errors have name and line.
func Parse(name, text string, edits ...Edit) (*File, error) {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	for _, e := range edits {
		if e.Why == "" {
			return nil, fmt.Errorf("%s: edit of %q without reason", name, e.Old)
		}
		if !strings.Contains(text, e.Old) {
			return nil, fmt.Errorf("%s: edit of what is not there: %q", name, e.Old)
		}
		text = strings.ReplaceAll(text, e.Old, e.New)
	}
	p := parser{file: &File{Name: name}, cur: turn{session: defaultSession}}
	for i, s := range strings.Split(text, "\n") {
		if err := p.line(line{i + 1, s}); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	if p.sub {
		return nil, fmt.Errorf("%s: SUB { is not closed", name)
	}
	p.flush()
	return p.file, nil
}

type parser struct {
	file *File
	cur  turn
	sub  bool
}

// flush ends the current turn.
func (p *parser) flush() {
	if len(p.cur.send)+len(p.cur.want) > 0 || p.cur.reinit {
		p.file.turns = append(p.file.turns, p.cur)
	}
	p.cur = turn{session: p.cur.session}
}

func (p *parser) line(l line) error {
	text := strings.TrimRight(l.text, " \t")
	word, _, _ := strings.Cut(text, " ")
	switch {
	case text == "" || strings.HasPrefix(text, "#"):
	case strings.HasPrefix(text, "C:"):
		if p.sub {
			return errors.New("a line to send within SUB")
		}
		if len(p.cur.want) > 0 {
			p.flush()
		}
		p.cur.send = append(p.cur.send, line{l.n, argument(l.text)})
	case strings.HasPrefix(text, "S:"):
		p.cur.want = append(p.cur.want, line{l.n, argument(l.text)})
	case word == "SUB" && strings.HasSuffix(text, "{") && !p.sub:
		p.sub = true // The order of untagged responses is free anyway.
	case text == "}" && p.sub:
		p.sub = false
	case strings.HasPrefix(text, "SESSION:"):
		p.flush()
		p.cur.session = strings.TrimSpace(strings.TrimPrefix(text, "SESSION:"))
	case text == "REINIT":
		p.flush()
		p.cur.reinit = true
	case word == "WAIT", word == "AWAIT", word == "TIMER", word == "LOG":
	default:
		return fmt.Errorf("unknown line %q", l.text)
	}
	return nil
}

// argument returns what is after "C:" or "S:" and one space. Further spaces count:
// they may be octets of a literal.
func argument(s string) string {
	_, s, _ = strings.Cut(s, ":")
	return strings.TrimPrefix(s, " ")
}
