package identity

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mox/internal/safefile"
)

// secretName is the file with the secret from which salts of users that do not
// exist are made. It must stay: if those salts changed and the others did not, one
// could tell them apart.
const secretName = "fakesalt.key"

const secretSize = 32

// loadSecret reads the secret in the data directory, or makes a new one.
func loadSecret(dir string) ([]byte, error) {
	path := filepath.Join(dir, secretName)
	b, err := os.ReadFile(path)
	if err == nil {
		secret, err := hex.DecodeString(strings.TrimSpace(string(b)))
		if err != nil || len(secret) != secretSize {
			return nil, fmt.Errorf("read %s: not %d octets in hexadecimal", path, secretSize)
		}
		return secret, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	secret := make([]byte, secretSize)
	rand.Read(secret)
	if err := safefile.WriteFile(path, []byte(hex.EncodeToString(secret)+"\n"), 0600); err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return secret, nil
}
