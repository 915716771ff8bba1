package bench

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
)

// What a chain writes: a message, and a commit of a database with its data and its meta
// page.
const (
	chainFile = 4 << 10
	chainData = 12 << 10
	chainMeta = 4 << 10
)

// A probe does on the bare disk what must be done to keep a message: create a file,
// write and sync it, sync the directory, and write and sync the pages of a database
// twice, which has been allocated before.
type probe struct {
	dir  string
	d    *os.File
	db   []*os.File // One for each goroutine.
	n    atomic.Int64
	data []byte
}

// newProbe makes a probe for n goroutines, in a new directory.
func newProbe(t testing.TB, n int) *probe {
	t.Helper()
	p := &probe{dir: scratch(t, "probe"), data: make([]byte, chainData)}
	for i := range p.data {
		p.data[i] = byte(i)
	}
	var err error
	p.d, err = os.Open(p.dir)
	check(t, err)
	t.Cleanup(func() { _ = p.d.Close() }) // It was only read.
	for i := range n {
		f, err := os.Create(filepath.Join(p.dir, "db"+strconv.Itoa(i)))
		check(t, err)
		t.Cleanup(func() { check(t, f.Close()) })
		_, err = f.Write(make([]byte, chainMeta+chainData))
		check(t, errors.Join(err, f.Sync()))
		p.db = append(p.db, f)
	}
	return p
}

// chain keeps one message.
func (p *probe) chain(worker int) error {
	f, err := os.OpenFile(filepath.Join(p.dir, strconv.FormatInt(p.n.Add(1), 10)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(p.data[:chainFile])
	if err := errors.Join(err, f.Sync(), f.Close(), p.d.Sync()); err != nil {
		return err
	}
	db := p.db[worker]
	if _, err := db.WriteAt(p.data, chainMeta); err != nil {
		return err
	}
	if err := datasync(db); err != nil {
		return err
	}
	if _, err := db.WriteAt(p.data[:chainMeta], 0); err != nil {
		return err
	}
	return datasync(db)
}
