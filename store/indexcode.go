package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"mox/imap"
	"mox/internal/boltpages"
)

// An index in a file is a series of numbers of variable length: what it is of, its lists of
// keywords, and its messages, mostly as differences to the one before, which are small. A
// CRC-32C of all ends it.

const (
	// indexFileVersion is that of the files with indexes, and of the list of them.
	indexFileVersion = 1
	// minEntrySize is the least that a message has in a file: an octet a number.
	minEntrySize = 12
)

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// errIndexFile is for a file that is not what was written.
var errIndexFile = errors.New("damaged")

// indexFile is what is in a file: the messages of a mailbox, as of one change to it.
type indexFile struct {
	mailboxID   int64
	uidValidity uint32
	uidNext     uint32
	modSeq      ModSeq // Of the mailbox.
	counts      Counts // Computed from the messages.
	chunks      []*chunk
}

// is reports whether the messages are those of a mailbox as it is now.
func (f *indexFile) is(mb *Mailbox) bool {
	return f.mailboxID == mb.ID && f.uidValidity == mb.UIDValidity && f.uidNext == mb.UIDNext && f.modSeq == mb.ModSeq && f.counts == mb.Counts
}

// appendIndex appends the content of a file for the messages of a mailbox.
func appendIndex(dst []byte, mb *Mailbox, ix *Index) []byte {
	start := len(dst)
	dst = slices.Grow(dst, 64+ix.Len()*24)
	dst = append(dst, indexFileVersion)
	for _, n := range []uint64{uint64(mb.ID), uint64(mb.UIDValidity), uint64(mb.UIDNext), uint64(mb.ModSeq)} {
		dst = binary.AppendUvarint(dst, n)
	}
	lists, numbers := keywordLists(ix)
	dst = binary.AppendUvarint(dst, uint64(len(lists)))
	for _, l := range lists {
		dst = binary.AppendUvarint(dst, uint64(len(l)))
		for _, kw := range l {
			dst = append(binary.AppendUvarint(dst, uint64(len(kw))), kw...)
		}
	}
	dst = binary.AppendUvarint(dst, uint64(ix.Len()))
	var p Entry // Before it.
	for _, it := range ix.Range(0, ix.Len()) {
		e := it.Entry
		dst = binary.AppendUvarint(dst, uint64(e.UID-p.UID))
		dst = binary.AppendUvarint(dst, uint64(it.Flags))
		var kw uint64
		if len(e.keywords) > 0 {
			kw = numbers[keywordsKey(e.keywords)]
		}
		dst = binary.AppendUvarint(dst, kw)
		for _, n := range [...]int64{
			e.MessageID - p.MessageID, e.ContentID - p.ContentID, e.ContentID - e.ThreadID,
			int64(e.ModSeq - p.ModSeq), int64(e.ModSeq - e.CreateSeq),
			e.Size, e.received - p.received, e.saved - e.received, int64(e.zone),
		} {
			dst = binary.AppendVarint(dst, n)
		}
		p = *e
	}
	return appendSum(dst, start)
}

// appendSum ends what begins at start with its CRC.
func appendSum(dst []byte, start int) []byte {
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], crcTable))
}

// checkSum returns what appendSum was called for, and its CRC.
func checkSum(b []byte) ([]byte, uint32, error) {
	n := len(b) - 4
	if n < 1 || b[0] != indexFileVersion {
		return nil, 0, errIndexFile
	}
	sum := crc32.Checksum(b[:n], crcTable)
	if sum != binary.LittleEndian.Uint32(b[n:]) {
		return nil, 0, errIndexFile
	}
	return b[1:n], sum, nil
}

// keywordsKey returns a key that is the same for equal lists: a keyword has no NUL.
func keywordsKey(kw []string) string { return strings.Join(kw, "\x00") }

// keywordLists returns the lists of keywords that messages have, and by key the number of
// each, from 1 on.
func keywordLists(ix *Index) (lists [][]string, numbers map[string]uint64) {
	numbers = map[string]uint64{}
	for _, it := range ix.Range(0, ix.Len()) {
		if len(it.keywords) == 0 {
			continue
		}
		if k := keywordsKey(it.keywords); numbers[k] == 0 {
			lists = append(lists, it.keywords)
			numbers[k] = uint64(len(lists))
		}
	}
	return lists, numbers
}

// numberReader reads numbers of variable length. After an error it has nothing more.
type numberReader struct {
	b   []byte
	err error
}

func (r *numberReader) fail() {
	r.b, r.err = nil, errIndexFile
}

