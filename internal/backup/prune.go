package backup

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Keep says which snapshots stay. Of each day, week and month, the last one counts; all
// that any of the numbers asks for stay. Days are those of UTC, weeks those of ISO 8601.
type Keep struct {
	Last, Daily, Weekly, Monthly int
}

// PruneOptions are for [Prune].
type PruneOptions struct {
	Keep     Keep
	DryRun   bool
	Progress func(string) // Nil: nobody is told.
}

// ErrKeep: nothing would be kept.
var ErrKeep = errors.New("at least one snapshot must be kept")

// Prune removes the snapshots that Keep does not ask for, and what only they need. The
// last complete snapshot, and the last one without failures, always stay. It returns the
// names of those that are removed.
func Prune(ctx context.Context, p *Place, o PruneOptions) ([]string, error) {
	if o.Keep.Last < 0 || o.Keep.Daily < 0 || o.Keep.Weekly < 0 || o.Keep.Monthly < 0 || o.Keep == (Keep{}) {
		return nil, ErrKeep
	}
	l, err := p.repo.list(ctx)
	if err != nil {
		return nil, err
	}
	names := o.Keep.surplus(l)
	if o.DryRun {
		return names, nil
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	return names, p.repo.remove(ctx, names, o.Progress)
}

// surplus returns the names of the snapshots that go. Those that are not complete are
// left alone.
func (k Keep) surplus(l []Info) (gone []string) {
	periods := []struct {
		n   int
		key func(t time.Time) string
	}{
		{k.Last, func(t time.Time) string { return t.Format(time.RFC3339Nano) }},
		{k.Daily, func(t time.Time) string { return t.Format(time.DateOnly) }},
		{k.Weekly, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, w) }},
		{k.Monthly, func(t time.Time) string { return t.Format("2006-01") }},
	}
	keys := make([]string, len(periods)) // Of the snapshot that was kept last.
	anyKept, cleanKept := false, false
	for _, i := range slices.Backward(l) {
		if !i.Complete {
			continue
		}
		keep := !anyKept || !cleanKept && i.Footer.Failed == 0
		for j := range periods {
			p := &periods[j]
			if key := p.key(i.Started.UTC()); p.n > 0 && key != keys[j] {
				p.n--
				keys[j] = key
				keep = true
			}
		}
		if !keep {
			gone = append(gone, i.Name)
			continue
		}
		anyKept = true
		cleanKept = cleanKept || i.Footer.Failed == 0
	}
	slices.Reverse(gone)
	return gone
}

// remove removes snapshots, and then objects that none of those that are left has. Objects
// that are younger than graceTime stay: they may be of a snapshot in the making.
func (o *objects) remove(ctx context.Context, names []string, log func(string)) error {
	for _, name := range names {
		if err := o.bucket.remove(ctx, snapshotPrefix+name); err != nil {
			return err
		}
		log("removed snapshot " + name)
	}
	needed, err := o.needed(ctx)
	if err != nil {
		return err
	}
	before := time.Now().Add(-graceTime)
	var gone []string
	removed := 0
	sweep := func() error {
		for _, name := range gone {
			if err := o.bucket.remove(ctx, name); err != nil {
				return err
			}
		}
		removed += len(gone)
		gone = gone[:0]
		return nil
	}
	err = o.bucket.list(ctx, objectPrefix, func(name string, modified time.Time) error {
		hash := name[strings.LastIndexByte(name, '/')+1:]
		if !isHash(hash) || !modified.Before(before) {
			return nil
		}
		if _, ok := slices.BinarySearch(needed, abbreviate(hash)); ok {
			return nil
		}
		if gone = append(gone, name); len(gone) < removeBatch {
			return nil
		}
		return sweep()
	})
	if err = errors.Join(err, sweep()); err != nil {
		return fmt.Errorf("remove objects: %w", err)
	}
	log(fmt.Sprintf("removed %d objects that no snapshot needs", removed))
	return nil
}

// abbreviate returns the first 8 octets of a hash. If two objects have the same, one may
// stay that is not needed.
func abbreviate(hash string) uint64 {
	b, _ := hex.DecodeString(hash[:16])
	return binary.BigEndian.Uint64(b)
}

// needed returns the abbreviated names of all objects of snapshots, sorted.
func (o *objects) needed(ctx context.Context) ([]uint64, error) {
	l, err := o.list(ctx)
	if err != nil {
		return nil, err
	}
	var needed []uint64
	for _, i := range l {
		if !i.Complete {
			continue
		}
		r, err := o.root(ctx, i.Name)
		if err != nil {
			return nil, err
		}
		for _, name := range slices.Concat(r.Manifest.Objects, r.Refs.Objects) {
			needed = append(needed, abbreviate(name))
		}
		if needed, err = o.refs(ctx, r, needed); err != nil {
			return nil, fmt.Errorf("objects of %s: %w", i.Name, err)
		}
		slices.Sort(needed)
		needed = slices.Compact(needed)
	}
	return needed, nil
}

// refs adds the abbreviated names of the objects of a snapshot to l.
func (o *objects) refs(ctx context.Context, root root, l []uint64) ([]uint64, error) {
	r := newVerifyReader(o.reader(ctx, root.Refs.Objects, false), Entry{Path: "names of objects", Size: root.Refs.Size, SHA256: root.Refs.SHA256})
	var b [32]byte
	for {
		if _, err := io.ReadFull(r, b[:]); errors.Is(err, io.EOF) {
			return l, nil
		} else if err != nil {
			return nil, err
		}
		l = append(l, binary.BigEndian.Uint64(b[:8]))
	}
}

func (o *objects) check(ctx context.Context, name string) error {
	r, err := o.root(ctx, name)
	if err != nil {
		return err
	}
	_, err = o.refs(ctx, r, nil)
	return err
}
