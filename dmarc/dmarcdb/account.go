package dmarcdb

import (
	"context"
	"fmt"

	"github.com/mjl-/bstore"
)

// RenameAccount has reports say that the messages they came in are in another account, or
// if to is empty in none, because the account was removed.
func (d *DB) RenameAccount(ctx context.Context, from, to string) error {
	q := bstore.QueryDB[Report](ctx, d.reports).FilterEqual("Account", from)
	fields := map[string]any{"Account": to}
	if to == "" {
		fields["ContentID"] = int64(0)
	}
	if _, err := q.UpdateFields(fields); err != nil {
		return fmt.Errorf("rename account %q in reports: %w", from, err)
	}
	return nil
}
