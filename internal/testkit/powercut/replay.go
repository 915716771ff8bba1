//go:build linux

package powercut

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// Keep says what survives of writes and names that were not synced.
type Keep int

const (
	KeepNone Keep = iota // Nothing.
	KeepAll              // Everything, as after a kill.
	KeepSome             // An arbitrary part, each write torn at a sector or not.
)

// sector is the unit in which a disk writes.
const sector = 512

// Replay goes through the log of a Recorder.
type Replay struct {
	log   []Event
	pos   int
	root  uint64
	files map[uint64]*replayFile
	dirs  map[uint64]*replayDir
	names []any // All marks that were set.
	marks []any // Those up to pos.
}

// replayFile is what is durable of a file, and the writes since.
type replayFile struct {
	durable []byte
	pending []Event // Writes and truncates.
}

// replayDir has the durable names of a directory, and the changes since.
type replayDir struct {
	durable map[string]uint64
	pending []nameChange
	now     map[string]uint64
}

// nameChange is a name that appears (inode not zero) or disappears. A rename is
// both, the new name first.
type nameChange struct {
	name  string
	inode uint64
}

func newDir() *replayDir { return &replayDir{durable: map[string]uint64{}, now: map[string]uint64{}} }

// Len returns the number of events.
func (p *Replay) Len() int { return len(p.log) }

// Advance goes to just before event n, which must not be before where it is, and
// returns all marks up to there.
func (p *Replay) Advance(n int) (marks []any, err error) {
	for ; p.pos < n; p.pos++ {
		if err := p.event(&p.log[p.pos]); err != nil {
			return nil, fmt.Errorf("event %d, %v: %w", p.pos, p.log[p.pos], err)
		}
	}
	return p.marks, nil
}

func (p *Replay) event(e *Event) error {
	switch e.Op {
	case OpMark:
		p.marks = append(p.marks, p.names[e.Mark])
		return nil
	case OpWrite, OpTruncate, OpSync:
		f := p.files[e.Inode]
		if f == nil {
			return fmt.Errorf("unknown file")
		}
		if e.Op == OpSync {
			f.sync()
		} else {
			f.pending = append(f.pending, *e)
		}
		return nil
	case OpSyncDir:
		d := p.dirs[e.Inode]
		if d == nil {
			return fmt.Errorf("unknown directory")
		}
		d.durable, d.pending = maps.Clone(d.now), nil
		return nil
	}
	d := p.dirs[e.Parent]
	if d == nil {
		return fmt.Errorf("unknown parent directory")
	}
	switch e.Op {
	case OpCreate:
		p.files[e.Inode] = &replayFile{}
		d.set(e.Name, e.Inode)
	case OpMkdir:
		p.dirs[e.Inode] = newDir()
		d.set(e.Name, e.Inode)
	case OpLink:
		d.set(e.Name, e.Inode)
	case OpUnlink:
		d.set(e.Name, 0)
	case OpRename:
		to := p.dirs[e.To]
		if to == nil {
			return fmt.Errorf("unknown destination directory")
		}
		inode := d.now[e.Name]
		to.set(e.ToName, inode)
		d.set(e.Name, 0)
	}
	return nil
}

func (d *replayDir) set(name string, inode uint64) {
	d.pending = append(d.pending, nameChange{name, inode})
	if inode == 0 {
		delete(d.now, name)
	} else {
		d.now[name] = inode
	}
}

func (f *replayFile) sync() {
	for i := range f.pending {
		f.durable = apply(f.durable, &f.pending[i])
	}
	f.pending = nil
}

func apply(b []byte, e *Event) []byte {
	end := int(e.Off) + len(e.Data)
	if e.Op == OpTruncate {
		end = int(e.Off)
		if end < len(b) {
			return b[:end]
		}
	}
	if end > len(b) {
		b = slices.Grow(b, end-len(b))
		n := len(b)
		b = b[:end]
		clear(b[n:])
	}
	copy(b[e.Off:], e.Data)
	return b
}

// Build makes dir, which must not exist, as it may be after a power cut here.
func (p *Replay) Build(dir string, keep Keep, rnd *rand.Rand) error {
	return p.build(dir, p.root, keep, rnd)
}

func (p *Replay) build(path string, inode uint64, keep Keep, rnd *rand.Rand) error {
	if f, ok := p.files[inode]; ok {
		return os.WriteFile(path, f.survives(keep, rnd), 0600)
	}
	d := p.dirs[inode]
	if d == nil {
		return fmt.Errorf("%s: unknown inode %d", path, inode)
	}
	if err := os.Mkdir(path, 0700); err != nil {
		return err
	}
	names := d.survives(keep, rnd)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if err := p.build(filepath.Join(path, name), names[name], keep, rnd); err != nil {
			return err
		}
	}
	return nil
}

func (d *replayDir) survives(keep Keep, rnd *rand.Rand) map[string]uint64 {
	names := maps.Clone(d.durable)
	n := len(d.pending)
	switch keep {
	case KeepNone:
		n = 0
	case KeepSome:
		n = rnd.IntN(n + 1) // A journal keeps the order of names.
	}
	for _, c := range d.pending[:n] {
		if c.inode == 0 {
			delete(names, c.name)
		} else {
			names[c.name] = c.inode
		}
	}
	return names
}

func (f *replayFile) survives(keep Keep, rnd *rand.Rand) []byte {
	b := slices.Clone(f.durable)
	for i := range f.pending {
		e := f.pending[i]
		switch {
		case keep == KeepNone:
			continue
		case keep == KeepSome && rnd.IntN(2) == 0:
			continue
		case keep == KeepSome && len(e.Data) > sector && rnd.IntN(4) == 0:
			e.Data = e.Data[:sector*(1+rnd.IntN(len(e.Data)/sector))]
		}
		b = apply(b, &e)
	}
	return b
}

// Cuts returns n points in the log, ascending, spread evenly with the last one at
// its end.
func (p *Replay) Cuts(n int) []int {
	var l []int
	for i := range n {
		l = append(l, (i+1)*len(p.log)/n)
	}
	slices.SortFunc(l, cmp.Compare)
	return slices.Compact(l)
}
