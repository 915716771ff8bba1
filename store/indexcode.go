package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strings"

	"mox/internal/boltpages"
)

// An index in a file is numbers of variable length, which say of what and how many it is,
// its lists of keywords, and its messages in chunks of columns. A CRC-32C of all ends it.

// indexFileVersion is that of the files with indexes, and of the list of them.
const indexFileVersion = 2

var crcTable = crc32.MakeTable(crc32.Castagnoli)

// errIndexFile is for a file that is not what was written.
var errIndexFile = errors.New("damaged")

// indexFile is what is in a file: the messages of a mailbox, as of one change to it.
type indexFile struct {
	mailboxID   int64
	uidValidity uint32
	uidNext     uint32
	modSeq      ModSeq // Of the mailbox.
	counts      Counts // Of the messages.
	chunks      []*chunk
}

// is reports whether the messages are those of a mailbox as it is now.
func (f *indexFile) is(mb *Mailbox) bool {
	return f.mailboxID == mb.ID && f.uidValidity == mb.UIDValidity && f.uidNext == mb.UIDNext && f.modSeq == mb.ModSeq && f.counts == mb.Counts
}

// fields are what else a file says about a mailbox.
func (c *Counts) fields() []*int64 {
	return []*int64{&c.Messages, &c.Unseen, &c.Deleted, &c.Size, &c.DeletedSize}
}

// appendIndex appends the content of a file for the messages of a mailbox.
func appendIndex(dst []byte, mb *Mailbox, ix *Index) []byte {
	start := len(dst)
	dst = slices.Grow(dst, 1024+ix.Len()*16)
	dst = append(dst, indexFileVersion)
	for _, n := range []uint64{uint64(mb.ID), uint64(mb.UIDValidity), uint64(mb.UIDNext), uint64(mb.ModSeq)} {
		dst = binary.AppendUvarint(dst, n)
	}
	var counts Counts // Not those of the mailbox, for the case that they are others.
	for _, it := range ix.Range(0, ix.Len()) {
		counts.count(it.Flags, it.Size, 1)
	}
	for _, n := range counts.fields() {
		dst = binary.AppendVarint(dst, *n)
	}
	lists, numbers := keywordLists(ix)
	dst = binary.AppendUvarint(dst, uint64(len(lists)))
	for _, l := range lists {
		dst = binary.AppendUvarint(dst, uint64(len(l)))
		for _, kw := range l {
			dst = append(binary.AppendUvarint(dst, uint64(len(kw))), kw...)
		}
	}
	for _, c := range ix.chunks {
		dst = appendChunk(dst, c, numbers)
	}
	dst = append(dst, make([]byte, packedTail)...)
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
		kw := it.Keywords()
		if len(kw) == 0 {
			continue
		}
		if k := keywordsKey(kw); numbers[k] == 0 {
			lists = append(lists, kw)
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
	for _, n := range f.counts.fields() {
		*n = r.varint()
	}
	lists := make([]*[]string, 1+r.count(1))
	for i := range lists[1:] {
		l := make([]string, r.count(1))
		for j := range l {
			l[j] = r.text()
		}
		lists[1+i] = keywordsField(l)
	}
	if r.err != nil {
		return nil, 0, r.err
	}
	if err := f.readChunks(r.b, lists); err != nil {
		return nil, 0, err
	}
	return f, sum, nil
}

// readChunks reads the messages, up to the end of the file.
func (f *indexFile) readChunks(b []byte, lists []*[]string) error {
	left := f.counts.Messages
	var last uint32
	for left > 0 {
		c, rest, err := parseChunk(b, lists, last, f.uidNext)
		if err != nil {
			return err
		}
		f.chunks = append(f.chunks, c)
		b, last = rest, c.last
		left -= int64(c.len())
	}
	if left != 0 || len(b) != packedTail {
		return errIndexFile
	}
	return nil
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
