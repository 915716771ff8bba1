package imapserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"mox/imap"
	"mox/message"
	"mox/store"
)

// section is data of a message that is to be sent: size bytes from r.
type section struct {
	r      io.Reader
	size   int64
	binary bool // As literal8. RFC 3516 §4.3
}

// sectionItem writes an item with data from the file. What does not exist, or cannot be
// read, is NIL.
func (m *fetching) sectionItem(it *fetchItem) {
	enc := m.c.enc
	sec, err := m.section(it)
	if errors.Is(err, message.ErrUnknownEncoding) {
		m.unknownCTE = true // And nothing is sent for it. RFC 3516 §4.3
		return
	}
	enc.Item()
	enc.Raw(it.name)
	if err != nil {
		if !errors.Is(err, message.ErrNoSection) {
			m.fail(err)
		}
		enc.NIL()
		return
	}
	enc.Literal(sec.size, sec.binary, sec.r)
}

// open opens the file, once.
func (m *fetching) open() (*store.Content, error) {
	if m.opened {
		if m.content == nil {
			return nil, m.err
		}
		return m.content, nil
	}
	m.opened = true
	c := m.content
	if m.content = nil; c == nil {
		var err error
		if c, err = m.account.OpenContent(m.ctx, m.ContentID); err != nil {
			m.fail(err)
			return nil, err
		}
	}
	// A file that was cut off is found before its size has been announced.
	var last [1]byte
	if n, err := c.ReadAt(last[:], c.Size()-1); n == 0 && c.Size() > 0 {
		m.fail(err)
		_ = c.Close()
		return nil, fmt.Errorf("read end of message: %w", err)
	}
	m.content, m.digest = c, c.Digest()
	return c, nil
}

// section returns the data of an item.
func (m *fetching) section(it *fetchItem) (section, error) {
	c, err := m.open()
	if err != nil {
		return section{}, err
	}
	if it.Attr == imap.FetchBinary {
		return m.binary(c, it)
	}
	if it.Section.Spec == imap.SpecHeaderFields || it.Section.Spec == imap.SpecHeaderFieldsNot {
		return m.headerFields(c, it)
	}
	r, err := m.sectionRange(c, it)
	if err != nil {
		return section{}, err
	}
	if r.MIMEOnly {
		return m.filtered(c, r, it, message.FilterMIME)
	}
	return m.ranged(c, r, it.Partial), nil
}

// sectionRange returns which bytes of the message a section is.
func (m *fetching) sectionRange(c *store.Content, it *fetchItem) (message.Range, error) {
	spec := message.SectionAll
	switch {
	case it.Attr == imap.FetchRFC822Header:
		spec = message.SectionHeader
	case it.Attr == imap.FetchRFC822Text:
		spec = message.SectionText
	case it.Section.Spec == imap.SpecHeader, it.Section.Spec == imap.SpecHeaderFields, it.Section.Spec == imap.SpecHeaderFieldsNot:
		spec = message.SectionHeader
	case it.Section.Spec == imap.SpecText:
		spec = message.SectionText
	case it.Section.Spec == imap.SpecMIME:
		spec = message.SectionMIME
	}
	if len(it.Section.Part) > 0 {
		if _, err := m.findPart(nil); err != nil {
			return message.Range{}, err
		}
		return m.part.Section(it.Section.Part, spec)
	}
	// The message itself needs no part tree.
	header := min(m.digest.HeaderSize(), c.Size())
	switch spec {
	case message.SectionHeader:
		return message.Range{End: header}, nil
	case message.SectionText:
		return message.Range{Start: header, End: c.Size()}, nil
	}
	return message.Range{End: c.Size()}, nil
}

// ranged returns a range of the file, or a part of it, without reading over what comes
// before.
func (m *fetching) ranged(c *store.Content, r message.Range, partial *imap.Partial) section {
	start, size := r.Start, r.Len()
	if partial != nil {
		from, to := partial.Clip(size)
		start, size = start+from, to-from
	}
	m.body.reset(c, start, size)
	return section{r: &m.body, size: size}
}

