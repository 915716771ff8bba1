package mpt

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// SMTP runs a file against an SMTP server, over one connection that is closed at the
// end.
func SMTP(ctx context.Context, f *File, opts Options) (rerr error) {
	c, err := dial(ctx, opts, defaultSession)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, c.Close()) }()
	for _, t := range f.turns {
		if t.reinit || t.session != defaultSession {
			return fmt.Errorf("%s: SMTP files have one connection", f.Name)
		}
		if err := c.send(t.send); err != nil && !isClosed(err) {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		var got []*response
		for want := t.want; len(want) > 0; {
			lines, err := c.readReply()
			for _, s := range lines {
				got = append(got, &response{raw: s})
			}
			if err == nil {
				want, err = compareReply(want, lines)
			}
			if err != nil {
				return report(f.Name, t, got, err)
			}
		}
	}
	return nil
}

// maxReplyLines bounds a reply.
const maxReplyLines = 1000

// readReply reads the lines of a reply. RFC 5321 §4.2.1
func (c *conn) readReply() ([]string, error) {
	var l []string
	for len(l) < maxReplyLines {
		s, err := c.readLine()
		if err != nil {
			return l, err
		}
		l = append(l, s)
		if len(s) < 4 || s[3] != '-' {
			return l, nil
		}
	}
	return l, errors.New("reply has too many lines")
}

var replyWant = regexp.MustCompile(`^(\d{3})(-?)(.*)$`)

// compareReply compares a reply with the lines at the start of want, by code, and
// the keywords in further lines. It returns the lines after them.
func compareReply(want []line, got []string) ([]line, error) {
	m := replyWant.FindStringSubmatch(want[0].text)
	if m == nil {
		return nil, fmt.Errorf("line %d: not a reply: %q", want[0].n, want[0].text)
	}
	code, more := m[1], m[2] == "-"
	if !strings.HasPrefix(got[0], code) {
		return nil, fmt.Errorf("line %d: expected code %s", want[0].n, code)
	}
	want = want[1:]
	// A first line "250.*" can be of one line or more.
	more = more || len(want) > 0 && strings.HasPrefix(want[0].text, code+"-")
	for more && len(want) > 0 {
		w := want[0]
		want = want[1:]
		m := replyWant.FindStringSubmatch(w.text)
		if m == nil || m[1] != code {
			return nil, fmt.Errorf("line %d: not a line of the same reply: %q", w.n, w.text)
		}
		if !hasKeyword(got, strings.TrimSpace(m[3])) {
			return nil, fmt.Errorf("line %d: no keyword %q", w.n, m[3])
		}
		more = m[2] == "-"
	}
	return want, nil
}

// hasKeyword reports whether lines of an EHLO reply have a keyword with at least
// some parameters.
func hasKeyword(lines []string, keyword string) bool {
	want := strings.Fields(strings.ToUpper(keyword))
	return slices.ContainsFunc(lines, func(s string) bool {
		have := strings.Fields(strings.ToUpper(s[min(4, len(s)):]))
		if len(have) == 0 || len(want) == 0 || have[0] != want[0] {
			return len(want) == 0
		}
		for _, w := range want[1:] {
			if !slices.Contains(have[1:], w) {
				return false
			}
		}
		return true
	})
}
