package wire

import (
	"slices"
	"strings"
	"unicode/utf8"

	"mox/imap"
	"mox/internal/lex"
)

// NeedSearchReturn consumes the result options of SEARCH, after RETURN and a space. An
// empty list is ALL. RFC 9051 §9, production search-return-opts, RFC 5267 §5, RFC 5465 §7
func (d *Decoder) NeedSearchReturn() imap.SearchReturn {
	defer d.In("search-return-opt")()
	r := imap.SearchReturn{Given: true}
	n := 0
	d.NeedListOrEmpty(func() {
		n++
		pos := d.pos
		switch d.NeedName() {
		case "MIN":
			r.Min = true
		case "MAX":
			r.Max = true
		case "ALL":
			r.All = true
		case "COUNT":
			r.Count = true
		case "SAVE":
			r.Save = true
		case "PARTIAL":
			if r.Partial != nil {
				d.failAt(pos, "duplicate PARTIAL")
			}
			d.NeedSP()
			r.Partial = d.NeedPartialRange()
		case "CONTEXT":
			r.Context = true
		case "UPDATE":
			r.Update = true
			if d.PeekSPList() {
				d.NeedSP()
				r.UpdateItems = d.NeedFetchList()
			}
		default:
			d.failAt(pos, "unknown search return option")
		}
	})
	if n == 0 {
		r.All = true
	}
	if r.All && r.Partial != nil {
		d.Fail("ALL and PARTIAL exclude each other") // RFC 9394 §3.1
	}
	return r
}

// NeedPartialRange consumes a range of results. RFC 9394 §4, production partial-range
func (d *Decoder) NeedPartialRange() *imap.PartialRange {
	sign := int64(1)
	if d.TryByte('-') {
		sign = -1
	}
	a := int64(d.NeedNZNumber())
	d.NeedByte(':')
	if sign < 0 {
		d.NeedByte('-')
	}
	b := int64(d.NeedNZNumber())
	return &imap.PartialRange{First: sign * min(a, b), Last: sign * max(a, b)}
}

// NeedSearchProgram consumes charset and keys of SEARCH. Text that is not in the charset is
// BAD; another charset than US-ASCII and UTF-8 is NO with BADCHARSET.
//
//	search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)
func (d *Decoder) NeedSearchProgram() imap.SearchProgram {
	var charset string
	if d.TryName("CHARSET") {
		d.NeedSP()
		charset = d.NeedCharset()
		d.NeedSP()
	}
	return d.needSearchKeys(charset)
}

// NeedSearchCriteria consumes charset and keys of SORT and THREAD. See
// [Decoder.NeedSearchProgram]. RFC 5256 §5, production search-criteria
func (d *Decoder) NeedSearchCriteria() imap.SearchProgram {
	charset := d.NeedCharset()
	d.NeedSP()
	return d.needSearchKeys(charset)
}

// NeedCharset consumes the name of a charset and returns it in upper case. RFC 9051 §9,
// production charset
func (d *Decoder) NeedCharset() string {
	if d.PeekIs('"') {
		return strings.ToUpper(d.needQuoted())
	}
	return strings.ToUpper(d.NeedAtom())
}

func (d *Decoder) needSearchKeys(charset string) imap.SearchProgram {
	defer d.In("search-key")()
	p := imap.SearchProgram{Charset: charset}
	s := searchDecoder{Decoder: d}
	p.Key = s.needKeys()
	if d.err != nil {
		return imap.SearchProgram{}
	}
	if charset != "" && charset != "UTF-8" && charset != "US-ASCII" {
		d.setErr(imap.No(imap.CodeBadCharset.List("US-ASCII", "UTF-8"), "charset not supported"))
	} else if p.Key.Any(func(k *imap.SearchKey) bool { return !utf8.ValidString(k.Text) || !utf8.ValidString(k.Header) }) {
		d.Fail("text is not UTF-8")
	}
	return p
}

// searchDecoder counts the keys of a program.
type searchDecoder struct {
	*Decoder
	keys, depth int
}

// needKeys consumes keys separated by spaces, as one.
func (d *searchDecoder) needKeys() imap.SearchKey {
	var keys []imap.SearchKey
	for d.err == nil {
		keys = append(keys, d.needKey())
		if !d.TrySP() {
			break
		}
	}
	if len(keys) == 1 {
		return keys[0]
	}
	return imap.SearchKey{Op: imap.SearchAnd, Keys: keys}
}

// needKey consumes a search key.
//
//	search-key = "ALL" / "ANSWERED" / ... / "HEADER" SP header-fld-name SP astring /
//	             "NOT" SP search-key / "OR" SP search-key SP search-key /
//	             "UID" SP sequence-set / sequence-set /
//	             "(" search-key *(SP search-key) ")"
func (d *searchDecoder) needKey() (key imap.SearchKey) {
	d.keys++
	d.depth++
	defer func() { d.depth-- }()
	if d.keys > imap.MaxSearchKeys || d.depth > imap.MaxSearchDepth {
		d.setErr(imap.No(imap.CodeLimit, "search too complex"))
		return key
	}
	c, _ := d.Peek()
	switch {
	case c == '(':
		d.pos++
		key = d.needKeys()
		d.NeedByte(')')
		return key
	case numSetChar.Has(c):
		return imap.SearchKey{Op: imap.SearchSeq, Set: d.NeedNumSet()}
	}
	pos := d.pos
	name := d.NeedName()
	if d.err != nil {
		return key
	}
	var ok bool
	if key.Op, key.Flag, ok = imap.ParseSearchOp(name); !ok {
		d.failAt(pos, "unknown search key")
		return key
	}
	d.needArg(&key)
	return key
}

