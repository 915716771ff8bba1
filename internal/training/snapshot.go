package training

import (
	"context"
	"errors"

	"mox/internal/boltpages"
)

// Snapshot copies the file of an account's filter to a file that must not exist yet, and
// syncs that. Ok is false if the account has no filter, or one that is being made: it is
// made from the account's messages where it is missing. The database of the account must
// have been copied before: of a filter that is ahead of its account that is noticed.
func (t *Trainer) Snapshot(ctx context.Context, name, path string) (ok bool, err error) {
	slot, err := t.open.Lock(ctx, name)
	if err != nil {
		return false, err
	}
	defer slot.Unlock()
	f, err := slot.Use()
	if err != nil {
		return false, err
	}
	if f != nil {
		if f.fresh {
			return false, t.open.Release(f)
		}
		err := f.Snapshot(path)
		return err == nil, errors.Join(err, t.open.Release(f))
	}
	file := t.path(name)
	if made, err := exists(file + newSuffix); err != nil || made {
		return false, err
	}
	if ok, err = exists(file); err != nil || !ok {
		return false, err
	}
	return true, boltpages.Copy(path, file)
}
