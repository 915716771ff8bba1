package wire

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"

	"mox/imap"
	"mox/internal/lex"
)

// nameChar are the bytes of names that the RFCs define: commands, options, search keys,
// status and fetch items. It is tagged-label-char of RFC 9051 §9, without ":".
var nameChar = lex.Alpha.Union(lex.Digit, lex.Bytes("-_."))

// NeedTag consumes the tag of a command. RFC 9051 §9, production tag
func (d *Decoder) NeedTag() string {
	if len(d.span(&lex.TagChar)) > MaxTag {
		d.Fail("tag longer than %d bytes", MaxTag)
	}
	return d.needSpan(&lex.TagChar, "tag")
}

// NeedName consumes a name of letters, digits, "-", "_" and ".", and returns it in upper
// case: a command, option or item.
func (d *Decoder) NeedName() string {
	return strings.ToUpper(d.needSpan(&nameChar, "name"))
}

// TryName consumes name, in any case, if it is next and the name ends there.
func (d *Decoder) TryName(name string) bool {
	b := d.span(&nameChar)
	if len(b) != len(name) || !strings.EqualFold(string(b), name) {
		return false
	}
	d.pos += len(b)
	return true
}

// NeedAtom consumes an atom. RFC 9051 §9, production atom
func (d *Decoder) NeedAtom() string {
	return d.needSpan(&lex.AtomChar, "atom")
}

// TryNIL consumes "NIL", in any case, if it is next and not the start of a longer atom.
// RFC 9051 §9, production nil
func (d *Decoder) TryNIL() bool {
	b := d.span(&lex.AStringChar)
	if len(b) != 3 || !strings.EqualFold(string(b), "NIL") {
		return false
	}
	d.pos += 3
	return true
}

// NeedString consumes a quoted string or a literal, which must be UTF-8. Only in responses,
// a literal may have other bytes. RFC 9051 §9, production string
func (d *Decoder) NeedString() string {
	pos := d.pos
	return d.checkUTF8(d.needRawString(false), pos)
}

// NeedAString consumes an atom, which may have "]" in it, or a string as NeedString does.
// RFC 9051 §9, production astring
func (d *Decoder) NeedAString() string {
	pos := d.pos
	return d.checkUTF8(d.needRawAString(), pos)
}

// NeedNString consumes a string as NeedString does, or NIL. RFC 9051 §9, production
// nstring
func (d *Decoder) NeedNString() imap.NString {
	if d.TryNIL() {
		return imap.NString{}
	}
	return imap.Str(d.NeedString())
}

// NeedNString8 consumes a string, a literal8 or NIL. Its bytes may be any.
// RFC 5464 §5, production value
func (d *Decoder) NeedNString8() imap.NString {
	if d.TryNIL() {
		return imap.NString{}
	}
	return imap.Str(d.needRawString(true))
}

func (d *Decoder) checkUTF8(s string, pos int) string {
	if d.err == nil && !d.opts.Response && !utf8.ValidString(s) {
		d.failAt(pos, "string is not UTF-8")
		return ""
	}
	return s
}

// needRawAString consumes an astring. What is quoted is UTF-8; a literal can be anything.
func (d *Decoder) needRawAString() string {
	if b := d.span(&lex.AStringChar); len(b) > 0 {
		d.pos += len(b)
		return string(b)
	}
	if d.err == nil && !d.PeekIs('"') && !d.literalNext() {
		d.Fail("expected astring")
		return ""
	}
	return d.needRawString(false)
}

// needRawString consumes a string. What is quoted is UTF-8; a literal can be anything.
func (d *Decoder) needRawString(binaryOK bool) string {
	if d.PeekIs('"') {
		return d.needQuoted()
	}
	if d.literalNext() {
		return d.needLiteralString(binaryOK)
	}
	d.Fail("expected string")
	return ""
}

// needQuoted consumes a quoted string.
//
//	quoted      = DQUOTE *QUOTED-CHAR DQUOTE
//	QUOTED-CHAR = <any TEXT-CHAR except quoted-specials> / "\" quoted-specials / UTF8-2 /
//	              UTF8-3 / UTF8-4
func (d *Decoder) needQuoted() string {
	start := d.pos + 1
	b := d.line[start:]
	end := bytes.IndexAny(b, "\"\\")
	if end >= 0 && b[end] == '"' { // Usual: nothing is escaped.
		d.pos = start + end + 1
		return d.checkQuoted(string(b[:end]), start)
	}
	var s []byte
	for i := 0; i < len(b); i++ {
		c := b[i]
		switch c {
		case '"':
			d.pos = start + i + 1
			return d.checkQuoted(string(s), start)
		case '\\':
			i++
			if i == len(b) || b[i] != '"' && b[i] != '\\' {
				d.failAt(start+i, "expected %q or %q after backslash", '"', '\\')
				return ""
			}
			c = b[i]
		}
		s = append(s, c)
	}
	d.failAt(len(d.line), "expected end of quoted string")
	return ""
}

