package search

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"mox/store"
)

// Columns of large mailboxes are kept in files too, one each, so that a server that was just
// started need not read all digests. They are derived data: a file that is missing, damaged,
// of other messages, or that cannot be written costs time, and nothing else. The store
// removes them when a message is erased or was parsed again.
//
// A file has savedVersion, and then lists of numbers and octets, each with its length: the
// UIDs, the content ids, and what the column has. A CRC of all ends it.

const (
	savedVersion = 1

	// savedRows is from how many messages on columns are kept in files.
	savedRows = 1000
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// saved is what a column is in a file.
type saved struct {
	numbers [][]uint32
	text    []byte
}

// errSaved is for a file that is not (any more) what we have written for these messages.
var errSaved = errors.New("not a column of these messages")

// savedName returns the name of a file.
func savedName(ix *store.Index, column string) string {
	return fmt.Sprintf("%d-%d-%s", ix.Mailbox(), ix.UIDValidity(), column)
}

func (k columnKind) savedName() string { return fmt.Sprintf("sort%d", k) }

// savedName returns the end of the name of a file, empty if texts are not kept in one:
// clients can ask for fields of any name.
func (k textKey) savedName() string {
	chars := "abcdefghijklmnopqrstuvwxyz0123456789-"
	switch k.op {
	case opFields:
		chars += fieldMark
	case opHeader:
	default:
		return fmt.Sprintf("text%d", k.op)
	}
	if len(k.field) > maxSavedField || strings.Trim(k.field, chars) != "" {
		return ""
	}
	return savedFields + k.field
}

const (
	// Of files of header fields, maxSavedFields of a mailbox, with names that are not longer
	// than maxSavedField.
	savedFields    = "field-"
	maxSavedFields = 8
	maxSavedField  = 40
)

const savedLinks = "links"

// appendSaved appends the content of a file.
func appendSaved(dst []byte, uids []uint32, contents []int64, s saved) []byte {
	size := 64 + 4*len(uids) + 8*len(contents) + len(s.text)
	for _, l := range s.numbers {
		size += 8 + 4*len(l)
	}
	dst = append(slices.Grow(dst, size), savedVersion)
	dst = appendNumbers(dst, uids)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(contents)))
	for _, id := range contents {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(id))
	}
	dst = append(dst, byte(len(s.numbers)))
	for _, l := range s.numbers {
		dst = appendNumbers(dst, l)
	}
	dst = append(binary.LittleEndian.AppendUint64(dst, uint64(len(s.text))), s.text...)
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst, crcTable))
}

