package imapclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"mox/imap"
	"mox/imap/wire"
)

// A NumKind says what the numbers of a command are.
type NumKind uint8

// Kinds of numbers.
const (
	Seq NumKind = iota // Message sequence numbers.
	UID                // UIDs: the command is sent as UID COPY, UID FETCH ...
)

func (k NumKind) command(name string) string {
	if k == UID {
		return "UID " + name
	}
	return name
}

// FetchOptions are the options of [Client.Fetch]. All may be zero.
type FetchOptions struct {
	ChangedSince uint64             // RFC 7162 §3.1.4.1
	Vanished     bool               // RFC 7162 §3.2.6
	Partial      *imap.PartialRange // RFC 9394 §3.3
	Gmail        bool               // X-GM-MSGID and X-GM-LABELS, too, which Gmail has.

	// Each, if not nil, is called with each FETCH response, instead of keeping them.
	Each func(*FetchData) error

	// Literal, if not nil, is called with each literal of a section, which is then not kept
	// in memory. What it does not read is skipped. An error ends the use of the connection.
	Literal func(*FetchData, *FetchSection, io.Reader) error
}

// Fetch asks for data of messages. It returns the FETCH responses that came, among which can
// be unsolicited ones. RFC 9051 §6.4.5
func (c *Client) Fetch(ctx context.Context, kind NumKind, set imap.NumSet, items []imap.FetchItem, opts FetchOptions) ([]*FetchData, *Response, error) {
	c.literal = opts.Literal
	defer func() { c.literal = nil }()
	var kept Response
	each := func(u Untagged) error {
		if f, ok := u.(*FetchData); ok && opts.Each != nil {
			return opts.Each(f)
		}
		if len(kept.Untagged) >= maxUntagged {
			return fmt.Errorf("more than %d responses to a command", maxUntagged)
		}
		kept.Untagged = append(kept.Untagged, u)
		return nil
	}
	resp, err := c.doEach(ctx, kind.command("FETCH"), func(e *wire.Encoder) {
		e.SP()
		e.NumSet(set)
		e.SP()
		encodeFetchItems(e, items, opts.Gmail)
		opts.encode(e)
	}, each)
	resp.Untagged = kept.Untagged
	return All[*FetchData](resp), resp, err
}

func encodeFetchItems(e *wire.Encoder, items []imap.FetchItem, gmail bool) {
	e.Open()
	for _, item := range items {
		e.Item()
		e.Raw(item.String())
	}
	if gmail {
		e.Item()
		e.Raw("X-GM-MSGID X-GM-LABELS")
	}
	e.Close()
}

func (o *FetchOptions) encode(e *wire.Encoder) {
	if o.ChangedSince == 0 && !o.Vanished && o.Partial == nil {
		return
	}
	e.SP()
	e.Open()
	if o.ChangedSince > 0 {
		e.Name("CHANGEDSINCE")
		e.Number(o.ChangedSince)
	}
	if o.Vanished {
		e.Item()
		e.Raw("VANISHED")
	}
	if p := o.Partial; p != nil {
		e.Name("PARTIAL")
		e.Raw(partialString(p))
	}
	e.Close()
}

func partialString(p *imap.PartialRange) string {
	return strconv.FormatInt(p.First, 10) + ":" + strconv.FormatInt(p.Last, 10)
}

// RawHandler takes the response to a command without parsing it. See [Client.FetchRaw].
type RawHandler struct {
	// Line is called with each line without CRLF, also with those that go on after a literal.
	// It is valid only during the call. May be nil.
	Line func(line []byte) error

	// Literal is called with each literal. What it does not read is skipped. May be nil, to
	// skip them all.
	Literal func(size int64, r io.Reader) error
}

// FetchRaw sends a command line, such as "UID FETCH 1:* (FLAGS)", and gives the untagged
// responses to h, as fast as possible. It is for benchmarks: nothing is checked but the
// tagged response, and the state of the client does not follow. Other errors of h end the use
// of the connection.
func (c *Client) FetchRaw(ctx context.Context, commandLine string, h RawHandler) (Status, error) {
	tag, err := c.Send(ctx, "%s", commandLine)
	if err != nil {
		return Status{}, err
	}
	var st Status
	err = c.run(ctx, func() error {
		st, err = c.readRaw(tag, h)
		return err
	})
	return st, err
}

func (c *Client) readRaw(tag string, h RawHandler) (Status, error) {
	prefix := []byte(tag + " ")
	for cont := false; ; {
		line, err := c.r.ReadLine(c.opts.MaxLine)
		if err != nil {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return Status{}, fmt.Errorf("reading response: %w", err)
		}
		if !cont && bytes.HasPrefix(line, prefix) {
			return rawStatus(line[len(prefix):])
		}
		size, isLiteral := wire.LiteralSize(line)
		isLiteral = isLiteral && (cont || !hasText(line))
		if h.Line != nil {
			if err := h.Line(line); err != nil {
				return Status{}, err
			}
		}
		if isLiteral {
			if err := c.rawLiteral(size, h); err != nil {
				return Status{}, err
			}
		}
		cont = isLiteral
	}
}

// rawLiteral reads a literal.
func (c *Client) rawLiteral(size int64, h RawHandler) error {
	if h.Literal != nil {
		r := &io.LimitedReader{R: c.r, N: size}
		if err := h.Literal(size, r); err != nil {
			return err
		}
		size = r.N
	}
	if err := c.r.Discard(size); err != nil {
		return fmt.Errorf("reading literal: %w", err)
	}
	return nil
}

// hasText reports whether a line starts a response that ends in text for humans, which may
// look like a literal.
func hasText(line []byte) bool {
	for _, prefix := range [...]string{"+", "* OK ", "* NO ", "* BAD ", "* BYE ", "* PREAUTH "} {
		if len(line) >= len(prefix) && strings.EqualFold(string(line[:len(prefix)]), prefix) {
			return true
		}
	}
	return false
}

// rawStatus parses a tagged response roughly.
func rawStatus(b []byte) (Status, error) {
	typ, text, _ := bytes.Cut(b, []byte(" "))
	st := Status{Type: strings.ToUpper(string(typ)), Text: string(text)}
	if err := st.err(); err != nil {
		return st, &refusedError{err}
	}
	if st.Type != "OK" {
		return st, errors.New("unknown tagged response")
	}
	return st, nil
}
