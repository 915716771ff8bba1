package search

import (
	"bytes"
	"slices"
	"time"

	"mox/imap"
	"mox/internal/fts"
	"mox/message"
	"mox/store"
)

// opcode is what a node asks of a message.
type opcode uint8

const (
	opAll opcode = iota
	opNone
	opAnd
	opOr
	opNot

	// Asked of the index.
	opPositions // Position in set, counted from 1.
	opUIDs
	opFlags // Exactly the flags want among mask.
	opKeyword
	opReceived
	opSaved
	opReceivedSince // At or after the Unix time number.
	opReceivedUntil // At or before the Unix time number.
	opLarger
	opSmaller
	opModSeq
	opContentID
	opThreadID

	// Asked of the digest.
	opFrom
	opTo
	opCc
	opBcc
	opSubject
	opSent

	// Asked of the digest if it has the field, else of the file.
	opHeader

	// Asked of the text index if it has the message, else of the file.
	opNeedle

	// Of columns that FETCH sends, see Data.
	opStructure
	opFields
)

// cost returns how dear it is to ask: 0 for the index, 1 for the digest, 2 for a header
// in a file, 3 for all of a file.
func (op opcode) cost() int {
	switch {
	case op < opFrom:
		return 0
	case op < opHeader:
		return 1
	case op == opHeader:
		return 2
	}
	return 3
}

// node is a condition. Only the fields that its op uses are set.
type node struct {
	op   opcode
	cost int // The highest of itself and its kids.
	kids []node

	set        imap.Ranges
	mask, want imap.Flags
	keyword    string
	folded     []byte // Text to look for.
	field      []byte // Name of the header field.
	days       dayRange
	number     int64
	needle     int // Of opNeedle, in Program.needles.
	leaf       int // Of what is asked of digests and headers, in Program.leaves, from 1 on.
	pattern    int // Of those of them that the text index knows, in Program.patterns, from 1 on.
}

// dayRange is the days from first to last, both included, counted from 1970-01-01.
type dayRange struct{ first, last int }

func (r dayRange) has(day int) verdict { return verdictOf(day >= r.first && day <= r.last) }

const secondsPerDay = 24 * 60 * 60

// dayOf returns the day of t in its own zone. RFC 9051 §6.4.4 disregards time and
// zone.
func dayOf(t time.Time) int {
	_, offset := t.Zone()
	return floorDays(t.Unix() + int64(offset))
}

func floorDays(sec int64) int {
	day := sec / secondsPerDay
	if sec%secondsPerDay < 0 {
		day--
	}
	return int(day)
}

// verdict is the result of asking, as far as it is known.
type verdict uint8

const (
	unknown verdict = iota
	no
	yes
)

func verdictOf(b bool) verdict {
	if b {
		return yes
	}
	return no
}

// subject is a message with what has been read of it so far.
type subject struct {
	pos    int
	entry  *store.Entry
	flags  imap.Flags
	digest message.Digest // Nil until read.
	texts  *fts.Search    // Nil if there is no text index.
	found  []fts.Answer   // Of the text index, by needle. Nil until texts were looked at.
	file   *fileFacts     // Nil until read.

	columns [][]verdict // Of text columns, by leaf and position. Nil if they were not used.
}

// eval returns whether the message meets the condition.
func (m *subject) eval(n *node) verdict {
	switch n.op {
	case opAnd, opOr:
		return m.evalList(n)
	case opNot:
		switch m.eval(&n.kids[0]) {
		case yes:
			return no
		case no:
			return yes
		}
		return unknown
	}
	switch n.op.cost() {
	case 0:
		return verdictOf(m.evalIndex(n))
	case 3:
		return m.evalNeedle(n.needle)
	}
	if v := m.evalColumn(n); v != unknown {
		return v
	}
	if n.op == opHeader {
		return m.evalHeader(n)
	} else if m.digest == nil {
		return unknown
	}
	return m.evalDigest(n)
}