func (r *numberReader) uvarint() uint64 {
	if len(r.b) > 0 && r.b[0] < 0x80 {
		v := uint64(r.b[0])
		r.b = r.b[1:]
		return v
	}
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *numberReader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// limited reads a number that is at most max.
func (r *numberReader) limited(max uint64) uint64 {
	v := r.uvarint()
	if v > max {
		r.fail()
		return 0
	}
	return v
}

// count reads the number of things that follow, each of which has at least size octets.
func (r *numberReader) count(size int) int {
	n := r.uvarint()
	if n > uint64(len(r.b)/size) { // What is left behind the number.
		r.fail()
		return 0
	}
	return int(n)
}

func (r *numberReader) text() string {
	n := r.count(1)
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// parseIndex reads the content of a file, and returns its CRC too.
func parseIndex(b []byte) (f *indexFile, sum uint32, err error) {
	b, sum, err = checkSum(b)
	if err != nil {
		return nil, 0, err
	}
	r := &numberReader{b: b}
	f = &indexFile{
		mailboxID:   int64(r.limited(math.MaxInt64)),
		uidValidity: uint32(r.limited(math.MaxUint32)),
		uidNext:     uint32(r.limited(math.MaxUint32)),
		modSeq:      ModSeq(r.limited(math.MaxInt64)),
	}
	lists := make([][]string, 1+r.count(1))
	for i := range lists[1:] {
		l := make([]string, r.count(1))
		for j := range l {
			l[j] = r.text()
		}
		lists[1+i] = l
	}
	f.readChunks(r, lists)
	if r.err != nil || len(r.b) > 0 {
		return nil, 0, errIndexFile
	}
	return f, sum, nil
}

// readChunks reads the messages.
func (f *indexFile) readChunks(r *numberReader, lists [][]string) {
	var p Entry
	for left := r.count(minEntrySize); left > 0 && r.err == nil; {
		n := min(left, chunkSize)
		left -= n
		c := &chunk{flags: make([]Flags, n, chunkSize), entries: make([]Entry, n, chunkSize)}
		for i := range c.entries {
			e := &c.entries[i]
			uid := r.uvarint()
			if uid == 0 || uid >= uint64(f.uidNext-p.UID) {
				r.fail()
				return
			}
			e.UID = p.UID + uint32(uid)
			c.flags[i] = Flags(r.limited(uint64(imap.FlagsAll)))
			if kw := r.limited(uint64(len(lists) - 1)); kw > 0 {
				e.keywords = lists[kw]
			}
			e.MessageID = p.MessageID + r.varint()
			e.ContentID = p.ContentID + r.varint()
			e.ThreadID = e.ContentID - r.varint()
			e.ModSeq = p.ModSeq + ModSeq(r.varint())
			e.CreateSeq = e.ModSeq - ModSeq(r.varint())
			e.Size = r.varint()
			e.received = p.received + r.varint()
			e.saved = e.received + r.varint()
			zone := r.varint()
			if e.zone = int16(zone); int64(e.zone) != zone {
				r.fail()
			}
			c.modSeq = max(c.modSeq, e.ModSeq)
			f.counts.count(c.flags[i], e.Size, 1)
			p = *e
		}
		f.chunks = append(f.chunks, c)
	}
}

// indexList names the files with indexes that are those of a state of the database.
type indexList struct {
	mark  boltpages.Mark
	files map[int64]uint32 // CRC of the file, by mailbox id.
}

// appendTo appends the content of the file for the list.
func (l indexList) appendTo(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, indexFileVersion)
	for _, n := range []uint64{recordFormat, l.mark.Commit, l.mark.Checksum, uint64(len(l.files))} {
		dst = binary.AppendUvarint(dst, n)
	}
	for id, sum := range l.files {
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(id)), uint64(sum))
	}
	return appendSum(dst, start)
}

// parseIndexList reads the content of the file for the list.
func parseIndexList(b []byte) (l indexList, err error) {
	b, _, err = checkSum(b)
	if err != nil {
		return l, err
	}
	r := &numberReader{b: b}
	if format := r.uvarint(); r.err == nil && format != recordFormat {
		return l, fmt.Errorf("made of records of format %d", format)
	}
	l = indexList{boltpages.Mark{Commit: r.uvarint(), Checksum: r.uvarint()}, map[int64]uint32{}}
	for range r.count(2) {
		id := int64(r.limited(math.MaxInt64))
		l.files[id] = uint32(r.limited(math.MaxUint32))
	}
	if r.err != nil || len(r.b) > 0 {
		return indexList{}, errIndexFile
	}
	return l, nil
}
