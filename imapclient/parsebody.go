package imapclient

import (
	"strings"

	"mox/imap"
)

// envelope parses an envelope.
//
//	envelope = "(" env-date SP env-subject SP env-from SP env-sender SP env-reply-to SP env-to SP
//	           env-cc SP env-bcc SP env-in-reply-to SP env-message-id ")"
func (p *parser) envelope() *imap.Envelope {
	defer p.In("envelope")()
	var e imap.Envelope
	p.NeedByte('(')
	e.Date = p.NeedNString()
	p.NeedSP()
	e.Subject = p.NeedNString()
	for _, l := range []*[]imap.Address{&e.From, &e.Sender, &e.ReplyTo, &e.To, &e.CC, &e.BCC} {
		p.NeedSP()
		*l = p.addresses()
	}
	p.NeedSP()
	e.InReplyTo = p.NeedNString()
	p.NeedSP()
	e.MessageID = p.NeedNString()
	p.NeedByte(')')
	return &e
}

// addresses parses a list of addresses, which have no spaces between them.
//
//	env-to  = "(" 1*address ")" / nil
//	address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"
func (p *parser) addresses() []imap.Address {
	if p.TryNIL() {
		return nil
	}
	defer p.In("address")()
	var l []imap.Address
	p.NeedByte('(')
	for first := true; first || p.PeekIs('('); first = false {
		var a imap.Address
		p.NeedByte('(')
		a.Name = p.NeedNString()
		p.NeedSP()
		a.Route = p.NeedNString()
		p.NeedSP()
		a.Mailbox = p.NeedNString()
		p.NeedSP()
		a.Host = p.NeedNString()
		p.NeedByte(')')
		l = append(l, a)
	}
	p.NeedByte(')')
	return l
}

// body parses a body structure. Extension data is refused if it is not extended.
//
//	body = "(" (body-type-1part / body-type-mpart) ")"
func (p *parser) body(extended bool, depth int) *imap.BodyStructure {
	defer p.In("body")()
	var b imap.BodyStructure
	if depth > imap.MaxBodyDepth {
		p.Fail("body structure nested too deep")
		return &b
	}
	p.NeedByte('(')
	if p.PeekIs('(') {
		p.multipart(&b, extended, depth)
	} else {
		p.onePart(&b, extended, depth)
	}
	p.NeedByte(')')
	return &b
}

// multipart parses body-type-mpart.
//
//	body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]
//	body-ext-mpart  = body-fld-param [SP body-fld-dsp [SP body-fld-lang
//	                  [SP body-fld-loc *(SP body-extension)]]]
func (p *parser) multipart(b *imap.BodyStructure, extended bool, depth int) {
	b.Type = "multipart"
	for p.PeekIs('(') {
		b.Parts = append(b.Parts, *p.body(extended, depth+1))
	}
	p.NeedSP()
	b.Subtype = p.NeedString()
	if !extended || !p.TrySP() {
		return
	}
	b.Ext = &imap.BodyExt{}
	b.Params = p.params()
	p.bodyExt(b.Ext)
}

// onePart parses body-type-1part.
//
//	body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]
//	body-type-basic = media-basic SP body-fields
//	body-type-msg   = media-message SP body-fields SP envelope SP body SP body-fld-lines
//	body-type-text  = media-text SP body-fields SP body-fld-lines
//	body-fields     = body-fld-param SP body-fld-id SP body-fld-desc SP body-fld-enc SP
//	                  body-fld-octets
//	body-ext-1part  = body-fld-md5 [SP body-fld-dsp [SP body-fld-lang
//	                  [SP body-fld-loc *(SP body-extension)]]]
func (p *parser) onePart(b *imap.BodyStructure, extended bool, depth int) {
	b.Type = p.NeedString()
	if b.IsMultipart() {
		p.Fail("multipart without parts before this")
	}
	p.NeedSP()
	b.Subtype = p.NeedString()
	p.NeedSP()
	b.Params = p.params()
	p.NeedSP()
	b.ID = p.NeedNString()
	p.NeedSP()
	b.Description = p.NeedNString()
	p.NeedSP()
	b.Encoding = p.NeedString()
	p.NeedSP()
	b.Octets = p.NeedNumber64()
	switch {
	case b.IsText():
		p.NeedSP()
		b.Lines = p.NeedNumber64()
	case b.IsMessageType() && (strings.EqualFold(b.Subtype, "rfc822") || p.PeekSPList()):
		// RFC 9755 §6 lets a server treat message/global as basic.
		p.NeedSP()
		b.Envelope = p.envelope()
		p.NeedSP()
		b.Body = p.body(extended, depth+1)
		p.NeedSP()
		b.Lines = p.NeedNumber64()
	}
	if !extended || !p.TrySP() {
		return
	}
	b.Ext = &imap.BodyExt{}
	b.Ext.MD5 = p.NeedNString()
	p.bodyExt(b.Ext)
}

// params parses parameters.
//
//	body-fld-param = "(" string SP string *(SP string SP string) ")" / nil
func (p *parser) params() []imap.Param {
	if p.TryNIL() {
		return nil
	}
	defer p.In("body-fld-param")()
	var l []imap.Param
	p.list1(func() {
		var x imap.Param
		x.Name = p.NeedString()
		p.NeedSP()
		x.Value = p.NeedString()
		l = append(l, x)
	})
	return l
}

// bodyExt parses disposition, language, location and future extensions, as far as they are
// there.
func (p *parser) bodyExt(x *imap.BodyExt) {
	if !p.TrySP() {
		return
	}
	if !p.TryNIL() {
		x.Disposition = &imap.Disposition{}
		p.NeedByte('(')
		x.Disposition.Type = p.NeedString()
		p.NeedSP()
		x.Disposition.Params = p.params()
		p.NeedByte(')')
	}
	if !p.TrySP() {
		return
	}
	if p.PeekIs('(') {
		p.list1(func() { x.Language = append(x.Language, p.NeedString()) })
	} else if s := p.NeedNString(); s.OK {
		x.Language = []string{s.Value}
	}
	if !p.TrySP() {
		return
	}
	x.Location = p.NeedNString()
	for p.TrySP() {
		p.bodyExtension(0)
	}
}

// bodyExtension skips what a future version of the protocol may send.
//
//	body-extension = nstring / number / number64 / "(" body-extension *(SP body-extension) ")"
func (p *parser) bodyExtension(depth int) {
	if depth > maxExtDepth {
		p.Fail("extension data nested too deep")
		return
	}
	c, _ := p.Peek()
	switch {
	case c == '(':
		p.list1(func() { p.bodyExtension(depth + 1) })
	case c >= '0' && c <= '9':
		p.NeedNumber64()
	default:
		p.NeedNString()
	}
}
