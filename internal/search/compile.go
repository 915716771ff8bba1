package search

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"mox/imap"
	"mox/internal/fts"
	"mox/message"
	"mox/store"
)

// Prefixes of object identifiers. RFC 8474 §4, §5
const (
	EmailIDPrefix   = "M" // Followed by the content id.
	ThreadIDPrefix  = "T" // Followed by the thread id.
	MailboxIDPrefix = "B" // Followed by the mailbox id.
)

// errSequence is for message sequence numbers that no message has. RFC 9051 §9,
// seq-number
var errSequence = imap.Bad("", "message sequence number is larger than the number of messages")

// Compile makes a program from a search key, whose size the parser has limited
// (imap.MaxSearchKeys). The error is an *imap.Error of type BAD for a message sequence
// number beyond the end of the mailbox. "*" is the last message; in an empty mailbox it
// stands for no message.
func Compile(key *imap.SearchKey, scope Scope) (*Program, error) {
	c := compiler{scope: scope, p: &Program{index: scope.Index}}
	root := c.compile(key)
	if c.err != nil {
		return nil, c.err
	}
	c.p.root = root
	c.p.narrow()
	c.p.number(&c.p.root)
	return c.p, nil
}

type compiler struct {
	scope Scope
	p     *Program
	err   error
}

// compile returns the node for a key.
func (c *compiler) compile(key *imap.SearchKey) node {
	switch key.Op {
	case imap.SearchAnd, imap.SearchOr:
		n := node{op: opAnd}
		if key.Op == imap.SearchOr {
			n.op = opOr
		}
		for i := range key.Keys {
			n.kids = append(n.kids, c.compile(&key.Keys[i]))
		}
		return simplify(n)
	case imap.SearchNot:
		return simplify(node{op: opNot, kids: []node{c.compile(&key.Keys[0])}})
	}
	n := c.leaf(key)
	n.cost = n.op.cost()
	if n.cost == 1 || n.cost == 2 {
		c.p.digests = true
	}
	return n
}

// number numbers the conditions on texts, and lists what the text index is asked for.
func (p *Program) number(n *node) {
	for i := range n.kids {
		p.number(&n.kids[i])
	}
	if n.cost != 1 && n.cost != 2 || len(n.kids) > 0 {
		return
	}
	p.leaves = append(p.leaves, n)
	n.leaf = len(p.leaves)
	switch {
	case n.op == opHeader && n.indexable():
		n.pattern = p.addPattern(fts.Pattern{Field: n.field, Text: n.folded})
	case n.op == opSubject:
		// The index has it as the digest, but perhaps of several fields.
		n.pattern = p.addPattern(fts.Pattern{Field: []byte("subject"), Text: n.folded})
	}
}

func (p *Program) addPattern(f fts.Pattern) int {
	p.patterns = append(p.patterns, f)
	return len(p.patterns)
}

// simplify merges nodes and orders kids by cost.
func simplify(n node) node {
	if n.op == opNot {
		k := &n.kids[0]
		switch {
		case k.op == opAll:
			return node{op: opNone}
		case k.op == opNone:
			return node{op: opAll}
		case k.op == opNot:
			return k.kids[0]
		case k.op == opFlags && k.mask&(k.mask-1) == 0: // A single flag.
			return node{op: opFlags, mask: k.mask, want: k.want ^ k.mask}
		}
		n.cost = k.cost
		return n
	}
	var kids []node
	flags := node{op: opFlags}
	for _, k := range n.kids {
		switch {
		case k.op == n.op:
			kids = append(kids, k.kids...) // Associative.
		case k.op == opAll && n.op == opAnd, k.op == opNone && n.op == opOr:
		case k.op == opFlags && n.op == opAnd && !flags.contradicts(k):
			flags.mask, flags.want = flags.mask|k.mask, flags.want|k.want
		case k.op == opFlags && n.op == opAnd:
			return node{op: opNone}
		default:
			kids = append(kids, k)
		}
	}
	if flags.mask != 0 {
		kids = append(kids, flags)
	}
	slices.SortStableFunc(kids, func(a, b node) int { return cmp.Compare(a.cost, b.cost) })
	switch {
	case len(kids) == 1:
		return kids[0]
	case len(kids) == 0 && n.op == opOr:
		return node{op: opNone}
	case len(kids) == 0:
		return node{op: opAll}
	}
	n.kids, n.cost = kids, kids[len(kids)-1].cost
	return n
}

