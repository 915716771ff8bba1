package reportdb

import (
	"errors"
	"maps"
	"slices"

	"github.com/mjl-/bstore"
)

// Verify adds what is wrong with the reports. Decode returns how many parts there are in a
// content.
func (t *Reports[R, C, U]) Verify(tx *bstore.Tx, decode func(data []byte) (parts int, err error), add func(format string, args ...any)) error {
	want := map[string]Usage{}
	reports := map[int64]bool{}
	err := bstore.QueryTx[R](tx).ForEach(func(r R) error {
		m := t.Meta(r)
		reports[m.ID] = true
		u := want[m.PolicyDomain]
		want[m.PolicyDomain] = Usage{m.PolicyDomain, u.Reports + 1, u.Size + m.Size}
		c := C(Content{ReportID: m.ID})
		if err := tx.Get(&c); errors.Is(err, bstore.ErrAbsent) {
			add("report %d has no content", m.ID)
			return nil
		} else if err != nil {
			return err
		}
		data := Content(c).Data
		if n, err := decode(data); err != nil {
			add("report %d: %v", m.ID, err)
		} else if n != int(m.Kept) || int64(len(data)) != m.Size {
			add("report %d has %d %s in %d bytes, not %d in %d", m.ID, n, t.Parts, len(data), m.Kept, m.Size)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = bstore.QueryTx[C](tx).ForEach(func(c C) error {
		if id := Content(c).ReportID; !reports[id] {
			add("content of report %d, which does not exist", id)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = bstore.QueryTx[U](tx).ForEach(func(rec U) error {
		u := Usage(rec)
		if w := want[u.PolicyDomain]; w != u {
			add("domain %s has %d reports with %d bytes, not %d with %d", u.PolicyDomain, w.Reports, w.Size, u.Reports, u.Size)
		}
		delete(want, u.PolicyDomain)
		return nil
	})
	for _, domain := range slices.Sorted(maps.Keys(want)) {
		add("reports about domain %s are not counted", domain)
	}
	return err
}
