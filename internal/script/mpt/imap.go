package mpt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
)

// IMAP runs files against an IMAP server. Sessions stay open from one file to the
// next.
type IMAP struct {
	opts  Options
	conns map[string]*conn // By session.
}

// NewIMAP returns a runner without connections.
func NewIMAP(opts Options) *IMAP {
	return &IMAP{opts, map[string]*conn{}}
}

// Close closes all connections.
func (m *IMAP) Close() error {
	var err error
	for _, c := range m.conns {
		err = errors.Join(err, c.Close())
	}
	m.conns = map[string]*conn{}
	return err
}

// Run runs a file. The first difference is the error, with the lines that were
// expected and the responses that came.
func (m *IMAP) Run(ctx context.Context, f *File) error {
	for _, t := range f.turns {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := m.turn(ctx, f.Name, t); err != nil {
			return err
		}
	}
	return nil
}

// turn sends what a turn has to send and compares the answer.
func (m *IMAP) turn(ctx context.Context, name string, t turn) error {
	if old := m.conns[t.session]; old != nil && t.reinit {
		if err := old.Close(); err != nil {
			return err
		}
		delete(m.conns, t.session)
	}
	c := m.conns[t.session]
	if c == nil {
		// A file that starts with an answer wants the greeting for itself.
		var err error
		if c, err = m.open(ctx, t.session, len(t.send) > 0 || len(t.want) == 0); err != nil {
			return fmt.Errorf("%s: session %s: %w", name, t.session, err)
		}
	}
	if err := c.send(c.commands(t.send, m.opts.Delimiter)); err != nil && !isClosed(err) {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(t.want) == 0 {
		return nil
	}
	wants := parseWants(t.want, c.tags)
	got, err := c.responses(wants)
	if err == nil {
		err = compare(wants, got, m.opts.Delimiter)
	}
	if err != nil {
		return report(name, t, got, err)
	}
	return nil
}

// commands notes the tags of commands among lines, of which others are the content of
// literals, and changes the delimiter in their mailbox names.
func (c *conn) commands(send []line, delim byte) []line {
	lines := slices.Clone(send)
	for i, l := range lines {
		if c.literal > 0 {
			c.literal -= len(l.text) + len("\r\n")
			if c.literal >= 0 {
				continue
			}
			// The line goes on with the command, possibly with another literal.
			c.literal = 0
		} else {
			word, _, _ := strings.Cut(l.text, " ")
			c.tags[word] = true
			if delim != 0 {
				lines[i].text = delimitCommand(l.text, delim)
			}
		}
		if n, ok := literalSize(strings.Replace(l.text, "+}", "}", 1)); ok {
			c.literal = n
		}
	}
	return lines
}

// open connects. With login it reads the greeting and runs the login of the options.
func (m *IMAP) open(ctx context.Context, session string, login bool) (*conn, error) {
	c, err := dial(ctx, m.opts, session)
	if err != nil {
		return nil, err
	}
	m.conns[session] = c
	if !login {
		return c, nil
	}
	raw, err := c.readResponse()
	if err != nil {
		return nil, fmt.Errorf("greeting: %w", err)
	}
	if r := parseResponse(raw); r.kind != "OK" && r.kind != "PREAUTH" {
		return nil, fmt.Errorf("greeting %q", raw)
	}
	if m.opts.Login == nil {
		return c, nil
	}
	for _, t := range m.opts.Login.turns {
		t.session = session
		if err := m.turn(ctx, m.opts.Login.Name, t); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// responses reads until all that ends the answer has come: the tagged responses and
// the continuation request that are expected; without any, as many responses as are
// expected; or the end of the connection.
func (c *conn) responses(wants []*want) ([]*response, error) {
	ends, counted := 0, 0
	for _, w := range wants {
		if w.tag != "*" {
			ends++
		} else if w.kind != "RECENT" {
			counted++
		}
	}
	var l []*response
	for ends > 0 || counted > 0 {
		raw, err := c.readResponse()
		if isClosed(err) {
			return append(l, &response{raw: "(connection closed)", tag: eof}), nil
		}
		if err != nil {
			return l, err
		}
		r := parseResponse(raw)
		l = append(l, r)
		switch {
		case r.tag != "*":
			ends--
			if ends == 0 {
				counted = 0
			}
		case ends == 0:
			counted--
		}
	}
	return l, nil
}

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// notCompared are responses, by kind or response code, that need not come when they
// are expected: they are of extensions that are not tested here, or gone since RFC
// 9051.
var notCompared = []string{"RECENT", "MAILBOXID", "HIGHESTMODSEQ"}

// alwaysAllowed are responses that may come without being expected: LIST of a mailbox
// that was created or selected, RFC 9051 §6.3.4, what a SELECT tells beyond RFC 3501,
// and where moved messages are.
var alwaysAllowed = append([]string{"FLAGS", "PERMANENTFLAGS", "CLOSED", "COPYUID", "CAPABILITY", "LIST", "URLMECH"}, notCompared...)

// compare compares what came with what was expected.
func compare(wants []*want, got []*response, delim byte) error {
	wants = slices.DeleteFunc(slices.Clone(wants), func(w *want) bool {
		return w.tag == "*" && (slices.Contains(notCompared, w.kind) || slices.Contains(notCompared, codeName(w.code)))
	})
	if err := compareExpunged(wants, got); err != nil {
		return err
	}
	got = mergeFetches(got)
	for _, w := range wants {
		if w.kind == "EXPUNGE" {
			continue
		}
		found := false
		for _, r := range got {
			if r.used {
				continue
			}
			ok, err := w.matches(r, delim)
			if err != nil {
				return fmt.Errorf("line %d: %w", w.lines[0].n, err)
			}
			if ok {
				r.used, found = true, true
				break
			}
		}
		if !found {
			return fmt.Errorf("line %d: expected but did not come: %s", w.lines[0].n, w.source())
		}
	}
	lists := slices.ContainsFunc(wants, func(w *want) bool { return w.kind == "LIST" })
	for _, r := range got {
		allowed := slices.Contains(alwaysAllowed, r.kind) && !(lists && r.kind == "LIST") || slices.Contains(alwaysAllowed, codeName(r.code))
		if !r.used && r.tag != eof && !allowed {
			return fmt.Errorf("came but was not expected: %s", r.raw)
		}
	}
	return nil
}

// compareExpunged compares which messages were expunged, in whatever order that was
// told, and marks the responses as used.
func compareExpunged(wants []*want, got []*response) error {
	var wanted, had []string
	for _, w := range wants {
		if w.kind == "EXPUNGE" {
			wanted = append(wanted, w.num)
		}
	}
	for _, r := range got {
		if r.kind == "EXPUNGE" {
			had = append(had, r.num)
			r.used = true
		}
	}
	a, err := expunged(wanted)
	if err != nil {
		return err
	}
	b, err := expunged(had)
	if err != nil {
		return err
	}
	if a != b {
		return fmt.Errorf("messages expunged: %s, expected %s", b, a)
	}
	return nil
}

// report returns an error with the whole turn.
func report(name string, t turn, got []*response, err error) error {
	var b strings.Builder
	at := 0
	for _, l := range t.send {
		fmt.Fprintf(&b, "  C: %s\n", l.text)
		at = l.n
	}
	for _, l := range t.want {
		fmt.Fprintf(&b, "- S: %s\n", l.text)
		at = l.n
	}
	for _, r := range got {
		fmt.Fprintf(&b, "+ S: %s\n", r.raw)
	}
	return fmt.Errorf("%s:%d: session %s: %w\n%s", name, at, t.session, err, b.String())
}