// contradicts reports whether no flags meet both conditions.
func (n *node) contradicts(o node) bool {
	both := n.mask & o.mask
	return n.want&both != o.want&both
}

// leaf returns the node for a key without keys in it.
func (c *compiler) leaf(key *imap.SearchKey) node {
	switch key.Op {
	case imap.SearchAll, imap.SearchSaveDateSupported:
		return node{op: opAll}
	case imap.SearchSeq:
		return c.sequence(key.Set)
	case imap.SearchUID:
		return node{op: opUIDs, set: c.uids(key.Set)}
	case imap.SearchUIDAfter, imap.SearchUIDBefore:
		return node{op: opUIDs, set: key.UIDs()}
	case imap.SearchFlag:
		return node{op: opFlags, mask: key.Flag, want: key.Flag}
	case imap.SearchNotFlag:
		return node{op: opFlags, mask: key.Flag}
	case imap.SearchKeyword:
		return node{op: opKeyword, keyword: key.Text}
	case imap.SearchNotKeyword:
		return not(node{op: opKeyword, keyword: key.Text})
	case imap.SearchRecent:
		return node{op: opUIDs, set: c.scope.Recent}
	case imap.SearchOld:
		return not(node{op: opUIDs, set: c.scope.Recent})
	case imap.SearchNew: // RECENT UNSEEN
		return simplify(node{op: opAnd, kids: []node{
			{op: opUIDs, set: c.scope.Recent}, {op: opFlags, mask: imap.FlagSeen},
		}})
	case imap.SearchLarger:
		return node{op: opLarger, number: clampInt64(key.Number)}
	case imap.SearchSmaller:
		return node{op: opSmaller, number: clampInt64(key.Number)}
	case imap.SearchModSeq:
		return node{op: opModSeq, number: clampInt64(key.Number)}
	case imap.SearchOlder:
		return node{op: opReceivedUntil, number: c.scope.Now.Unix() - clampInt64(key.Number)}
	case imap.SearchYounger:
		return node{op: opReceivedSince, number: c.scope.Now.Unix() - clampInt64(key.Number)}
	case imap.SearchEmailID:
		return objectID(opContentID, EmailIDPrefix, key.Text)
	case imap.SearchThreadID:
		return objectID(opThreadID, ThreadIDPrefix, key.Text)
	}
	if n, ok := dateLeaf(key); ok {
		return n
	}
	return c.textLeaf(key)
}

func not(n node) node { return simplify(node{op: opNot, kids: []node{n}}) }

func clampInt64(n uint64) int64 { return int64(min(n, math.MaxInt64)) }

// objectID returns the node for an identifier. Those that we did not make match
// nothing.
func objectID(op opcode, prefix, text string) node {
	digits, ok := strings.CutPrefix(text, prefix)
	n, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || strconv.FormatInt(n, 10) != digits {
		return node{op: opNone}
	}
	return node{op: op, number: n}
}

// dateLeaf returns the node for a key with a date.
func dateLeaf(key *imap.SearchKey) (node, bool) {
	const first, last = math.MinInt32, math.MaxInt32
	day := floorDays(key.Date.Time(time.UTC).Unix())
	switch key.Op {
	case imap.SearchBefore:
		return node{op: opReceived, days: dayRange{first, day - 1}}, true
	case imap.SearchOn:
		return node{op: opReceived, days: dayRange{day, day}}, true
	case imap.SearchSince:
		return node{op: opReceived, days: dayRange{day, last}}, true
	case imap.SearchSavedBefore:
		return node{op: opSaved, days: dayRange{first, day - 1}}, true
	case imap.SearchSavedOn:
		return node{op: opSaved, days: dayRange{day, day}}, true
	case imap.SearchSavedSince:
		return node{op: opSaved, days: dayRange{day, last}}, true
	case imap.SearchSentBefore:
		return node{op: opSent, days: dayRange{first, day - 1}}, true
	case imap.SearchSentOn:
		return node{op: opSent, days: dayRange{day, day}}, true
	case imap.SearchSentSince: // The day itself is included.
		return node{op: opSent, days: dayRange{day, last}}, true
	}
	return node{}, false
}