func appendNumbers(dst []byte, l []uint32) []byte {
	dst = binary.LittleEndian.AppendUint64(dst, uint64(len(l)))
	for _, n := range l {
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	return dst
}

// savedReader reads what appendSaved wrote, whose sum was right.
type savedReader struct{ b []byte }

func (r *savedReader) take(n, size uint64) []byte {
	if n > uint64(len(r.b))/size {
		r.b = nil
		return nil
	}
	b := r.b[:n*size]
	r.b = r.b[n*size:]
	return b
}

func (r *savedReader) length() uint64 {
	b := r.take(1, 8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}

func (r *savedReader) numbers() []uint32 {
	b := r.take(r.length(), 4)
	l := make([]uint32, len(b)/4)
	for i := range l {
		l[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return l
}

// readSaved reads the content of a file for the messages of an index, of which it may lack
// the last ones, and returns their UIDs. Messages that are gone make it useless: their text
// is not kept.
func readSaved(b []byte, ix *store.Index) (uids []uint32, s saved, err error) {
	n := len(b) - 4
	if n < 1 || b[0] != savedVersion || binary.LittleEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], crcTable) {
		return nil, s, errSaved
	}
	r := savedReader{b[1:n]}
	uids = r.numbers()
	contents := r.take(r.length(), 8)
	if len(contents) != 8*len(uids) || len(uids) > ix.Len() {
		return nil, s, errSaved
	}
	for pos, it := range ix.Range(0, len(uids)) {
		if it.UID != uids[pos] || it.ContentID != int64(binary.LittleEndian.Uint64(contents[8*pos:])) {
			return nil, s, errSaved
		}
	}
	count := r.take(1, 1)
	for range count {
		for range count[0] {
			s.numbers = append(s.numbers, r.numbers())
		}
	}
	s.text = r.take(r.length(), 1)
	return uids, s, nil
}

// save returns a column as it is kept in a file, and restore makes one of that.
func (c *column) save() saved {
	return saved{[][]uint32{c.ranks, c.values.ends}, c.values.text}
}

func (s *saved) column() *column {
	return &column{ranks: s.numbers[0], values: values{text: s.text, ends: s.numbers[1]}}
}

func (c *textColumn) save() saved {
	return saved{[][]uint32{c.ends, fromBools(c.open)}, c.text}
}

func (s *saved) textColumn() *textColumn {
	return &textColumn{text: s.text, ends: s.numbers[0], open: toBools(s.numbers[1])}
}

func (l *links) save() saved {
	return saved{[][]uint32{l.ids, l.ends, l.refs, fromBools(l.reply)}, nil}
}

// links returns links that have no names: they cannot be extended.
func (s *saved) links() *links {
	return &links{ids: s.numbers[0], ends: s.numbers[1], refs: s.numbers[2], reply: toBools(s.numbers[3])}
}

func fromBools(l []bool) []uint32 {
	n := make([]uint32, len(l))
	for i, v := range l {
		if v {
			n[i] = 1
		}
	}
	return n
}

func toBools(l []uint32) []bool {
	b := make([]bool, len(l))
	for i, n := range l {
		b[i] = n != 0
	}
	return b
}

// load returns the table with those of the columns needed that are in files. They may lack
// messages at the end, which are read.
func (k *Keys) load(ctx context.Context, t *table, mb Mailbox, all []int, n needs) (*table, error) {
	if t.has(n) || len(all) < savedRows {
		return t, nil
	}
	if len(t.uids) > 0 {
		var err error
		if t, err = t.extend(ctx, k, mb, all, needs{}); err != nil || len(t.uids) > len(all) {
			return t, err // It has rows of messages that are gone.
		}
	}
	o := *t
	o.texts = maps.Clone(t.texts)
	if o.texts == nil {
		o.texts = map[textKey]*textColumn{}
	}
	for _, l := range t.read(mb, n) {
		l, err := l.extend(ctx, k, mb, all, needs{})
		if err != nil {
			return nil, err
		}
		o.uids = l.uids
		o.adopt(l)
	}
	return &o, nil
}

// adopt takes over columns of the same rows that the table does not have.
func (t *table) adopt(o *table) {
	for kind, c := range o.columns {
		if t.columns[kind] == nil {
			t.columns[kind] = c
		}
	}
	if t.links == nil {
		t.links = o.links
	}
	for key, c := range o.texts {
		if t.texts[key] == nil {
			t.texts[key] = c
		}
	}
}

// read returns what is in files of columns that are needed, as tables of one each.
func (t *table) read(mb Mailbox, n needs) (l []*table) {
	read := func(name string, column func(*table, *saved)) {
		if name == "" {
			return
		}
		b, err := os.ReadFile(filepath.Join(mb.Owner.ColumnsDir(), savedName(mb.Index, name)))
		if err != nil {
			return
		}
		if uids, s, err := readSaved(b, mb.Index); err == nil {
			o := &table{uids: uids}
			column(o, &s)
			l = append(l, o)
		}
	}
	for kind, needed := range n.columns {
		if needed && t.columns[kind] == nil {
			read(columnKind(kind).savedName(), func(o *table, s *saved) { o.columns[kind] = s.column() })
		}
	}
	if n.links && t.links == nil {
		read(savedLinks, func(o *table, s *saved) { o.links = s.links() })
	}
	for _, key := range n.texts {
		if t.texts[key] == nil {
			read(key.savedName(), func(o *table, s *saved) { o.texts = map[textKey]*textColumn{key: s.textColumn()} })
		}
	}
	return l
}

// save writes columns that are not in files yet, or of which a tenth is not, to files, if
// all of their messages are still there. Written is by name of how many messages they are.
func (t *table) save(mb Mailbox, written map[string]int) {
	rows := len(t.uids)
	if rows < savedRows || rows != mb.Index.Len() {
		return
	}
	epoch := mb.Owner.DigestEpoch()
	contents := make([]int64, rows)
	for pos, it := range mb.Index.Range(0, rows) {
		contents[pos] = it.ContentID
	}
	write := func(name string, s func() saved) {
		if n := written[name]; name == "" || n > 0 && rows < n+n/10 {
			return
		}
		dir := mb.Owner.ColumnsDir()
		path := filepath.Join(dir, savedName(mb.Index, name))
		if strings.HasPrefix(name, savedFields) {
			// The pattern is a good one, so that there is no error.
			l, _ := filepath.Glob(filepath.Join(dir, savedName(mb.Index, savedFields+"*")))
			if len(l) >= maxSavedFields && !slices.Contains(l, path) {
				return
			}
		}
		written[name] = rows
		// A file that is not complete after a crash is not taken for one.
		tmp := path + ".new"
		err := os.MkdirAll(dir, 0770)
		if err == nil {
			err = os.WriteFile(tmp, appendSaved(nil, t.uids, contents, s()), 0660)
		}
		if err == nil {
			err = os.Rename(tmp, path)
		}
		if err != nil || mb.Owner.DigestEpoch() != epoch {
			_ = os.Remove(path) // Nothing depends on it.
			_ = os.Remove(tmp)
		}
	}
	for kind, c := range t.columns {
		if c != nil {
			write(columnKind(kind).savedName(), c.save)
		}
	}
	if t.links != nil {
		write(savedLinks, t.links.save)
	}
	for key, c := range t.texts {
		write(key.savedName(), c.save)
	}
}
