package daemon

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"mox/internal/transfer"
	"mox/mlog"
	"mox/store"
)

func TestImportThatDoesNotGoOnExpiresInARunningServer(t *testing.T) {
	t.Parallel()
	dir, ctx := newDir(t), t.Context()
	st, err := store.Open(ctx, store.Options{Dir: filepath.Join(dir, "data"), Log: mlog.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	a, err := st.Ensure(ctx, "mox")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	err = a.Update(ctx, func(tx *store.Tx) error {
		for id, updated := range map[string]time.Time{"old": now.Add(-transfer.Lifetime - time.Hour), "young": now.Add(time.Hour - transfer.Lifetime)} {
			b, err := json.Marshal(transfer.State{ID: id, Mailbox: "New", Source: "x.mbox", Updated: updated})
			if err != nil {
				return err
			}
			if err := tx.SetNote("import/"+id, b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	a.Release()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}

	d := start(t, dir, func(o *Options) { o.sweepDelay = time.Nanosecond })
	d.log.await(t, `m="import was aborted"`)
	if a, err = d.store.Account(ctx, "mox"); err != nil {
		t.Fatal(err)
	}
	defer a.Release()
	// The line is written before the import is forgotten.
	var l []transfer.State
	for end := time.Now().Add(time.Minute); len(l) != 1 && time.Now().Before(end); {
		if l, err = d.transfers.Imports(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	if len(l) != 1 || l[0].ID != "young" {
		t.Errorf("imports %+v", l)
	}
}
