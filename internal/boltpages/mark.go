package boltpages

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// A Mark names a state of a database file: each commit gives it another one.
type Mark struct {
	Commit   uint64 // Number of the last commit.
	Checksum uint64 // Of where that has put its pages: it tells apart files that have a past in common.
}

// A meta page begins with the header of a page. What is in it is in the order of bytes of
// the machine.
const (
	metaStart    = 16 // Magic number.
	metaVersion  = 20
	metaPageSize = 24
	metaCommit   = 64
	metaChecksum = 72 // FNV-1a of what is before.
	metaEnd      = 80

	metaMagic      = 0xED0CDAED
	metaVersionOne = 2 // Of the format of files.

	maxPageSize = 64 << 10
)

// ReadMark returns the mark of a database file. It reads the two meta pages, as the library
// does at opening: that of the last commit that is complete counts.
func ReadMark(r io.ReaderAt) (m Mark, err error) {
	first, size, err := readMeta(r, 0)
	if err != nil {
		return m, err
	}
	m = first
	if size < metaEnd || size > maxPageSize {
		return m, fmt.Errorf("database has pages of %d octets", size)
	}
	// The other one may be torn: then the commit did not happen.
	if second, _, err := readMeta(r, int64(size)); err == nil && second.Commit > m.Commit {
		m = second
	}
	return m, nil
}

// readMeta reads a meta page.
func readMeta(r io.ReaderAt, off int64) (m Mark, pageSize uint32, err error) {
	var b [metaEnd]byte
	if _, err := r.ReadAt(b[:], off); err != nil {
		return m, 0, fmt.Errorf("read meta page: %w", err)
	}
	order := binary.NativeEndian
	h := fnv.New64a()
	h.Write(b[metaStart:metaChecksum])
	m = Mark{order.Uint64(b[metaCommit:]), order.Uint64(b[metaChecksum:])}
	if order.Uint32(b[metaStart:]) != metaMagic || order.Uint32(b[metaVersion:]) != metaVersionOne || h.Sum64() != m.Checksum {
		return Mark{}, 0, fmt.Errorf("page at %d is no meta page", off)
	}
	return m, order.Uint32(b[metaPageSize:]), nil
}