// evalColumn evaluates a condition on texts from a text column, or from the text index.
func (m *subject) evalColumn(n *node) verdict {
	if m.columns != nil && m.columns[n.leaf-1] != nil {
		if v := m.columns[n.leaf-1][m.pos]; v != unknown {
			return v
		}
	}
	switch {
	case n.pattern == 0 || m.file != nil:
	case m.found != nil && m.found[n.pattern-1] == fts.No,
		m.texts != nil && m.texts.May(n.pattern-1, m.entry.ContentID) == fts.No:
		return no
	case m.found != nil && m.found[n.pattern-1] == fts.Yes && n.op == opHeader:
		return yes
	}
	return unknown
}

// evalList evaluates opAnd and opOr. Kids are ordered by cost; the first that decides
// ends it.
func (m *subject) evalList(n *node) verdict {
	deciding, neutral := no, yes
	if n.op == opOr {
		deciding, neutral = yes, no
	}
	result := neutral
	for i := range n.kids {
		switch m.eval(&n.kids[i]) {
		case deciding:
			return deciding
		case unknown:
			result = unknown
		}
	}
	return result
}

func (m *subject) evalIndex(n *node) bool {
	e := m.entry
	switch n.op {
	case opAll:
		return true
	case opPositions:
		return n.set.Contains(uint32(m.pos + 1))
	case opUIDs:
		return n.set.Contains(e.UID)
	case opFlags:
		return m.flags&n.mask == n.want
	case opKeyword:
		_, ok := slices.BinarySearch(e.Keywords(), n.keyword)
		return ok
	case opReceived:
		return receivedOn(e, n.days)
	case opSaved:
		saved := e.SaveDate()
		if saved.IsZero() {
			return receivedOn(e, n.days) // RFC 8514 §4.3
		}
		return n.days.has(dayOf(saved)) == yes
	case opReceivedSince:
		return e.ReceivedUnix() >= n.number
	case opReceivedUntil:
		return e.ReceivedUnix() <= n.number
	case opLarger:
		return e.Size > n.number
	case opSmaller:
		return e.Size < n.number
	case opModSeq:
		return int64(e.ModSeq) >= n.number
	case opContentID:
		return e.ContentID == n.number
	case opThreadID:
		return e.ThreadID == n.number
	}
	return false // opNone
}

// receivedOn reports whether the internal date, in its own zone, is one of the days. The
// zone is only made when it can matter.
func receivedOn(e *store.Entry, days dayRange) bool {
	day := floorDays(e.ReceivedUnix())
	switch {
	case day+1 < days.first || day-1 > days.last:
		return false
	case day-1 >= days.first && day+1 <= days.last:
		return true
	}
	return days.has(dayOf(e.Received())) == yes
}

func (m *subject) evalDigest(n *node) verdict {
	d := m.digest
	if n.op == opSent {
		day, ok := d.SentDay()
		if !ok {
			return no
		}
		return n.days.has(day)
	}
	switch {
	case bytes.Contains(searchText(n.op, d), n.folded):
		return yes
	case !d.SearchCut():
		return no
	case m.file == nil:
		return unknown // The digest does not have all of it.
	}
	field := *n
	field.field = []byte(fieldOf[n.op])
	return headerMatches(&m.file.header, &field)
}

// searchText returns the text that an operation asks the digest for.
func searchText(op opcode, d message.Digest) []byte {
	switch op {
	case opFrom:
		return d.SearchFrom()
	case opTo:
		return d.SearchTo()
	case opCc:
		return d.SearchCc()
	case opBcc:
		return d.SearchBcc()
	}
	return d.SearchSubject()
}

// fieldOf has the header field of operations that ask the digest for its text.
var fieldOf = [...]string{opFrom: "From", opTo: "To", opCc: "Cc", opBcc: "Bcc", opSubject: "Subject"}
