package tlsrptdb

import "context"

// RenameAccount has reports say that the messages they came in are in another account, or
// if to is empty in none, because the account was removed.
func (d *DB) RenameAccount(ctx context.Context, from, to string) error {
	return d.received.RenameAccount(ctx, from, to)
}