// checkQuoted checks the content of a quoted string, or text, for what is no character of it.
func (d *Decoder) checkQuoted(s string, pos int) string {
	if d.err != nil {
		return ""
	}
	ascii := true
	for i := 0; i < len(s); i++ {
		if s[i] == 0 || s[i] == '\r' {
			d.failAt(pos, "invalid character in string")
			return ""
		}
		ascii = ascii && s[i] < utf8.RuneSelf
	}
	switch {
	case ascii:
	case d.opts.Response && !d.utf8:
		d.failAt(pos, "character in string that is not ASCII") // RFC 9755 §3
		return ""
	case !utf8.ValidString(s):
		d.failAt(pos, "string is not UTF-8")
		return ""
	}
	return s
}

// NeedMailbox consumes a mailbox name and returns it in UTF-8, with "Inbox" as that is
// spelled. It may be empty, and need not be a name that [imap.ParseMailboxName] takes.
// RFC 9051 §9, production mailbox
func (d *Decoder) NeedMailbox() string {
	pos := d.pos
	return imap.CanonicalInbox(d.mailboxName(d.NeedAString(), pos))
}

// NeedListMailbox consumes a mailbox name or pattern and returns it in UTF-8.
// RFC 9051 §9, production list-mailbox
func (d *Decoder) NeedListMailbox() string {
	pos := d.pos
	if b := d.span(&lex.ListChar); len(b) > 0 {
		d.pos += len(b)
		return d.mailboxName(string(b), pos)
	}
	return d.mailboxName(d.NeedString(), pos)
}

// mailboxName decodes a name that was read at pos.
func (d *Decoder) mailboxName(s string, pos int) string {
	if d.err != nil || d.utf8 {
		return s
	}
	name, err := imap.DecodeUTF7(s)
	if err != nil {
		d.failAt(pos, "%s", err.Error())
		return ""
	}
	return name
}

// parseNumber64 parses digits as a number of at most 63 bits.
func parseNumber64(b []byte) (uint64, bool) {
	var n uint64
	for _, c := range b {
		v := uint64(c - '0')
		if n > (math.MaxInt64-v)/10 {
			return 0, false
		}
		n = n*10 + v
	}
	return n, len(b) > 0
}

// needNumber consumes a number of at most max, and at least 1 without leading zeros if nz.
func (d *Decoder) needNumber(max uint64, nz bool) uint64 {
	b := d.span(&lex.Digit)
	n, ok := parseNumber64(b)
	switch {
	case len(b) == 0:
		d.Fail("expected number")
	case !ok || n > max:
		d.Fail("number too large")
	case nz && b[0] == '0':
		d.Fail("expected number without leading zero")
	default:
		d.pos += len(b)
		return n
	}
	return 0
}

// NeedNumber consumes a number of 32 bits. RFC 9051 §9, production number
func (d *Decoder) NeedNumber() uint32 {
	return uint32(d.needNumber(math.MaxUint32, false))
}

// NeedNZNumber consumes a number of 32 bits that is not 0. RFC 9051 §9, production
// nz-number
func (d *Decoder) NeedNZNumber() uint32 {
	return uint32(d.needNumber(math.MaxUint32, true))
}

// NeedNumber64 consumes a number of 63 bits. RFC 9051 §9, production number64
func (d *Decoder) NeedNumber64() int64 {
	return int64(d.needNumber(math.MaxInt64, false))
}

// NeedNZNumber64 consumes a number of 63 bits that is not 0. RFC 9051 §9, production
// nz-number64
func (d *Decoder) NeedNZNumber64() int64 {
	return int64(d.needNumber(math.MaxInt64, true))
}

// NeedModSeq consumes a mod-sequence, which is 0 only where the RFC allows it.
// RFC 7162 §7, productions mod-sequence-value and mod-sequence-valzer
func (d *Decoder) NeedModSeq(zeroOK bool) uint64 {
	if zeroOK && d.PeekIs('0') {
		return uint64(d.NeedNumber64())
	}
	return uint64(d.NeedNZNumber64())
}

// numSetChar are the bytes of sequence-set.
var numSetChar = lex.Digit.Union(lex.Bytes("*:,$"))

// NeedNumSet consumes a set of sequence numbers or UIDs, or "$". RFC 9051 §9, production
// sequence-set
func (d *Decoder) NeedNumSet() imap.NumSet {
	b := d.span(&numSetChar)
	if len(b) == 0 {
		d.Fail("expected sequence-set")
		return imap.NumSet{}
	}
	set, err := imap.ParseNumSet(string(b), d.opts.Limits.Ranges)
	if err != nil {
		d.Fail("%s", err.Error())
		return imap.NumSet{}
	}
	d.pos += len(b)
	return set
}

// NeedStaticSet consumes a number set without "*" and "$", and returns its ranges as they
// were written, in any order. RFC 9051 §9, production uid-set
func (d *Decoder) NeedStaticSet() imap.NumSet {
	pos := d.pos
	set := d.NeedNumSet()
	if d.err == nil && set.Dynamic() {
		d.failAt(pos, "number set must not have %q or %q", '*', '$')
		return imap.NumSet{}
	}
	return set
}