// textLeaf returns the node for a key with text.
func (c *compiler) textLeaf(key *imap.SearchKey) node {
	n := node{folded: []byte(message.Fold(key.Text))}
	switch key.Op {
	case imap.SearchHeader:
		// An empty text asks whether the field is there.
		n.op, n.field = opHeader, []byte(message.Fold(key.Header))
		return n
	case imap.SearchFrom:
		n.op = opFrom
	case imap.SearchTo:
		n.op = opTo
	case imap.SearchCc:
		n.op = opCc
	case imap.SearchBcc:
		n.op = opBcc
	case imap.SearchSubject:
		n.op = opSubject
	case imap.SearchBody, imap.SearchText:
		n.op = opNeedle
	default:
		c.err = imap.Bad("", "search key is not supported")
	}
	if key.Text == "" {
		return node{op: opAll} // The empty string is a substring of any text. RFC 9051 §6.4.4
	}
	if n.op == opNeedle {
		n.needle = c.needle(needle{text: key.Text, header: key.Op == imap.SearchText})
	}
	return n
}

// needle returns the index of a needle.
func (c *compiler) needle(n needle) int {
	if i := slices.Index(c.p.needles, n); i >= 0 {
		return i
	}
	c.p.needles = append(c.p.needles, n)
	c.p.patterns = append(c.p.patterns, fts.Pattern{Text: []byte(message.Fold(n.text)), BodyOnly: !n.header})
	return len(c.p.needles) - 1
}

// sequence returns the node for message sequence numbers.
func (c *compiler) sequence(set imap.NumSet) node {
	if set.Saved {
		return node{op: opUIDs, set: c.scope.Saved}
	}
	n := uint32(c.scope.Index.Len())
	r := set.Resolve(n)
	if r.Max() > n && !c.scope.AnySequence {
		c.err = errSequence
	}
	return node{op: opPositions, set: r}
}

// uids returns the UIDs of a set.
func (c *compiler) uids(set imap.NumSet) imap.Ranges {
	if set.Saved {
		return c.scope.Saved
	}
	var largest uint32
	if n := c.scope.Index.Len(); n > 0 {
		largest = c.scope.Index.At(n - 1).UID
	}
	return set.Resolve(largest)
}

// narrow takes what the conditions of the root say about flags and positions out of
// it, so that only messages that meet those are looked at.
func (p *Program) narrow() {
	p.intervals = []interval{{0, p.index.Len()}}
	kids := []node{p.root}
	if p.root.op == opAnd {
		kids = p.root.kids
	}
	var rest []node
	for _, k := range kids {
		switch k.op {
		case opFlags:
			p.mask, p.want = p.mask|k.mask, p.want|k.want // simplify left only one.
		case opPositions:
			p.intersect(positionIntervals(k.set))
		case opUIDs:
			p.intersect(p.uidIntervals(k.set))
		case opModSeq:
			p.since = max(p.since, store.ModSeq(k.number-1))
		case opNone:
			p.intersect(nil)
		default:
			rest = append(rest, k)
		}
	}
	p.root = simplify(node{op: opAnd, kids: rest})
	p.intervals = slices.DeleteFunc(p.intervals, func(iv interval) bool { return iv.first >= iv.end })
}

func positionIntervals(set imap.Ranges) []interval {
	l := make([]interval, 0, len(set))
	for _, r := range set {
		l = append(l, interval{int(r.First) - 1, int(r.Last)})
	}
	return l
}

func (p *Program) uidIntervals(set imap.Ranges) []interval {
	l := make([]interval, 0, len(set))
	for _, r := range set {
		first, _ := p.index.Find(r.First)
		end, ok := p.index.Find(r.Last)
		if ok {
			end++
		}
		l = append(l, interval{first, end})
	}
	return l
}

// intersect leaves the positions that are in the intervals of both.
func (p *Program) intersect(o []interval) {
	var out []interval
	for i, j := 0, 0; i < len(p.intervals) && j < len(o); {
		a, b := p.intervals[i], o[j]
		if iv := (interval{max(a.first, b.first), min(a.end, b.end)}); iv.first < iv.end {
			out = append(out, iv)
		}
		if a.end < b.end {
			i++
		} else {
			j++
		}
	}
	p.intervals = out
}
