package imapclient

import (
	"bytes"

	"mox/imap"
)

// fetch parses msg-att.
//
//	msg-att = "(" (msg-att-dynamic / msg-att-static) *(SP (msg-att-dynamic / msg-att-static)) ")"
func (p *parser) fetch(f *FetchData) {
	defer p.In("msg-att")()
	p.NeedByte('(')
	for {
		p.fetchItem(f)
		if !p.TrySP() {
			break
		}
	}
	p.NeedByte(')')
}

// fetchItem parses a data item with its name.
func (p *parser) fetchItem(f *FetchData) {
	name := p.NeedName()
	if p.Err() != nil {
		return
	}
	if p.gmail(name, f) {
		return
	}
	attr, ok := imap.ParseFetchAttr(name)
	switch {
	case name == "BODY" && p.PeekIs('['):
		attr = imap.FetchBodySection
	case name == "BINARY":
		attr = imap.FetchBinary
	case name == "BINARY.SIZE":
		attr = imap.FetchBinarySize
	case !ok:
		p.Fail("unknown fetch item before this")
		return
	}
	f.Items = append(f.Items, attr)
	switch attr {
	case imap.FetchBodySection, imap.FetchBinary, imap.FetchBinarySize,
		imap.FetchRFC822, imap.FetchRFC822Header, imap.FetchRFC822Text:
		p.section(f, attr)
		return
	}
	p.NeedSP()
	p.fetchValue(f, attr)
}

// gmail parses an item that only Gmail has, and reports whether it is one. Labels are
// strings, or begin with a backslash.
func (p *parser) gmail(name string, f *FetchData) bool {
	switch name {
	case "X-GM-MSGID":
		p.NeedSP()
		f.GmailID = uint64(p.NeedNumber64())
	case "X-GM-LABELS":
		p.NeedSP()
		p.NeedListOrEmpty(func() {
			prefix := ""
			if p.TryByte('\\') {
				prefix = `\`
			}
			f.GmailLabels = append(f.GmailLabels, prefix+p.NeedAString())
		})
	default:
		return false
	}
	return true
}

// fetchValue parses the value of an item that is not a section.
func (p *parser) fetchValue(f *FetchData, attr imap.FetchAttr) {
	switch attr {
	case imap.FetchUID:
		uid := p.NeedNZNumber()
		if f.UIDOnly && uid != f.UID {
			p.Fail("other UID than that of the response before this")
		}
		f.UID = uid
	case imap.FetchFlags:
		f.Flags = p.flags()
	case imap.FetchInternalDate:
		f.InternalDate = p.NeedDateTime()
	case imap.FetchRFC822Size:
		f.Size = p.NeedNumber64()
	case imap.FetchEnvelope:
		f.Envelope = p.envelope()
	case imap.FetchBodyStructure, imap.FetchBody:
		f.BodyStructure = p.body(attr == imap.FetchBodyStructure, 0)
	case imap.FetchModSeq:
		p.NeedByte('(')
		f.ModSeq = p.NeedModSeq(false)
		p.NeedByte(')')
	case imap.FetchSaveDate:
		if !p.TryNIL() {
			f.SaveDate = p.NeedDateTime()
		}
	case imap.FetchPreview:
		f.Preview = p.NeedNString()
	case imap.FetchEmailID:
		p.NeedByte('(')
		f.EmailID = p.NeedObjectID()
		p.NeedByte(')')
	case imap.FetchThreadID:
		if !p.TryNIL() {
			p.NeedByte('(')
			f.ThreadID = p.NeedObjectID()
			p.NeedByte(')')
		}
	}
}

// section parses an item that has a piece of the message.
//
//	"BODY" section ["<" number ">"] SP nstring /
//	"BINARY" section-binary ["<" number ">"] SP (nstring / literal8) /
//	"BINARY.SIZE" section-binary SP number
func (p *parser) section(f *FetchData, attr imap.FetchAttr) {
	s := FetchSection{Attr: attr}
	switch attr {
	case imap.FetchBodySection:
		s.Section = p.NeedSection()
	case imap.FetchBinary, imap.FetchBinarySize:
		s.Section = p.NeedBinarySection()
	}
	if attr != imap.FetchBinarySize && attr.HasSection() && p.TryByte('<') {
		s.Offset = imap.Number{Value: p.NeedNumber64(), OK: true}
		p.NeedByte('>')
	}
	p.NeedSP()
	switch {
	case attr == imap.FetchBinarySize:
		s.Size = p.NeedNumber64()
	case p.TryNIL():
		s.NIL = true
	case p.PeekIs('"'):
		s.Data = []byte(p.NeedString())
		s.Size = int64(len(s.Data))
	default:
		p.literalData(f, &s)
	}
	f.Sections = append(f.Sections, s)
}

// literalData reads the literal of a section, in memory or to the callback.
func (p *parser) literalData(f *FetchData, s *FetchSection) {
	lit := p.NeedMessage()
	if p.Err() != nil {
		return
	}
	s.Literal, s.Binary, s.Size = true, lit.Binary, lit.Size
	if lit.Binary && s.Attr != imap.FetchBinary {
		p.Fail("literal8 is not allowed here")
		return
	}
	r := p.OpenMessage()
	switch {
	case p.literal != nil:
		if err := p.literal(f, s, r); err != nil && p.err == nil {
			p.err = err
		}
	case lit.Size > p.maxLiteral:
		p.FailWith(imap.Bye(imap.CodeTooBig, "literal larger than the limit of the client"))
	default:
		// A buffer that grows, as the announced size may be a lie.
		var b bytes.Buffer
		b.Grow(int(min(lit.Size, 1<<20)))
		if _, err := b.ReadFrom(r); err == nil && p.Err() == nil {
			s.Data = b.Bytes()
		}
	}
	p.CloseMessage()
}
