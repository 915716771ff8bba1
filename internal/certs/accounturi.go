package certs

import (
	"os"
	"path/filepath"
	"strings"

	"mox/internal/safefile"
)

// uriSuffix is that of files with the URI of an account.
const uriSuffix = ".uri"

// writeURI writes the URI of the account to a file, for records in DNS.
func (c *client) writeURI() error {
	path := strings.TrimSuffix(c.keyFile, ".key") + uriSuffix
	if old, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(old)) == c.account.Location {
		return nil
	}
	return safefile.WriteFile(path, []byte(c.account.Location+"\n"), 0640)
}

// AccountURI returns the URI of the account at an authority, by its name in the
// configuration, or nothing if there is none yet. It is for CAA records (RFC 8657 §3).
func AccountURI(dataDir, acme string) string {
	data, err := os.ReadFile(filepath.Join(dataDir, acmeDir, acme+uriSuffix))
	if err != nil {
		return ""
	}
	uri := strings.TrimSpace(string(data))
	if strings.ContainsFunc(uri, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == ';' || r == '\\' }) {
		return ""
	}
	return uri
}
