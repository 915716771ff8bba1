package wire

import (
	"strconv"
	"strings"

	"mox/imap"
)

// SearchReturn appends the result options of a search in parentheses.
func (e *Encoder) SearchReturn(r *imap.SearchReturn) {
	e.Open()
	for _, o := range [...]struct {
		name string
		on   bool
	}{{"MIN", r.Min}, {"MAX", r.Max}, {"ALL", r.All}, {"COUNT", r.Count}, {"SAVE", r.Save}, {"CONTEXT", r.Context}, {"UPDATE", r.Update}} {
		if o.on {
			e.Item()
			e.Raw(o.name)
		}
	}
	if len(r.UpdateItems) > 0 {
		e.SP()
		e.Open()
		for i := range r.UpdateItems {
			e.Item()
			e.Raw(r.UpdateItems[i].String())
		}
		e.Close()
	}
	if p := r.Partial; p != nil {
		e.Name("PARTIAL")
		e.PartialRange(p)
	}
	e.Close()
}

// PartialRange appends a range of results. RFC 9394 §4, production partial-range
func (e *Encoder) PartialRange(p *imap.PartialRange) {
	b := strconv.AppendInt(e.room(64), p.First, 10)
	b = append(b, ':')
	e.done(strconv.AppendInt(b, p.Last, 10))
}

// SearchCriteria appends charset and keys for SORT and THREAD. The charset is UTF-8 if none is
// set. RFC 5256 §5, production search-criteria
func (e *Encoder) SearchCriteria(p *imap.SearchProgram) {
	charset := p.Charset
	if charset == "" {
		charset = "UTF-8"
	}
	e.AString(charset)
	e.SP()
	e.SearchProgram(&imap.SearchProgram{Key: p.Key})
}

// SortCriteria appends the keys of SORT. RFC 5256 §5, production sort-criteria
func (e *Encoder) SortCriteria(l []imap.SortCriterion) {
	e.Open()
	for _, c := range l {
		e.Item()
		if c.Reverse {
			e.Raw("REVERSE ")
		}
		e.Raw(string(c.Key))
	}
	e.Close()
}

// SearchProgram appends charset, if it is set, and keys of a search. RFC 9051 §9,
// production search-program
func (e *Encoder) SearchProgram(p *imap.SearchProgram) {
	if p.Charset != "" {
		e.Raw("CHARSET ")
		e.AString(p.Charset)
		e.SP()
	}
	if p.Key.Op == imap.SearchAnd {
		e.searchKeys(p.Key.Keys)
	} else {
		e.searchKey(&p.Key)
	}
}

func (e *Encoder) searchKeys(keys []imap.SearchKey) {
	for i := range keys {
		if i > 0 {
			e.SP()
		}
		e.searchKey(&keys[i])
	}
}

// searchKey appends a search key. RFC 9051 §9, production search-key
func (e *Encoder) searchKey(k *imap.SearchKey) {
	switch k.Op {
	case imap.SearchAnd:
		e.Byte('(')
		e.searchKeys(k.Keys)
		e.Byte(')')
		return
	case imap.SearchSeq:
		e.NumSet(k.Set)
		return
	case imap.SearchFlag, imap.SearchNotFlag:
		e.flagKey(k)
		return
	}
	e.Raw(k.Op.String())
	arg := k.Op.Arg()
	if arg != imap.ArgNone {
		e.SP()
	}
	switch arg {
	case imap.ArgKeys:
		e.searchKeys(k.Keys)
	case imap.ArgSet:
		e.NumSet(k.Set)
	case imap.ArgText:
		e.AString(k.Text)
	case imap.ArgHeader:
		e.AString(k.Header)
		e.SP()
		e.AString(k.Text)
	case imap.ArgDate:
		e.Date(k.Date)
	case imap.ArgNumber, imap.ArgNZNumber:
		e.Number(k.Number)
	case imap.ArgKeyword, imap.ArgObjectID:
		e.Raw(k.Text)
	case imap.ArgModSeq:
		if x := k.Entry; x != nil {
			e.quoted(x.Name)
			e.SP()
			e.Raw(x.Type)
			e.SP()
		}
		e.Number(k.Number)
	}
}

// flagKey appends a key for a flag: UNSEEN, or KEYWORD $Junk.
func (e *Encoder) flagKey(k *imap.SearchKey) {
	not := ""
	if k.Op == imap.SearchNotFlag {
		not = "UN"
	}
	name := k.Flag.String()
	if system, ok := strings.CutPrefix(name, `\`); ok {
		e.Raw(not + strings.ToUpper(system))
	} else {
		e.Raw(not + "KEYWORD " + name)
	}
}
