package imapclient

import (
	"mox/imap"
)

// code parses a response code, between its brackets. Codes that are not known have text up
// to the "]". RFC 9051 §9, production resp-text-code
func (p *parser) code() Code {
	defer p.In("resp-text-code")()
	var c Code
	raw := p.Line()
	start := p.Pos()
	c.Name = imap.Code(p.NeedName())
	switch c.Name {
	case imap.CodeUIDNext, imap.CodeUIDValidity, imap.CodeUnseen:
		p.NeedSP()
		c.Num = uint64(p.NeedNZNumber())
	case imap.CodeHighestModSeq:
		p.NeedSP()
		c.Num = p.NeedModSeq(false)
	case imap.CodeCapability:
		p.NeedSP()
		c.Words = p.words()
	case imap.CodePermanentFlags:
		p.NeedSP()
		c.Words = p.flags()
	case imap.CodeBadCharset:
		if p.TrySP() {
			p.list1(func() { c.Words = append(c.Words, p.NeedCharset()) })
		}
	case imap.CodeBadEvent:
		p.NeedSP()
		p.list1(func() { c.Words = append(c.Words, p.NeedAtom()) })
	case imap.CodeAppendUID:
		p.uids(&c, false)
	case imap.CodeCopyUID:
		p.uids(&c, true)
	case imap.CodeModified:
		p.NeedSP()
		c.UIDs = p.NeedStaticSet()
	case imap.CodeMessageLimit: // RFC 9738 §5
		p.NeedSP()
		c.Num = uint64(p.NeedNZNumber())
		if p.TrySP() {
			c.LastUID = p.NeedNZNumber()
		}
	case imap.CodeMailboxID:
		p.NeedSP()
		p.NeedByte('(')
		c.ID = p.NeedObjectID()
		p.NeedByte(')')
	case imap.CodeInProgress:
		p.progress(&c)
	case "METADATA":
		p.metadataCode(&c)
	default:
		if p.TrySP() {
			p.NeedCodeText()
		}
	}
	if p.Err() == nil {
		c.Raw = imap.Code(raw[start:p.Pos()])
	}
	return c
}

// words parses the capabilities of a code. Atoms end before "]".
func (p *parser) words() []string {
	var l []string
	for {
		l = append(l, p.NeedAtom())
		if !p.TrySP() {
			return l
		}
	}
}

// uids parses the arguments of APPENDUID and COPYUID. RFC 4315 §4
func (p *parser) uids(c *Code, source bool) {
	p.NeedSP()
	c.UIDValidity = p.NeedNZNumber()
	p.NeedSP()
	if source {
		c.Source = p.NeedStaticSet()
		p.NeedSP()
	}
	c.UIDs = p.NeedStaticSet()
}

// progress parses the arguments of INPROGRESS. RFC 9585 §5
func (p *parser) progress(c *Code) {
	if !p.TrySP() {
		return
	}
	var x CodeProgress
	p.NeedByte('(')
	if !p.TryNIL() {
		if !p.PeekIs('"') {
			p.Fail("expected quoted tag or NIL") // Not a literal.
		}
		x.Tag = imap.Str(p.NeedString())
	}
	p.NeedSP()
	x.Done = p.nnumber()
	p.NeedSP()
	x.Goal = p.nnumber()
	p.NeedByte(')')
	if x.Goal.OK && (!x.Done.OK || x.Goal.Value == 0) {
		p.Fail("goal without progress before this")
	}
	c.Progress = &x
}

// nnumber parses a number or NIL.
func (p *parser) nnumber() imap.Number {
	if p.TryNIL() {
		return imap.Number{}
	}
	return imap.Number{Value: int64(p.NeedNumber()), OK: true}
}

// metadataCode parses what follows METADATA. RFC 5464 §5
func (p *parser) metadataCode(c *Code) {
	p.NeedSP()
	sub := imap.Code("METADATA " + p.NeedName())
	switch sub {
	case imap.CodeMetadataLongEntries, imap.CodeMetadataMaxSize:
		p.NeedSP()
		c.Num = uint64(p.NeedNumber())
	case imap.CodeMetadataTooMany, imap.CodeMetadataNoPrivate:
	default:
		p.Fail("unknown METADATA code before this")
	}
	c.Name = sub
}
