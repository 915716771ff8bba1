package sasl

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Parameters of argon2id for new hashes: the first choice of the OWASP password
// storage cheat sheet for servers that cannot spare more memory per login.
const (
	argonMemory  = 19 * 1024 // KiB
	argonTime    = 2
	argonThreads = 1
	argonSalt    = 16 // Octets.
	argonKey     = 32 // Octets.
)

// Limits for hashes that are verified. A stored hash comes from our own
// database, but perhaps from one that was edited or imported.
const (
	maxArgonMemory  = 256 * 1024 // KiB
	maxArgonTime    = 16
	maxArgonThreads = 16
	maxArgonOctets  = 128 // Of salt or key.
)

// ErrHash says that a stored password hash cannot be used.
var ErrHash = errors.New("sasl: unusable password hash")

// argonHash is a parsed PHC string.
type argonHash struct {
	memory  uint32 // KiB
	time    uint32
	threads uint8
	salt    []byte
	key     []byte
}

// HashPassword returns the argon2id hash of a prepared password with a new salt,
// as a PHC string: $argon2id$v=19$m=...,t=...,p=...$salt$hash. It takes tens of
// milliseconds and 19 MiB of memory.
func HashPassword(password string) string {
	h := argonHash{memory: argonMemory, time: argonTime, threads: argonThreads, salt: make([]byte, argonSalt)}
	rand.Read(h.salt)
	h.key = h.compute(password, argonKey)
	return h.String()
}

// VerifyPassword reports whether a password matches a PHC string, comparing in
// constant time. It returns ErrHash for a string that is not a usable argon2id
// hash. See [PasswordChecker] for use in a server.
func VerifyPassword(hash, password string) (bool, error) {
	h, err := parseArgonHash(hash)
	if err != nil {
		return false, err
	}
	return subtle.ConstantTimeCompare(h.compute(password, len(h.key)), h.key) == 1, nil
}

// NeedsRehash reports whether a hash has other parameters than new hashes get,
// so that it should be replaced when the password is next known.
func NeedsRehash(hash string) bool {
	h, err := parseArgonHash(hash)
	return err != nil || h.memory != argonMemory || h.time != argonTime || h.threads != argonThreads ||
		len(h.salt) < argonSalt || len(h.key) != argonKey
}

func (h argonHash) compute(password string, keyLength int) []byte {
	return argon2.IDKey([]byte(PreparePassword(password)), h.salt, h.time, h.memory, h.threads, uint32(keyLength))
}

func (h argonHash) String() string {
	b64 := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads, b64(h.salt), b64(h.key))
}

func parseArgonHash(s string) (argonHash, error) {
	var h argonHash
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return h, fmt.Errorf("%w: not argon2id in PHC form", ErrHash)
	}
	if parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return h, fmt.Errorf("%w: version %q", ErrHash, parts[2])
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.memory, &h.time, &h.threads); err != nil {
		return h, fmt.Errorf("%w: parameters %q", ErrHash, parts[3])
	}
	// Below 8 KiB for each thread, argon2 silently uses more than was asked for.
	if h.threads < 1 || h.threads > maxArgonThreads || h.time < 1 || h.time > maxArgonTime ||
		h.memory < 8*uint32(h.threads) || h.memory > maxArgonMemory {
		return h, fmt.Errorf("%w: parameters %q out of range", ErrHash, parts[3])
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > maxArgonOctets {
		return h, fmt.Errorf("%w: salt", ErrHash)
	}
	if h.key, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(h.key) < 16 || len(h.key) > maxArgonOctets {
		return h, fmt.Errorf("%w: hash", ErrHash)
	}
	// The functions above are lax about spaces, signs and line ends.
	if h.String() != s {
		return h, fmt.Errorf("%w: not in the form we write", ErrHash)
	}
	return h, nil
}
