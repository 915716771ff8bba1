package admin

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"mox/internal/transfer"
	"mox/store"
)

// export writes all messages of an account as maildirs, one for each mailbox, and
// returns how many. They are on stable storage and were read again. If that fails,
// nothing of it is left.
func (a *Admin) export(ctx context.Context, t *store.Taken, dst string) (int, error) {
	if !filepath.IsAbs(dst) {
		dst = filepath.Join(a.opts.Config.Snapshot().DataDir, dst)
	}
	acc, err := t.Open(ctx)
	if err != nil && !errors.Is(err, store.ErrNoAccount) {
		return 0, err
	}
	n, err := transfer.New(transfer.Options{TempDir: a.opts.Store.TempDir(), Log: a.log}).ExportTo(ctx, acc, dst, transfer.FormatMaildir)
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	return n, nil
}
