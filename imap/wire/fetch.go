package wire

import (
	"strings"

	"mox/imap"
	"mox/internal/lex"
)

// NeedFetchItems consumes what a FETCH command asks for: a macro, an item, or a list of at
// most [MaxFetchItems] of them. RFC 9051 §9, production fetch
func (d *Decoder) NeedFetchItems() []imap.FetchItem {
	defer d.In("fetch-att")()
	if !d.PeekIs('(') {
		for _, macro := range [...]string{"ALL", "FAST", "FULL"} {
			if d.TryName(macro) {
				return imap.FetchMacro(macro)
			}
		}
		return []imap.FetchItem{d.needFetchItem()}
	}
	return d.NeedFetchList()
}

// NeedFetchList consumes a list of fetch items in parentheses. RFC 9051 §9, production
// fetch
func (d *Decoder) NeedFetchList() []imap.FetchItem {
	var items []imap.FetchItem
	d.NeedListOf(1, MaxFetchItems, func() { items = append(items, d.needFetchItem()) })
	return items
}

// needFetchItem consumes a fetch-att.
//
//	fetch-att = "ENVELOPE" / "FLAGS" / "INTERNALDATE" / "RFC822.SIZE" /
//	            "BODY" ["STRUCTURE"] / "UID" /
//	            "BODY" section [partial] / "BODY.PEEK" section [partial] /
//	            "BINARY" [".PEEK"] section-binary [partial] /
//	            "BINARY.SIZE" section-binary
//	          =/ "RFC822" [".HEADER" / ".TEXT"] / "MODSEQ" / "SAVEDATE" / "EMAILID" /
//	            "THREADID" / "PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"]
func (d *Decoder) needFetchItem() imap.FetchItem {
	pos := d.pos
	name := d.NeedName()
	var item imap.FetchItem
	switch name {
	case "BODY", "BODY.PEEK":
		item.Peek = name == "BODY.PEEK"
		item.Attr = imap.FetchBodySection
		if !item.Peek && !d.PeekIs('[') {
			item.Attr = imap.FetchBody
			return item
		}
		item.Section = d.NeedSection()
		item.Partial = d.tryPartial()
		return item
	case "BINARY", "BINARY.PEEK":
		item.Peek = name == "BINARY.PEEK"
		item.Attr = imap.FetchBinary
		item.Section = d.NeedBinarySection()
		item.Partial = d.tryPartial()
		return item
	case "BINARY.SIZE":
		item.Attr = imap.FetchBinarySize
		item.Section = d.NeedBinarySection()
		return item
	}
	attr, ok := imap.ParseFetchAttr(name)
	if d.err == nil && !ok {
		d.failAt(pos, "unknown fetch item")
		return item
	}
	item.Attr = attr
	if attr == imap.FetchPreview && d.PeekSPList() {
		d.NeedSP()
		d.NeedList(func() {
			if !d.TryName("LAZY") {
				d.Fail("unknown preview modifier")
			}
		})
		item.Lazy = true
	}
	return item
}

// PeekSPList reports whether a space and a list are next.
func (d *Decoder) PeekSPList() bool {
	return d.PeekIs(' ') && d.pos+1 < len(d.line) && d.line[d.pos+1] == '('
}

// NeedBinarySection consumes a section that can only name a part. RFC 9051 §9, production
// section-binary
func (d *Decoder) NeedBinarySection() imap.Section {
	defer d.In("section-binary")()
	var s imap.Section
	d.NeedByte('[')
	if !d.PeekIs(']') {
		s.Part, _ = d.needPart()
	}
	d.NeedByte(']')
	return s
}

// NeedSection consumes a section with its brackets. RFC 9051 §9, production section
//
//	section      = "[" [section-spec] "]"
//	section-spec = section-msgtext / (section-part ["." section-text])
//	section-text = section-msgtext / "MIME"
func (d *Decoder) NeedSection() imap.Section {
	defer d.In("section")()
	var s imap.Section
	d.NeedByte('[')
	if d.TryByte(']') {
		return s
	}
	more := true
	if c, ok := d.Peek(); ok && lex.Digit.Has(c) {
		s.Part, more = d.needPart()
	}
	if more {
		d.needSpecifier(&s)
	}
	d.NeedByte(']')
	return s
}

// needPart consumes numbers separated by dots. It reports whether a dot follows that is
// not in front of a number; it consumes that too.
func (d *Decoder) needPart() (part []uint32, more bool) {
	for d.err == nil {
		if len(part) == imap.MaxPartDepth {
			d.Fail("more than %d levels of parts", imap.MaxPartDepth)
			break
		}
		part = append(part, d.NeedNZNumber())
		if !d.TryByte('.') {
			return part, false
		}
		if c, ok := d.Peek(); !ok || !lex.Digit.Has(c) {
			return part, true
		}
	}
	return part, false
}

// needSpecifier consumes a section-text, of which MIME is only for parts.
func (d *Decoder) needSpecifier(s *imap.Section) {
	pos := d.pos
	s.Spec = imap.Specifier(d.NeedName())
	switch s.Spec {
	case imap.SpecHeader, imap.SpecText:
	case imap.SpecHeaderFields, imap.SpecHeaderFieldsNot:
		d.NeedSP()
		d.NeedListOf(1, imap.MaxHeaderFields, func() {
			s.Fields = append(s.Fields, d.needFieldName())
		})
	case imap.SpecMIME:
		if len(s.Part) == 0 {
			d.failAt(pos, "MIME needs a part number")
		}
	default:
		d.failAt(pos, "unknown section")
	}
}

// needFieldName consumes an astring that can be the name of a header field: printable
// ASCII. Names that no message can have (RFC 5322 §3.6.8) are not refused.
func (d *Decoder) needFieldName() string {
	pos := d.pos
	s := d.NeedAString()
	if d.err == nil && (s == "" || strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0) {
		d.failAt(pos, "expected name of a header field")
	}
	return s
}

// tryPartial consumes a range of bytes if there is one. RFC 9051 §9, production partial
func (d *Decoder) tryPartial() *imap.Partial {
	if !d.TryByte('<') {
		return nil
	}
	var p imap.Partial
	p.Offset = d.NeedNumber64()
	d.NeedByte('.')
	p.Count = d.NeedNZNumber64()
	d.NeedByte('>')
	return &p
}
