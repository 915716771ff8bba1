package search

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sort"

	"mox/imap"
	"mox/message"
	"mox/store"
)

// columnKind is what a column has of messages.
type columnKind uint8

const (
	columnDate columnKind = iota
	columnSubject
	columnFrom
	columnTo
	columnCc
	columnDisplayFrom
	columnDisplayTo
	columnKinds

	columnNone columnKind = 255 // Of sort keys that the index has.
)

// kindOf returns the column of a sort key.
func kindOf(key imap.SortKey) columnKind {
	switch key {
	case imap.SortDate:
		return columnDate
	case imap.SortSubject:
		return columnSubject
	case imap.SortFrom:
		return columnFrom
	case imap.SortTo:
		return columnTo
	case imap.SortCc:
		return columnCc
	case imap.SortDisplayFrom:
		return columnDisplayFrom
	case imap.SortDisplayTo:
		return columnDisplayTo
	}
	return columnNone
}

// appendValue appends what a message is sorted by: octets that order as the values do. A
// message without a digest is gone, and has none.
func (k columnKind) appendValue(dst []byte, e *store.Entry, d message.Digest) []byte {
	switch k {
	case columnDate: // RFC 5256 §2.2
		sent := e.ReceivedUnix()
		if t, ok := d.SentTime(); ok {
			sent = t.Unix()
		}
		return binary.BigEndian.AppendUint64(dst, uint64(sent)^1<<63)
	case columnSubject: // RFC 5256 §2.1
		return appendCollation(dst, d.BaseSubject())
	case columnFrom:
		return appendMailbox(dst, d.SearchFrom())
	case columnTo:
		return appendMailbox(dst, d.SearchTo())
	case columnCc:
		return appendMailbox(dst, d.SearchCc())
	case columnDisplayFrom:
		return appendDisplay(dst, d.SearchFrom())
	case columnDisplayTo:
		return appendDisplay(dst, d.SearchTo())
	}
	return dst
}

// appendMailbox appends the addr-mailbox of the first address: that of a group is its name.
// RFC 5256 §3
func appendMailbox(dst, addresses []byte) []byte {
	name, addr := message.SplitAddress(addresses)
	if len(addr) == 0 {
		return appendCollation(dst, name)
	}
	local, _ := splitDomain(addr)
	return appendCollation(dst, local)
}

// appendDisplay appends the display name of the first address, or the address. RFC 5957 §3
func appendDisplay(dst, addresses []byte) []byte {
	name, addr := message.SplitAddress(addresses)
	if len(name) > 0 {
		return appendCollation(dst, name)
	}
	local, domain := splitDomain(addr)
	return appendCollation(appendCollation(dst, local), domain)
}

// splitDomain returns the local part of an address, without quoting (RFC 9051 §7.5.2), and
// the domain with the "@" before it.
func splitDomain(addr []byte) (local, domain []byte) {
	local = addr
	if n := bytes.LastIndexByte(addr, '@'); n >= 0 {
		local, domain = addr[:n], addr[n:]
	}
	if len(local) < 2 || local[0] != '"' || local[len(local)-1] != '"' {
		return local, domain
	}
	plain := make([]byte, 0, len(local))
	for i := 1; i < len(local)-1; i++ {
		if local[i] == '\\' && i < len(local)-2 {
			i++
		}
		plain = append(plain, local[i])
	}
	return plain, domain
}

// column has one value of each row of a table, as its rank among all: equal values have
// the same rank, and smaller ones a lower one.
type column struct {
	ranks  []uint32
	values values // By rank.
}

// values is a list of byte strings.
type values struct {
	text []byte
	ends []uint32 // Of each, in text.
}

func (v *values) len() int { return len(v.ends) }

func (v *values) at(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = v.ends[i-1]
	}
	return v.text[start:v.ends[i]]
}

func (v *values) add(b []byte) {
	v.text = append(v.text, b...)
	v.ends = append(v.ends, uint32(len(v.text)))
}

// end ends a value that was appended to text.
func (v *values) end() { v.ends = append(v.ends, uint32(len(v.text))) }

func (v *values) size() int64 { return int64(len(v.text)) + 4*int64(len(v.ends)) }

// hasEmpty reports whether the lowest rank is that of the empty value.
func (c *column) hasEmpty() bool { return c.values.len() > 0 && len(c.values.at(0)) == 0 }