// needArg consumes the argument of a key.
func (d *searchDecoder) needArg(key *imap.SearchKey) {
	arg := key.Op.Arg()
	if arg != imap.ArgNone {
		d.NeedSP()
	}
	switch arg {
	case imap.ArgKeys:
		key.Keys = append(key.Keys, d.needKey())
		if key.Op == imap.SearchOr {
			d.NeedSP()
			key.Keys = append(key.Keys, d.needKey())
		}
	case imap.ArgSet:
		key.Set = d.NeedNumSet()
	case imap.ArgText:
		key.Text = d.needRawAString()
	case imap.ArgHeader:
		key.Header = d.needFieldName()
		d.NeedSP()
		key.Text = d.needRawAString()
	case imap.ArgDate:
		key.Date = d.NeedDate()
	case imap.ArgNumber:
		key.Number = uint64(d.NeedNumber64())
	case imap.ArgNZNumber:
		key.Number = uint64(d.NeedNZNumber())
	case imap.ArgKeyword:
		d.needKeywordArg(key)
	case imap.ArgObjectID:
		key.Text = d.NeedObjectID()
	case imap.ArgModSeq:
		d.needModSeqArg(key)
	}
}

// needKeywordArg consumes the flag-keyword of KEYWORD and UNKEYWORD. Keywords that are
// kept as flags become searches for those.
func (d *searchDecoder) needKeywordArg(key *imap.SearchKey) {
	pos := d.pos
	name := d.NeedAtom()
	if d.err != nil {
		return
	}
	flag, keyword, err := imap.ParseFlag(name)
	if err != nil {
		d.failAt(pos, "%s", err.Error())
		return
	}
	key.Flag, key.Text = flag, keyword
	if flag != 0 {
		if key.Op == imap.SearchKeyword {
			key.Op = imap.SearchFlag
		} else {
			key.Op = imap.SearchNotFlag
		}
	}
}

// needModSeqArg consumes what follows MODSEQ and a space.
//
//	search-modsequence = "MODSEQ" [search-modseq-ext] SP mod-sequence-valzer
//	search-modseq-ext  = SP entry-name SP entry-type-req
func (d *searchDecoder) needModSeqArg(key *imap.SearchKey) {
	if d.PeekIs('"') {
		pos := d.pos
		e := &imap.ModSeqEntry{Name: d.needQuoted()}
		if d.err == nil && !strings.HasPrefix(strings.ToLower(e.Name), "/flags/") {
			d.failAt(pos, "unknown metadata entry")
		}
		d.NeedSP()
		pos = d.pos
		e.Type = strings.ToLower(d.NeedAtom())
		if d.err == nil && e.Type != "priv" && e.Type != "shared" && e.Type != "all" {
			d.failAt(pos, "unknown entry type")
		}
		d.NeedSP()
		key.Entry = e
	}
	key.Number = d.NeedModSeq(true)
}

// objectIDChar are the bytes of objectid. RFC 8474 §7
var objectIDChar = lex.Alpha.Union(lex.Digit, lex.Bytes("_-"))

// NeedObjectID consumes an object identifier of at most 255 bytes. RFC 8474 §7, production
// objectid
func (d *Decoder) NeedObjectID() string {
	pos := d.pos
	s := d.needSpan(&objectIDChar, "objectid")
	if len(s) > 255 {
		d.failAt(pos, "objectid longer than 255 bytes")
	}
	return s
}

// sortKeys are the keys of SORT.
var sortKeys = [...]imap.SortKey{
	imap.SortArrival, imap.SortCc, imap.SortDate, imap.SortFrom, imap.SortSize, imap.SortSubject, imap.SortTo,
	imap.SortDisplayFrom, imap.SortDisplayTo,
}

// NeedSortCriteria consumes the keys of SORT. RFC 5256 §5, production sort-criteria
//
//	sort-criteria  = "(" sort-criterion *(SP sort-criterion) ")"
//	sort-criterion = ["REVERSE" SP] sort-key
func (d *Decoder) NeedSortCriteria() []imap.SortCriterion {
	defer d.In("sort-criterion")()
	var l []imap.SortCriterion
	d.NeedList(func() {
		var c imap.SortCriterion
		if c.Reverse = d.TryName("REVERSE"); c.Reverse {
			d.NeedSP()
		}
		pos := d.pos
		c.Key = imap.SortKey(d.NeedName())
		if d.err == nil && !slices.Contains(sortKeys[:], c.Key) {
			d.failAt(pos, "unknown sort key")
		}
		l = append(l, c)
	})
	return l
}

// NeedThreadAlgorithm consumes the algorithm of THREAD. RFC 5256 §5, production thread-alg
func (d *Decoder) NeedThreadAlgorithm() imap.ThreadAlgorithm {
	defer d.In("thread-alg")()
	pos := d.pos
	a := imap.ThreadAlgorithm(strings.ToUpper(d.NeedAtom()))
	if d.err == nil && a != imap.ThreadOrderedSubject && a != imap.ThreadReferences {
		d.failAt(pos, "unknown threading algorithm")
	}
	return a
}
