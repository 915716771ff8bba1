package training

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"mox/junk"
)

// Verify checks the filters of all accounts in a data directory that no server runs on.
// It returns what is wrong. A filter that is still to be made is fine, as is none.
func Verify(ctx context.Context, dir string) (problems []string, err error) {
	dir = filepath.Join(dir, "accounts")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return problems, err
		}
		if !e.IsDir() {
			continue
		}
		err := junk.Check(filepath.Join(dir, e.Name(), FileName))
		switch {
		case errors.Is(err, junk.ErrDamaged), errors.Is(err, junk.ErrVersion):
			problems = append(problems, fmt.Sprintf("account %s: %v (the server will make a new one from the messages)", e.Name(), err))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return problems, fmt.Errorf("account %s: %w", e.Name(), err)
		}
	}
	return problems, nil
}
