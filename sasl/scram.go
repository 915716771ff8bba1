package sasl

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
)

// Limits and defaults of SCRAM.
const (
	// SCRAMMinIterations is the least a server should announce, RFC 7677 §3.
	// NewSCRAMKeys refuses less.
	SCRAMMinIterations = 4096

	// SCRAMDefaultIterations is for newly set passwords. Each login costs the
	// client this many rounds, tens of milliseconds on a phone; whoever steals the
	// stored keys pays it for each guess. RFC 7677 §4 asks for significantly more
	// than 4096.
	SCRAMDefaultIterations = 50_000

	// SCRAMClientMinIterations and SCRAMClientMaxIterations are what our client
	// accepts. Below, an impostor gets a cheap proof to attack off line; above, a
	// server can keep us busy, RFC 5802 §9.
	SCRAMClientMinIterations = 2048
	SCRAMClientMaxIterations = 1_000_000

	// SCRAMSaltLength is the length in octets of salts for new keys.
	SCRAMSaltLength = 16

	// SCRAMMinNonce is the least length of the other side's part of the nonce, and
	// SCRAMMinSalt of the salt a client accepts.
	SCRAMMinNonce = 8
	SCRAMMinSalt  = 8

	// SCRAMMaxNonce bounds each side's nonce in octets.
	SCRAMMaxNonce = 1024

	// nonceLength is the number of random octets in our nonces.
	nonceLength = 18
)

// Hash is the hash function of a SCRAM mechanism.
type Hash uint8

// The hash functions that are used with SCRAM.
const (
	SHA1 Hash = iota + 1
	SHA256
)

// New returns a new hash computation.
func (h Hash) New() hash.Hash {
	if h == SHA1 {
		return sha1.New()
	}
	return sha256.New()
}

// Size returns the length of a digest in octets.
func (h Hash) Size() int {
	if h == SHA1 {
		return sha1.Size
	}
	return sha256.Size
}

// Mechanism returns the name of the SCRAM mechanism, e.g. SCRAM-SHA-256-PLUS.
func (h Hash) Mechanism(plus bool) string {
	switch {
	case h == SHA1 && plus:
		return SCRAMSHA1Plus
	case h == SHA1:
		return SCRAMSHA1
	case plus:
		return SCRAMSHA256Plus
	}
	return SCRAMSHA256
}

func (h Hash) sum(data []byte) []byte {
	w := h.New()
	w.Write(data)
	return w.Sum(nil)
}

func (h Hash) hmac(key, data []byte) []byte {
	w := hmac.New(h.New, key)
	w.Write(data)
	return w.Sum(nil)
}

// saltedPassword computes Hi of RFC 5802 §2.2 over the prepared password.
func (h Hash) saltedPassword(password string, salt []byte, iterations int) ([]byte, error) {
	key, err := pbkdf2.Key(h.New, PreparePassword(password), salt, iterations, h.Size())
	if err != nil {
		return nil, fmt.Errorf("sasl: deriving salted password: %w", err)
	}
	return key, nil
}

// SCRAMKeys is what a server stores of a password for one hash, RFC 5802 §3. It
// does not allow to log in: for that one needs the ClientKey, of which StoredKey
// is a hash. It does allow to pose as the server, and to test guesses.
type SCRAMKeys struct {
	Salt       []byte
	Iterations int
	StoredKey  []byte
	ServerKey  []byte
}

// DeriveSCRAM computes the keys for a password, salt and iteration count. The
// password is prepared first.
func DeriveSCRAM(h Hash, password string, salt []byte, iterations int) (SCRAMKeys, error) {
	if iterations < 1 {
		return SCRAMKeys{}, failf(ErrWeak, "%d iterations", iterations)
	}
	salted, err := h.saltedPassword(password, salt, iterations)
	if err != nil {
		return SCRAMKeys{}, err
	}
	return SCRAMKeys{
		Salt:       salt,
		Iterations: iterations,
		StoredKey:  h.sum(h.hmac(salted, []byte("Client Key"))),
		ServerKey:  h.hmac(salted, []byte("Server Key")),
	}, nil
}

// NewSCRAMKeys computes keys for a new password with a fresh salt. Zero
// iterations means SCRAMDefaultIterations.
func NewSCRAMKeys(h Hash, password string, iterations int) (SCRAMKeys, error) {
	if iterations == 0 {
		iterations = SCRAMDefaultIterations
	}
	if iterations < SCRAMMinIterations {
		return SCRAMKeys{}, failf(ErrWeak, "%d iterations, less than %d", iterations, SCRAMMinIterations)
	}
	salt := make([]byte, SCRAMSaltLength)
	rand.Read(salt)
	return DeriveSCRAM(h, password, salt, iterations)
}

// FakeSalt returns a salt for a user that does not exist, so that the answer to
// a guessed name does not tell whether it exists, RFC 5802 §9. It is the same each
// time for the same secret, name and hash, as that of a real user is. The secret
// is to be random, at least 16 octets, and kept as long as the accounts.
func FakeSalt(h Hash, secret []byte, username string) []byte {
	return fakeValue(h, secret, "salt", username)[:SCRAMSaltLength]
}

// FakeSCRAMKeys returns keys for a user that does not exist, or that has none,
// to continue an exchange with. No proof matches them: nobody knows of what
// StoredKey would be the hash. Iterations should be what real users have.
func FakeSCRAMKeys(h Hash, secret []byte, username string, iterations int) SCRAMKeys {
	return SCRAMKeys{
		Salt:       FakeSalt(h, secret, username),
		Iterations: iterations,
		StoredKey:  fakeValue(h, secret, "stored key", username)[:h.Size()],
		ServerKey:  fakeValue(h, secret, "server key", username)[:h.Size()],
	}
}

func fakeValue(h Hash, secret []byte, purpose, username string) []byte {
	return SHA256.hmac(secret, fmt.Appendf(nil, "%s\x00%s\x00%s", h.Mechanism(false), purpose, username))
}

// newNonce returns our part of a nonce. Base64 has no comma, so all of it is
// allowed by "printable" of RFC 5802 §7.
func newNonce() string {
	buf := make([]byte, nonceLength)
	rand.Read(buf)
	return base64.StdEncoding.EncodeToString(buf)
}

// proofKey recovers a ClientKey from a proof and a signature, or makes a proof
// of a key and a signature: both are an exclusive or, RFC 5802 §3.
func proofKey(a, b []byte) []byte {
	out := make([]byte, len(a))
	subtle.XORBytes(out, a, b)
	return out
}
