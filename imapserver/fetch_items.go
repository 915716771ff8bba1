package imapserver

import (
	"strconv"
	"strings"

	"mox/imap"
	"mox/internal/search"
	"mox/message"
	"mox/store"
)

// fetching is a message being fetched.
type fetching struct {
	*fetcher
	store.Item
	digest message.Digest // Nil if the message has none any more, or none is needed.
	data   []byte         // Of the only item that is not in the index, if it is known already.

	content *store.Content // Nil until opened, or if it cannot be read.
	opened  bool           // And that its file is complete was verified.
	part    *message.Part  // Root of the part tree, nil until needed.
	err     error          // Why something could not be read.
}

// close closes the file, if it was opened.
func (m *fetching) close() {
	if m.content != nil {
		_ = m.content.Close() // It was only read.
	}
}

// fail notes that something of the message could not be read. The first reason counts.
func (m *fetching) fail(err error) {
	if m.err == nil {
		m.err = err
	}
}

// item writes an item. One that cannot be had is NIL, or left out where the grammar has
// no NIL.
func (m *fetching) item(it *fetchItem) {
	switch it.needs {
	case needsDigest:
		m.digestItem(it)
		return
	case needsFile:
		m.sectionItem(it)
		return
	}
	enc := m.c.enc
	switch it.Attr {
	case imap.FetchUID:
		enc.Name("UID")
		enc.Number(uint64(m.UID))
	case imap.FetchFlags:
		m.itemFlags(m.Item)
	case imap.FetchModSeq:
		m.itemModSeq(m.ModSeq)
	case imap.FetchInternalDate:
		enc.Name("INTERNALDATE")
		enc.DateTime(m.Received())
	case imap.FetchRFC822Size:
		enc.Name("RFC822.SIZE")
		enc.Number(uint64(m.Size))
	case imap.FetchSaveDate:
		enc.Name("SAVEDATE")
		if t := m.SaveDate(); t.IsZero() {
			enc.NIL()
		} else {
			enc.DateTime(t)
		}
	case imap.FetchEmailID:
		m.objectID("EMAILID", search.EmailIDPrefix, m.ContentID)
	case imap.FetchThreadID:
		m.objectID("THREADID", search.ThreadIDPrefix, m.ThreadID)
	}
}

// objectID writes an object identifier. RFC 8474 §5
func (m *fetching) objectID(name, prefix string, id int64) {
	enc := m.c.enc
	enc.Name(name)
	enc.Raw("(" + prefix)
	enc.Number(uint64(id))
	enc.Raw(")")
}

// digestItem writes an item that the digest has, or, for header fields, may have.
func (m *fetching) digestItem(it *fetchItem) {
	switch {
	case m.data != nil && it.Attr == imap.FetchBodyStructure:
		m.c.enc.Name("BODYSTRUCTURE")
		m.c.enc.RawBytes(m.data)
		return
	case m.data != nil:
		m.literalBytes(it, m.data)
		return
	}
	if m.digest == nil {
		m.fail(store.ErrNoMessage)
		switch it.Attr {
		case imap.FetchBodySection:
			m.c.enc.Item()
			m.c.enc.Raw(it.name)
			m.c.enc.NIL()
		case imap.FetchPreview: // NIL is for LAZY alone. RFC 8970 §3.2
			m.c.enc.Name("PREVIEW")
			m.c.enc.String("")
		}
		return
	}
	enc := m.c.enc
	switch it.Attr {
	case imap.FetchEnvelope:
		enc.Name("ENVELOPE")
		enc.RawBytes(m.digest.Envelope())
	case imap.FetchBodyStructure:
		enc.Name("BODYSTRUCTURE")
		enc.RawBytes(m.digest.BodyStructure())
	case imap.FetchBody:
		enc.Name("BODY")
		enc.RawBytes(m.digest.Body())
	case imap.FetchPreview: // LAZY or not: it is there.
		enc.Name("PREVIEW")
		enc.String(shortPreview(m.digest.Preview()))
	case imap.FetchBinarySize:
		m.binarySize(it)
	case imap.FetchBodySection:
		for _, name := range it.fields {
			if !m.digest.HasField(name) {
				m.sectionItem(it)
				return
			}
		}
		m.buf = m.digest.FilterFields(m.buf[:0], it.fields, false)
		m.literalBytes(it, m.buf)
	}
}

// previewLength is how many characters of a preview are sent: "The server SHOULD limit the
// length of the preview text to 200 preview characters." RFC 8970 §3.3
const previewLength = 200

// shortPreview returns the beginning of a preview.
func shortPreview(b []byte) string {
	n := 0
	for i := range string(b) {
		if n++; n > previewLength {
			return strings.TrimRight(string(b[:i]), " ")
		}
	}
	return string(b)
}

// literalBytes writes an item with data in memory.
func (m *fetching) literalBytes(it *fetchItem, b []byte) {
	if it.Partial != nil {
		start, end := it.Partial.Clip(int64(len(b)))
		b = b[start:end]
	}
	enc := m.c.enc
	enc.Item()
	enc.Raw(it.name)
	enc.Raw("{")
	enc.Number(uint64(len(b)))
	enc.Raw("}\r\n")
	enc.RawBytes(b)
}

// binarySize writes the decoded size of a part. RFC 9051 §6.4.5
func (m *fetching) binarySize(it *fetchItem) {
	size := m.Size
	if len(it.Section.Part) > 0 {
		p, err := m.findPart(it.Section.Part)
		switch {
		case err != nil:
			size = 0 // There is no such part, and no NIL.
		case p.DecodedSize < 0:
			m.unknownCTE = true
			return
		default:
			size = p.DecodedSize
		}
	}
	m.c.enc.Item()
	m.c.enc.Raw(it.name + strconv.FormatInt(size, 10))
}

// findPart returns a part of the message.
func (m *fetching) findPart(path []uint32) (*message.Part, error) {
	if m.part == nil {
		tree, err := m.digest.Tree()
		if err != nil {
			m.fail(err)
			return nil, err
		}
		m.part = tree
	}
	return m.part.Find(path)
}
