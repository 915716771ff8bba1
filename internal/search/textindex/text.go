package textindex

import (
	"context"
	"errors"
	"fmt"
	"io"

	"mox/internal/fts"
	"mox/message"
	"mox/store"
)

// A Sink takes the texts of a message, in UTF-8. Nothing may match across two of them.
type Sink interface {
	// Fields takes a header. Body says that it is part of the body, because it is of a
	// message inside; others only count for TEXT.
	Fields(text []byte, body bool) error
	// Body reads text of the body.
	Body(r io.Reader) error
}

// Each passes the texts of one part of a message on: its header if that is wanted or part
// of the body, the name of an attachment, and its text. Text is decoded, and of HTML
// what is shown. RFC 9051 §6.4.4
func Each(src io.ReaderAt, p *message.Part, root, fields bool, to Sink) error {
	// The header of a message inside is text of the body of the outer one.
	inner := p.Envelope != nil && !root
	if fields || inner {
		size := p.BodyStart - p.HeaderStart
		h, err := message.ReadHeader(io.NewSectionReader(src, p.HeaderStart, size), size, message.Limits{})
		if err != nil {
			return err
		}
		if err := to.Fields(fieldsText(&h), inner); err != nil {
			return err
		}
	}
	if name := p.Filename(); name != "" {
		if err := to.Fields([]byte(name), true); err != nil {
			return err
		}
	}
	if p.Parts != nil || p.Message != nil || p.Type != "TEXT" && p.Type != "MESSAGE" {
		return nil
	}
	return to.Body(p.TextReader(src))
}

// fieldsText returns the decoded fields as text, and lines that are no fields as they are.
func fieldsText(h *message.Header) (text []byte) {
	pos := 0
	for _, f := range h.Fields {
		text = append(text, h.Raw[pos:f.Start]...)
		text = append(append(text, f.Name...), ": "...)
		text = append(append(text, message.DecodeText(f.Unfolded())...), '\n')
		pos = f.End
	}
	return append(text, h.Raw[pos:]...)
}

// errTooLong: there is more text than an index keeps.
var errTooLong = errors.New("message has too much text for the index")

// read returns the text of a message for an index.
func read(ctx context.Context, c *store.Content) (fts.Text, error) {
	var b builder
	tree, err := c.Digest().Tree()
	if err != nil {
		return b.text, fmt.Errorf("part tree of message: %w", err)
	}
	for p := range tree.Walk() {
		if err := ctx.Err(); err != nil {
			return b.text, err
		}
		if err := Each(c, p, p == tree, true, &b); err != nil {
			return b.text, err
		}
	}
	return b.text, nil
}

// builder folds and joins texts.
type builder struct{ text fts.Text }

func (b *builder) Fields(text []byte, body bool) error {
	if body {
		return b.add(&b.text.Body, text)
	}
	return b.add(&b.text.Fields, text)
}

func (b *builder) Body(r io.Reader) error {
	text, err := io.ReadAll(io.LimitReader(r, fts.MaxText+1))
	if err != nil {
		return err
	}
	return b.add(&b.text.Body, text)
}

func (b *builder) add(to *[]byte, text []byte) error {
	if len(b.text.Body)+len(b.text.Fields)+len(text) >= fts.MaxText {
		return errTooLong
	}
	if len(*to) > 0 {
		*to = append(*to, fts.Separator)
	}
	*to = message.AppendFold(*to, text)
	return nil
}
