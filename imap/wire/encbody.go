package wire

import (
	"mox/imap"
)

// Envelope appends an envelope. RFC 9051 §9, production envelope
func (e *Encoder) Envelope(env *imap.Envelope) {
	e.Byte('(')
	e.NString(env.Date)
	e.SP()
	e.NString(env.Subject)
	for _, list := range [...][]imap.Address{env.From, env.Sender, env.ReplyTo, env.To, env.CC, env.BCC} {
		e.SP()
		e.addresses(list)
	}
	e.SP()
	e.NString(env.InReplyTo)
	e.SP()
	e.NString(env.MessageID)
	e.Byte(')')
}

func (e *Encoder) addresses(list []imap.Address) {
	if len(list) == 0 {
		e.NIL()
		return
	}
	e.Byte('(')
	for i := range list {
		a := &list[i]
		e.Byte('(')
		e.NString(a.Name)
		e.SP()
		e.NString(a.Route)
		e.SP()
		e.NString(a.Mailbox)
		e.SP()
		e.NString(a.Host)
		e.Byte(')')
	}
	e.Byte(')')
}

// BodyStructure appends a body structure, for BODYSTRUCTURE if extended and for BODY if
// not. Parts that are nested deeper than [imap.MaxBodyDepth] and multiparts without parts,
// which have no form in the protocol, are written as empty ones. RFC 9051 §9, production
// body
func (e *Encoder) BodyStructure(b *imap.BodyStructure, extended bool) {
	e.body(b, extended, 0)
}

func (e *Encoder) body(b *imap.BodyStructure, extended bool, depth int) {
	if depth > imap.MaxBodyDepth {
		e.Raw(`("APPLICATION" "OCTET-STREAM" NIL NIL NIL "7BIT" 0)`)
		return
	}
	e.Byte('(')
	if b.IsMultipart() {
		e.multipart(b, extended, depth)
	} else {
		e.onePart(b, extended, depth)
	}
	e.Byte(')')
}

func (e *Encoder) multipart(b *imap.BodyStructure, extended bool, depth int) {
	for i := range b.Parts {
		e.body(&b.Parts[i], extended, depth+1)
	}
	if len(b.Parts) == 0 {
		e.Raw(`("TEXT" "PLAIN" NIL NIL NIL "7BIT" 0 0)`)
	}
	e.SP()
	e.String(b.Subtype)
	if extended {
		e.SP()
		e.params(b.Params)
		e.bodyExt(b.Ext)
	}
}

func (e *Encoder) onePart(b *imap.BodyStructure, extended bool, depth int) {
	message, text := b.IsMessage(), b.IsText()
	switch {
	case b.Type == "":
		e.Raw(`"TEXT" "PLAIN"`) // RFC 2045 §5.2
		text = true
	case !message && b.IsMessageType():
		e.Raw(`"APPLICATION" "OCTET-STREAM"`) // The syntax wants an envelope for messages.
	default:
		e.String(b.Type)
		e.SP()
		e.String(b.Subtype)
	}
	e.SP()
	e.params(b.Params)
	e.SP()
	e.NString(b.ID)
	e.SP()
	e.NString(b.Description)
	e.SP()
	if b.Encoding == "" {
		e.Raw(`"7BIT"`) // The default. RFC 9051 §9, body-fld-enc
	} else {
		e.String(b.Encoding)
	}
	e.SP()
	e.Number(uint64(max(b.Octets, 0)))
	if message {
		e.SP()
		e.Envelope(b.Envelope)
		e.SP()
		e.body(b.Body, extended, depth+1)
	}
	if message || text {
		e.SP()
		e.Number(uint64(max(b.Lines, 0)))
	}
	if extended {
		e.SP()
		if b.Ext != nil {
			e.NString(b.Ext.MD5)
		} else {
			e.NIL()
		}
		e.bodyExt(b.Ext)
	}
}

// bodyExt appends disposition, language and location.
func (e *Encoder) bodyExt(x *imap.BodyExt) {
	if x == nil {
		e.Raw(" NIL NIL NIL")
		return
	}
	e.SP()
	if x.Disposition == nil {
		e.NIL()
	} else {
		e.Byte('(')
		e.String(x.Disposition.Type)
		e.SP()
		e.params(x.Disposition.Params)
		e.Byte(')')
	}
	e.SP()
	switch len(x.Language) {
	case 0:
		e.NIL()
	case 1:
		e.String(x.Language[0])
	default:
		e.strings(x.Language)
	}
	e.SP()
	e.NString(x.Location)
}

func (e *Encoder) params(params []imap.Param) {
	if len(params) == 0 {
		e.NIL()
		return
	}
	e.Byte('(')
	for i, p := range params {
		if i > 0 {
			e.SP()
		}
		e.String(p.Name)
		e.SP()
		e.String(p.Value)
	}
	e.Byte(')')
}

// strings appends a list of strings, which must not be empty.
func (e *Encoder) strings(l []string) {
	e.Byte('(')
	for i, s := range l {
		if i > 0 {
			e.SP()
		}
		e.String(s)
	}
	e.Byte(')')
}