// extend returns a column with the rows of c, at their new places, and with added rows, of
// which v has the values. Exactly one of the two is a row of the result.
func (c *column) extend(rows int, places, addedPlaces []int, v *values) *column {
	byValue := make([]int, v.len())
	for i := range byValue {
		byValue[i] = i
	}
	sort.Slice(byValue, func(i, j int) bool { return bytes.Compare(v.at(byValue[i]), v.at(byValue[j])) < 0 })
	n := &column{ranks: make([]uint32, rows)}
	n.values.text = make([]byte, 0, len(c.values.text)+len(v.text))
	n.values.ends = make([]uint32, 0, len(c.values.ends)+len(v.ends))
	moved := make([]uint32, c.values.len()) // The new rank of each old one.
	old := 0
	for _, i := range byValue {
		value := v.at(i)
		for ; old < c.values.len() && bytes.Compare(c.values.at(old), value) <= 0; old++ {
			moved[old] = uint32(n.values.len())
			n.values.add(c.values.at(old))
		}
		if last := n.values.len() - 1; last < 0 || !bytes.Equal(n.values.at(last), value) {
			n.values.add(value)
		}
		n.ranks[addedPlaces[i]] = uint32(n.values.len() - 1)
	}
	for ; old < c.values.len(); old++ {
		moved[old] = uint32(n.values.len())
		n.values.add(c.values.at(old))
	}
	for i, rank := range c.ranks {
		n.ranks[places[i]] = moved[rank]
	}
	n.values.text, n.values.ends = slices.Clip(n.values.text), slices.Clip(n.values.ends)
	return n
}

// links has what THREAD needs of each row: its Message-ID and those that it refers to, as
// numbers from 1 on, and whether it is a reply or forward. RFC 5256 §3
type links struct {
	ids   []uint32 // 0 for none.
	ends  []uint32 // Of the references of each row, in refs.
	refs  []uint32
	reply []bool

	names names
}

// names numbers Message-IDs by their hashes. It is only used while a table is made.
type names map[uint64]uint32

func (n names) number(hash uint64) uint32 {
	i, ok := n[hash]
	if !ok {
		i = uint32(len(n) + 1)
		n[hash] = i
	}
	return i
}

func (l *links) refsOf(row int) []uint32 {
	start := uint32(0)
	if row > 0 {
		start = l.ends[row-1]
	}
	return l.refs[start:l.ends[row]]
}

// linksRead is what links has of messages that were read, with the hashes of Message-IDs, 0
// for none. Two that have the same would be taken for one; the seed is secret.
type linksRead struct {
	ids   []uint64
	ends  []int // In refs.
	refs  []uint64
	reply []bool
}

func (l *linksRead) add(seed maphash.Seed, d message.Digest) {
	var id uint64
	if s := d.MessageID(); len(s) > 0 {
		id = hashName(seed, s)
	}
	l.ids, l.reply = append(l.ids, id), append(l.reply, d.IsReply())
	for ref := range d.References() {
		l.refs = append(l.refs, hashName(seed, ref))
	}
	l.ends = append(l.ends, len(l.refs))
}

func hashName(seed maphash.Seed, s []byte) uint64 { return max(1, maphash.Bytes(seed, s)) }

// append appends what another one has.
func (l *linksRead) append(o *linksRead) {
	n := len(l.refs)
	for _, end := range o.ends {
		l.ends = append(l.ends, n+end)
	}
	l.ids, l.refs, l.reply = append(l.ids, o.ids...), append(l.refs, o.refs...), append(l.reply, o.reply...)
}

// extend is column.extend for links. The names are shared with the new ones.
func (l *links) extend(rows int, places, addedPlaces []int, added *linksRead) *links {
	n := &links{ids: make([]uint32, 0, rows), ends: make([]uint32, 0, rows), reply: make([]bool, 0, rows), names: l.names}
	for i, j, ref := 0, 0, 0; i < len(places) || j < len(addedPlaces); {
		if j == len(addedPlaces) || i < len(places) && places[i] < addedPlaces[j] {
			n.ids, n.reply = append(n.ids, l.ids[i]), append(n.reply, l.reply[i])
			n.refs = append(n.refs, l.refsOf(i)...)
			i++
		} else {
			var id uint32
			if added.ids[j] != 0 {
				id = n.names.number(added.ids[j])
			}
			n.ids, n.reply = append(n.ids, id), append(n.reply, added.reply[j])
			for ; ref < added.ends[j]; ref++ {
				n.refs = append(n.refs, n.names.number(added.refs[ref]))
			}
			j++
		}
		n.ends = append(n.ends, uint32(len(n.refs)))
	}
	n.refs = slices.Clip(n.refs)
	return n
}

// nameSize is what a Message-ID costs in names.
const nameSize = 32

func (l *links) size() int64 {
	return 9*int64(len(l.ids)) + 4*int64(len(l.refs)) + nameSize*int64(len(l.names))
}
