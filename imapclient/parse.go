package imapclient

import (
	"io"
	"math"
	"strings"

	"mox/imap"
	"mox/imap/wire"
)

// A reply is one response: a continuation request, a tagged or an untagged response.
type reply struct {
	cont     bool
	text     string // Of a continuation request.
	tag      string
	status   Status // Of a tagged response.
	untagged Untagged
}

// A parser parses responses. Syntax errors are those of the Decoder.
type parser struct {
	*wire.Decoder
	maxLiteral int64
	literal    func(*FetchData, *FetchSection, io.Reader) error // See Client.
	err        error                                            // From literal.
}

// response parses a response.
//
//	response      = *(continue-req / response-data) response-done
//	continue-req  = "+" SP (resp-text / base64) CRLF
//	response-data = "*" SP (resp-cond-state / resp-cond-bye / mailbox-data / message-data /
//	                capability-data / enable-data) CRLF
func (p *parser) response() (rep reply) {
	switch {
	case p.TryByte('+'):
		rep.cont = true
		p.NeedSP()
		rep.text = p.NeedRest()
	case p.TryByte('*'):
		p.NeedSP()
		rep.untagged = p.untagged()
	default:
		rep.tag = p.NeedTag()
		p.NeedSP()
		name := p.NeedName()
		if name != "OK" && name != "NO" && name != "BAD" {
			p.Fail("expected OK, NO or BAD before this")
		}
		rep.status = p.status(name)
	}
	return rep
}

// untagged parses what follows "* ".
func (p *parser) untagged() Untagged {
	if c, ok := p.Peek(); ok && c >= '0' && c <= '9' {
		return p.messageData()
	}
	name := p.NeedName()
	switch name {
	case "OK", "NO", "BAD", "BYE", "PREAUTH":
		return p.status(name)
	case "CAPABILITY":
		return Capability(p.capabilities())
	case "ENABLED":
		return Enabled(p.capabilities())
	case "FLAGS":
		p.NeedSP()
		return Flags(p.flags())
	case "LIST", "LSUB":
		return p.list(name == "LSUB")
	case "STATUS":
		return p.mailboxStatus()
	case "SEARCH", "SORT":
		return p.search(name == "SORT")
	case "ESEARCH":
		return p.esearch()
	case "THREAD":
		return p.threads()
	case "NAMESPACE":
		return p.namespace()
	case "QUOTA":
		return p.quota()
	case "QUOTAROOT":
		return p.quotaRoot()
	case "ID":
		return p.id()
	case "GENURLAUTH":
		return p.genURLAuth()
	case "URLFETCH":
		return p.urlFetch()
	case "METADATA":
		return p.metadata()
	case "VANISHED":
		return p.vanished()
	}
	p.Fail("unknown response before this")
	return nil
}

// messageData parses responses that begin with a number.
func (p *parser) messageData() Untagged {
	n := p.NeedNumber()
	p.NeedSP()
	name := p.NeedName()
	switch name {
	case "EXISTS":
		return Exists(n)
	case "RECENT":
		return Recent(n)
	}
	if n == 0 {
		p.Fail("number 0 before this")
	}
	switch name {
	case "EXPUNGE":
		return Expunge(n)
	case "FETCH", "UIDFETCH":
		p.NeedSP()
		f := &FetchData{Seq: n}
		if name == "UIDFETCH" {
			f.Seq, f.UID, f.UIDOnly = 0, n, true
		}
		p.fetch(f)
		return f
	}
	p.Fail("unknown response before this")
	return nil
}

// status parses what follows the type of a status response. Many servers, and examples of
// the RFCs, leave out the space if no text follows a code.
//
//	resp-text = ["[" resp-text-code "]" SP] [text]
func (p *parser) status(typ string) Status {
	st := Status{Type: typ}
	p.NeedSP()
	if p.TryByte('[') {
		st.Code = p.code()
		p.NeedByte(']')
		if !p.AtEnd() {
			p.NeedSP()
		}
	}
	st.Text = p.NeedText()
	return st
}

// capabilities parses capabilities with a space before each.
func (p *parser) capabilities() []imap.Cap {
	var l []imap.Cap
	for p.TrySP() {
		l = append(l, imap.Cap(p.NeedAtom()))
	}
	return l
}

