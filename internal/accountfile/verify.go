package accountfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Verify checks the files with a name of all accounts in a data directory that no server
// runs on. It returns what is wrong: errors of check that match one of remade. None is fine,
// and so is no file.
func Verify(ctx context.Context, dataDir, name string, check func(path string) error, remade ...error) (problems []string, err error) {
	dir := filepath.Join(dataDir, "accounts")
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
		err := check(filepath.Join(dir, e.Name(), name))
		switch {
		case slices.ContainsFunc(remade, func(r error) bool { return errors.Is(err, r) }):
			problems = append(problems, fmt.Sprintf("account %s: %v (the server will make a new one from the messages)", e.Name(), err))
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return problems, fmt.Errorf("account %s: %w", e.Name(), err)
		}
	}
	return problems, nil
}
