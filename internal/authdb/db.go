package authdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/safefile"
)

// FileName is the name of the database in the data directory.
const FileName = "auth.db"

// openTimeout is how long to wait for another process that has the database.
const openTimeout = 5 * time.Second

// Errors, to be matched with errors.Is.
var (
	// ErrNotFound: there is no such key.
	ErrNotFound = errors.New("no such public key")
	// ErrExists: the key is there already, perhaps for another account.
	ErrExists = errors.New("public key is registered already")
	// ErrTooMany: the account has MaxAccountKeys.
	ErrTooMany = errors.New("account has too many public keys")
)

// MaxAccountKeys is how many keys an account can have.
const MaxAccountKeys = 100

// DB is the database.
type DB struct {
	bdb *bstore.DB
}

// Open opens or creates the database in a data directory.
func Open(ctx context.Context, dir string) (*DB, error) {
	path := filepath.Join(dir, FileName)
	_, serr := os.Stat(path)
	bdb, err := bstore.Open(ctx, path, &bstore.Options{Timeout: openTimeout, Perm: 0600}, TLSPublicKey{})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if errors.Is(serr, fs.ErrNotExist) {
		if err := safefile.OS.SyncDir(dir); err != nil {
			return nil, errors.Join(fmt.Errorf("sync directory: %w", err), bdb.Close())
		}
	}
	return &DB{bdb}, nil
}

// Close closes the database.
func (d *DB) Close() error {
	return d.bdb.Close()
}