// headerFields returns the wanted, or the other, fields of a header.
func (m *fetching) headerFields(c *store.Content, it *fetchItem) (section, error) {
	r, err := m.sectionRange(c, it)
	if err != nil {
		return section{}, err
	}
	not := it.Section.Spec == imap.SpecHeaderFieldsNot
	return m.filtered(c, r, it, func(dst, raw []byte) []byte {
		return message.FilterFields(dst, raw, it.fields, not)
	})
}

// filtered returns what filter leaves of a header. Of a header beyond the limit of
// package message, only the beginning counts.
func (m *fetching) filtered(c *store.Content, r message.Range, it *fetchItem, filter func(dst, raw []byte) []byte) (section, error) {
	raw, err := readHeader(c, r)
	if err != nil {
		return section{}, err
	}
	b := filter(nil, raw)
	if it.Partial != nil {
		start, end := it.Partial.Clip(int64(len(b)))
		b = b[start:end]
	}
	return section{r: nulReader{bytes.NewReader(b)}, size: int64(len(b))}, nil
}

func readHeader(c *store.Content, r message.Range) ([]byte, error) {
	raw := make([]byte, min(r.Len(), message.MaxHeader))
	if _, err := io.ReadFull(io.NewSectionReader(c, r.Start, int64(len(raw))), raw); err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return raw, nil
}

// binary returns a part without its transfer encoding. Without a part number, it is the
// message with its body decoded, and without the header field that says how it was
// encoded. RFC 9051 §6.4.5
func (m *fetching) binary(c *store.Content, it *fetchItem) (section, error) {
	if m.digest == nil {
		return section{}, store.ErrNoMessage
	}
	p, err := m.findPart(it.Section.Part)
	if err != nil {
		return section{}, err
	}
	dec, err := p.Decoder(c)
	if err != nil {
		return section{}, err
	}
	sec := section{r: dec, size: p.DecodedSize, binary: true}
	if p.DecodedSize == p.Size() && isPlain(p.Encoding) {
		// Nothing changes, so that a part of it can be read where it is.
		sec.r = io.NewSectionReader(c, p.BodyStart, p.Size())
	}
	if len(it.Section.Part) == 0 {
		raw, err := readHeader(c, message.Range{Start: p.HeaderStart, End: p.BodyStart})
		if err != nil {
			return section{}, err
		}
		header := message.FilterFields(nil, raw, [][]byte{[]byte("Content-Transfer-Encoding")}, true)
		sec.r, sec.size = io.MultiReader(bytes.NewReader(header), sec.r), sec.size+int64(len(header))
	}
	if it.Partial == nil {
		return sec, nil
	}
	start, end := it.Partial.Clip(sec.size)
	if err := skip(sec.r, start); err != nil {
		return section{}, err
	}
	sec.size = end - start
	return sec, nil
}

// isPlain reports whether a transfer encoding leaves the bytes as they are. RFC 2045
// §6.2
func isPlain(encoding string) bool {
	switch encoding {
	case "", "7BIT", "8BIT", "BINARY":
		return true
	}
	return false
}

// skip passes over n bytes: without reading them where that can be done.
func skip(r io.Reader, n int64) error {
	if n == 0 {
		return nil
	}
	if s, ok := r.(io.Seeker); ok {
		_, err := s.Seek(n, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, r, n)
	if err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	return nil
}

// bodyReader reads a range of a message.
type bodyReader struct {
	r      io.ReaderAt
	off, n int64
}

func (b *bodyReader) reset(r io.ReaderAt, off, n int64) { b.r, b.off, b.n = r, off, n }

func (b *bodyReader) Read(p []byte) (int, error) {
	if b.n == 0 {
		return 0, io.EOF
	}
	n, err := b.r.ReadAt(p[:min(int64(len(p)), b.n)], b.off)
	b.off, b.n = b.off+int64(n), b.n-int64(n)
	replaceNUL(p[:n])
	if n > 0 {
		err = nil
	}
	return n, err
}

// nulReader replaces NULs in what it reads.
type nulReader struct{ io.Reader }

func (r nulReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	replaceNUL(p[:n])
	return n, err
}

// replaceNUL replaces NULs, which a literal cannot have, by a byte that is no character
// either. BINARY has them. RFC 9051 §4.3.1
func replaceNUL(p []byte) {
	for {
		i := bytes.IndexByte(p, 0)
		if i < 0 {
			return
		}
		p[i] = 0x80
		p = p[i+1:]
	}
}
