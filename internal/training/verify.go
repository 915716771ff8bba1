package training

import (
	"context"

	"mox/internal/accountfile"
	"mox/junk"
)

// Verify checks the filters of all accounts in a data directory that no server runs on.
// It returns what is wrong. A filter that is still to be made is fine, as is none.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	return accountfile.Verify(ctx, dir, FileName, junk.Check, junk.ErrDamaged, junk.ErrVersion)
}
