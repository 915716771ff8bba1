package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"mox/internal/search/textindex"
	"mox/message"
	"mox/store"
)

// needle is a text that BODY or TEXT looks for.
type needle struct {
	text   string
	header bool // TEXT: header fields, also those of MIME, count too.
}

// fileFacts is what was learned from the file of a message.
type fileFacts struct {
	header  message.Header // Of the message.
	needles []verdict
}

// evalHeader evaluates HEADER from the digest, or from the file if the digest does not
// have the field.
func (m *subject) evalHeader(n *node) verdict {
	switch {
	case m.file != nil:
		return headerMatches(&m.file.header, n)
	case m.digest == nil || !m.digest.HasField(n.field):
		return unknown
	}
	// Most of the header is of other fields, and in most messages a look at the lines is
	// enough: what is not in them as they are is not in the decoded value either.
	names := [][]byte{n.field}
	var lines, folded [512]byte
	if text := m.digest.FilterFields(lines[:0], names, false); !isMIME(n.field) && isPlain(text) && !bytes.Contains(message.AppendFold(folded[:0], text), n.folded) {
		return no
	}
	h := message.ParseHeader(m.digest.FilterFields(nil, names, false), message.Limits{})
	return headerMatches(&h, n)
}

// isMIME reports whether a field may have parameters, which can be encoded in many ways.
func isMIME(field []byte) bool {
	return len(field) > len("Content-") && strings.EqualFold(string(field[:len("Content-")]), "Content-")
}

// isPlain reports whether lines of a header stand for themselves: none is continued, and
// nothing in them may be encoded.
func isPlain(lines []byte) bool {
	for i, c := range lines {
		switch {
		case c >= utf8.RuneSelf, c < ' ' && c != '\t' && c != '\r' && c != '\n', c == '?' && i > 0 && lines[i-1] == '=':
			return false
		case c == '\r' && (i+1 == len(lines) || lines[i+1] != '\n'):
			return false
		case (c == ' ' || c == '\t') && i > 0 && (lines[i-1] == '\n' || lines[i-1] == '\r'):
			return false
		}
	}
	return true
}

// headerMatches reports whether a field of the name has the text in its decoded value.
func headerMatches(h *message.Header, n *node) verdict {
	for f := range h.All(string(n.field)) {
		if len(n.folded) == 0 {
			return yes
		}
		value := f.Unfolded()
		if foldContains(message.DecodeText(value), n.folded) {
			return yes
		}
		// RFC 2231, which only fields of MIME have.
		if isMIME(n.field) {
			_, params := message.ParseParams(value)
			for _, p := range params {
				if foldContains(p.Value, n.folded) {
					return yes
				}
			}
		}
	}
	return no
}

func foldContains(text string, folded []byte) bool {
	return bytes.Contains(message.AppendFold(nil, []byte(text)), folded)
}

// read opens the file of a message that the digest did not decide on.
func (r *run) read(cand *candidate) (verdict, error) {
	m := r.subject(cand)
	c, err := r.mail.OpenContent(r.ctx, m.entry.ContentID)
	if err == nil {
		var v verdict
		v, err = r.readContent(&m, c)
		if cerr := c.Close(); err == nil && cerr == nil {
			return v, nil
		}
	}
	switch {
	case r.ctx.Err() != nil:
		return no, r.ctx.Err()
	case errors.Is(err, store.ErrClosed):
		return no, err
	case errors.Is(err, store.ErrNoMessage): // Gone: nothing is wrong.
	case r.opts.Unreadable != nil:
		r.opts.Unreadable(cand.pos, err)
	}
	return no, nil
}

// readContent evaluates with as much of the file as it takes: the header, then part by
// part.
func (r *run) readContent(m *subject, c *store.Content) (verdict, error) {
	src := contextReader{r.ctx, c}
	m.digest = c.Digest()
	facts := &fileFacts{needles: make([]verdict, len(r.needles))}
	var err error
	if facts.header, err = message.ReadHeader(src, c.Size(), message.Limits{}); err != nil {
		return no, err
	}
	m.file = facts
	if v := m.eval(&r.root); v != unknown {
		return v, nil
	}
	tree, err := m.digest.Tree()
	if err != nil {
		return no, fmt.Errorf("part tree of message: %w", err)
	}
	s := newScan(r.needles, facts.needles)
	for p := range tree.Walk() {
		if err := textindex.Each(src, p, p == tree, s.anyText, s); err != nil {
			return no, err
		}
		s.update()
		if v := m.eval(&r.root); v != unknown {
			return v, nil
		}
	}
	s.end()
	return m.eval(&r.root), nil
}

// contextReader reads until its context is done.
type contextReader struct {
	ctx context.Context
	r   io.ReaderAt
}

func (c contextReader) ReadAt(p []byte, off int64) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.ReadAt(p, off)
}

// scan looks for all needles in one pass over a message.
type scan struct {
	needles []needle
	found   []verdict
	body    *message.Matcher // All needles, in text of the body.
	fields  *message.Matcher // All needles, in header fields, where only some count.
	anyText bool             // Whether one of them counts there.
}

func newScan(needles []needle, found []verdict) *scan {
	s := &scan{needles: needles, found: found}
	texts := make([]string, len(needles))
	for i, n := range needles {
		texts[i] = n.text
		s.anyText = s.anyText || n.header
	}
	s.body = message.NewMatcher(texts...)
	if s.anyText {
		s.fields = message.NewMatcher(texts...)
	}
	return s
}

// Fields implements textindex.Sink.
func (s *scan) Fields(text []byte, body bool) error {
	m := s.fields
	if body {
		m = s.body
	}
	m.Write(text)
	m.End()
	return nil
}

// Body implements textindex.Sink.
func (s *scan) Body(r io.Reader) error {
	_, err := s.body.ReadFrom(r)
	return err
}

// update notes what has been found so far.
func (s *scan) update() {
	for i, n := range s.needles {
		if s.body.Found(i) || n.header && s.fields.Found(i) {
			s.found[i] = yes
		}
	}
}

// end notes that what has not been found is not there.
func (s *scan) end() {
	for i, v := range s.found {
		if v == unknown {
			s.found[i] = no
		}
	}
}
