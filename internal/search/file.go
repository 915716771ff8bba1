package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

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
	h := message.ParseHeader(m.digest.Fields(), message.Limits{})
	return headerMatches(&h, n)
}

// headerMatches reports whether a field of the name has the text in its decoded value.
func headerMatches(h *message.Header, n *node) verdict {
	for f := range h.All(string(n.field)) {
		if len(n.folded) == 0 {
			return yes
		}
		text := message.DecodeText(f.Unfolded())
		if bytes.Contains(message.AppendFold(nil, []byte(text)), n.folded) {
			return yes
		}
	}
	return no
}

// read opens the file of a message that the digest did not decide on.
func (r *run) read(pos int) (verdict, error) {
	e := r.index.At(pos)
	m := subject{pos: pos, entry: e, flags: r.index.Flags(pos)}
	c, err := r.mail.OpenContent(r.ctx, e.ContentID)
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
		r.opts.Unreadable(pos, err)
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
		if err := s.part(src, p, p == tree); err != nil {
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

// part reads the header of a part and, if it is text, its body.
func (s *scan) part(src io.ReaderAt, p *message.Part, root bool) error {
	// The header of a message inside is text of the body of the outer one.
	inner := p.Envelope != nil && !root
	if s.anyText || inner {
		size := p.BodyStart - p.HeaderStart
		h, err := message.ReadHeader(io.NewSectionReader(src, p.HeaderStart, size), size, message.Limits{})
		if err != nil {
			return err
		}
		to := s.fields
		if inner {
			to = s.body
		}
		writeFields(to, &h)
	}
	if p.Parts != nil || p.Message != nil || p.Type != "TEXT" && p.Type != "MESSAGE" {
		return nil
	}
	_, err := s.body.ReadFrom(p.TextReader(src))
	return err
}

// writeFields writes the decoded fields as text, and lines that are no fields as they
// are.
func writeFields(m *message.Matcher, h *message.Header) {
	var buf []byte
	pos := 0
	for _, f := range h.Fields {
		buf = append(buf[:0], h.Raw[pos:f.Start]...)
		buf = append(append(buf, f.Name...), ": "...)
		buf = append(buf, message.DecodeText(f.Unfolded())...)
		m.Write(append(buf, '\n'))
		pos = f.End
	}
	m.Write(h.Raw[pos:])
	m.End()
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