// flags parses a list of flags, among them "\*" and those that clients must accept though
// they do not know them. RFC 9051 §9, productions flag-list and flag-perm
func (p *parser) flags() []string {
	l := []string{}
	p.list0(func() {
		if p.TryByte('\\') {
			if p.TryByte('*') {
				l = append(l, imap.FlagNameAny)
			} else {
				l = append(l, `\`+p.NeedAtom())
			}
			return
		}
		l = append(l, p.NeedAtom())
	})
	return l
}

// list0 parses a list of any number of elements. The limit is that of the line.
func (p *parser) list0(element func()) {
	p.NeedListOf(0, math.MaxInt, element)
}

// list1 parses a list of at least one element.
func (p *parser) list1(element func()) {
	p.NeedListOf(1, math.MaxInt, element)
}

// upper returns s with ASCII letters in upper case.
func upper(s string) string {
	return strings.ToUpper(s)
}

// vanished parses what follows VANISHED.
//
//	expunged-resp = "VANISHED" [SP "(EARLIER)"] SP known-uids
func (p *parser) vanished() Vanished {
	var v Vanished
	p.NeedSP()
	if p.TryByte('(') {
		if v.Earlier = p.TryName("EARLIER"); !v.Earlier {
			p.Fail("expected EARLIER")
		}
		p.NeedByte(')')
		p.NeedSP()
	}
	v.UIDs = p.NeedStaticSet()
	return v
}

// search parses what follows SEARCH or SORT.
//
//	mailbox-data =/ "SEARCH" [1*(SP nz-number) SP search-sort-mod-seq]
func (p *parser) search(sort bool) Search {
	s := Search{Sort: sort}
	for p.TrySP() {
		if p.TryByte('(') {
			if !p.TryName("MODSEQ") {
				p.Fail("expected MODSEQ")
			}
			p.NeedSP()
			s.ModSeq = p.NeedModSeq(false)
			p.NeedByte(')')
			break
		}
		s.Nums = append(s.Nums, p.NeedNZNumber())
	}
	return s
}

// esearch parses what follows ESEARCH.
//
//	esearch-response = "ESEARCH" [search-correlator] [SP "UID"] *(SP search-return-data)
func (p *parser) esearch() ESearch {
	defer p.In("esearch-response")()
	var s ESearch
	more := p.TrySP()
	if more && p.PeekIs('(') {
		p.list0(func() { p.correlator(&s) })
		more = p.TrySP()
	}
	if more && p.TryName("UID") {
		s.UID = true
		more = p.TrySP()
	}
	for ; more; more = p.TrySP() {
		p.searchData(&s)
	}
	return s
}

// correlator parses an element of search-correlator. RFC 7377 §4
func (p *parser) correlator(s *ESearch) {
	name := p.NeedName()
	p.NeedSP()
	switch name {
	case "TAG":
		s.Tag = p.NeedAString()
	case "MAILBOX":
		s.Mailbox = imap.Str(p.NeedMailbox())
	case "UIDVALIDITY":
		s.UIDValidity = p.NeedNZNumber()
	default:
		p.Fail("unknown search correlator before this")
	}
}

// searchData parses search-return-data.
func (p *parser) searchData(s *ESearch) {
	name := p.NeedName()
	p.NeedSP()
	switch name {
	case "MIN":
		s.Min = p.NeedNZNumber()
	case "MAX":
		s.Max = p.NeedNZNumber()
	case "COUNT":
		s.Count = imap.Number{Value: int64(p.NeedNumber()), OK: true}
	case "ALL":
		s.All = p.NeedStaticSet()
	case "MODSEQ":
		s.ModSeq = p.NeedModSeq(false)
	case "PARTIAL":
		p.NeedByte('(')
		s.PartialRange = p.NeedPartialRange()
		p.NeedSP()
		if !p.TryNIL() {
			s.Partial = p.NeedStaticSet()
		}
		p.NeedByte(')')
	case "ADDTO", "REMOVEFROM":
		s.Updates = append(s.Updates, p.contextUpdates(name == "REMOVEFROM")...)
	default:
		s.Extended = append(s.Extended, name)
		p.extValue(0)
	}
}

// maxExtDepth is how deep lists in unknown extension data may nest.
const maxExtDepth = 20

// extValue skips a tagged-ext-val. It takes NIL and strings outside parentheses too.
//
//	tagged-ext-val    = tagged-ext-simple / "(" [tagged-ext-comp] ")"
//	tagged-ext-simple = sequence-set / number / number64
func (p *parser) extValue(depth int) {
	if depth > maxExtDepth {
		p.Fail("extension data nested too deep")
		return
	}
	if p.PeekIs('(') {
		p.list0(func() { p.extValue(depth + 1) })
		return
	}
	if p.PeekIs('"') || p.PeekIs('{') {
		p.NeedString()
		return
	}
	// An astring that may have "*" in it, for number sets.
	for n := 0; ; n++ {
		c, ok := p.Peek()
		if n > 0 && (!ok || c == ' ' || c == ')') {
			return
		}
		if !p.TryByte('*') {
			p.NeedAtom()
		}
	}
}
