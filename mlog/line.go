package mlog

import (
	"log/slog"
	"strings"
)

// A line is what one log call writes.
type line struct {
	level  slog.Level
	msg    string
	err    string
	hasErr bool
	pkgs   []string
	cid    string
	fields []field // The others, in order.
}

// split takes the error and the connection id out of fields.
func (l *line) split(fields []field) {
	for _, f := range fields {
		switch {
		case f.err && !l.hasErr:
			l.err, l.hasErr = f.value, true
		case f.key == CidKey:
			l.cid = f.value // The last one: a logger may be given a more specific id.
		default:
			l.fields = append(l.fields, f)
		}
	}
}

// pkg returns the most specific package of the line.
func (l *line) pkg() string {
	if len(l.pkgs) == 0 {
		return ""
	}
	return l.pkgs[len(l.pkgs)-1]
}

func (l *line) appendLogfmt(b []byte) []byte {
	b = append(b, "l="...)
	b = append(b, LevelName(l.level)...)
	b = append(b, " m="...)
	b = append(b, quote(l.msg)...)
	if l.hasErr {
		b = appendPair(b, ErrKey, l.err)
	}
	for _, p := range l.pkgs {
		b = appendPair(b, PkgKey, p)
	}
	if l.cid != "" {
		b = appendPair(b, CidKey, l.cid)
	}
	for _, f := range l.fields {
		b = appendPair(b, f.key, f.value)
	}
	return append(b, '\n')
}

func appendPair(b []byte, k, v string) []byte {
	b = append(b, ' ')
	b = append(b, k...)
	b = append(b, '=')
	return append(b, quoteIfNeeded(v)...)
}

func (l *line) appendCLI(b []byte) []byte {
	if l.level != LevelInfo && l.level != LevelPrint {
		b = append(b, LevelName(l.level)...)
		b = append(b, ": "...)
	}
	b = append(b, oneLine(l.msg)...)
	if l.hasErr {
		b = append(b, ": "...)
		b = append(b, oneLine(l.err)...)
	}
	if l.cid != "" {
		b = append(b, "; cid: "...)
		b = append(b, l.cid...)
	}
	for _, f := range l.fields {
		b = append(b, "; "...)
		b = append(b, f.key...)
		b = append(b, ": "...)
		b = append(b, oneLine(f.value)...)
	}
	return append(b, '\n')
}

// oneLine makes control characters, which could move the cursor of a terminal or
// look like another line, visible.
func oneLine(s string) string {
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	q := quote(s)
	return q[1 : len(q)-1]
}

func isControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029
}
