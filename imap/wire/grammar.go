package wire

import (
	"bytes"
	"time"

	"mox/imap"
	"mox/internal/lex"
)

// NeedList consumes a list in parentheses of elements separated by spaces, each of which
// element consumes. There must be at least one and at most [MaxListItems].
func (d *Decoder) NeedList(element func()) {
	d.NeedListOf(1, MaxListItems, element)
}

// NeedListOrEmpty is [Decoder.NeedList] for a list that may be empty.
func (d *Decoder) NeedListOrEmpty(element func()) {
	d.NeedListOf(0, MaxListItems, element)
}

// NeedListOf is [Decoder.NeedList] for a list of min to max elements.
func (d *Decoder) NeedListOf(min, max int, element func()) {
	d.NeedByte('(')
	if min == 0 && d.TryByte(')') {
		return
	}
	for n := 1; d.err == nil; n++ {
		if n > max {
			d.Fail("more than %d elements in list", max)
			return
		}
		element()
		if !d.TrySP() {
			break
		}
	}
	d.NeedByte(')')
}

// NeedFlagName consumes the name of a flag or keyword. RFC 9051 §9, production flag
func (d *Decoder) NeedFlagName() string {
	if d.TryByte('\\') {
		return `\` + d.NeedAtom()
	}
	return d.needSpan(&lex.AtomChar, "flag")
}

func (d *Decoder) needFlag(set *imap.FlagSet) {
	pos := d.pos
	name := d.NeedFlagName()
	if d.err != nil {
		return
	}
	if err := set.Add(name); err != nil {
		d.failAt(pos, "%s", err.Error())
	}
}

// NeedFlagList consumes flags in parentheses, which may be none. RFC 9051 §9, production
// flag-list
func (d *Decoder) NeedFlagList() imap.FlagSet {
	defer d.In("flag-list")()
	var set imap.FlagSet
	d.NeedListOf(0, 2*imap.MaxKeywords, func() { d.needFlag(&set) })
	return set
}

// NeedFlags consumes flags with or without parentheres, as STORE has them. RFC 9051 §9,
// production store-att-flags
func (d *Decoder) NeedFlags() imap.FlagSet {
	if d.PeekIs('(') {
		return d.NeedFlagList()
	}
	defer d.In("store-att-flags")()
	var set imap.FlagSet
	for {
		d.needFlag(&set)
		if !d.TrySP() {
			return set
		}
	}
}

// NeedDate consumes a date, which may be quoted. RFC 9051 §9, production date
func (d *Decoder) NeedDate() imap.Date {
	pos := d.pos
	quoted := d.TryByte('"')
	text := d.span(&lex.AtomChar)
	d.pos += len(text)
	if quoted {
		d.NeedByte('"')
	}
	if d.err != nil {
		return imap.Date{}
	}
	date, err := imap.ParseDate(string(text))
	if err != nil {
		d.failAt(pos, "expected date")
	}
	return date
}

// NeedDateTime consumes a date and time in quotes. RFC 9051 §9, production date-time
func (d *Decoder) NeedDateTime() time.Time {
	pos := d.pos
	if !d.PeekIs('"') {
		d.Fail("expected date-time")
		return time.Time{}
	}
	text := d.line[pos+1:]
	end := bytes.IndexByte(text, '"')
	t, err := imap.ParseDateTime(string(text[:max(end, 0)]))
	if err != nil {
		d.Fail("expected date-time")
		return time.Time{}
	}
	d.pos = pos + end + 2
	return t
}

// NeedStatusItems consumes the list of items of a STATUS command. RFC 9051 §9, production
// status
func (d *Decoder) NeedStatusItems() []imap.StatusItem {
	defer d.In("status-att")()
	var items []imap.StatusItem
	d.NeedList(func() {
		pos := d.pos
		item, ok := imap.ParseStatusItem(d.NeedName())
		if !ok {
			d.failAt(pos, "unknown status item")
			return
		}
		items = append(items, item)
	})
	return items
}
