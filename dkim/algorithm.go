package dkim

import (
	"errors"
	"strings"

	"mox/internal/lex"
)

// An Algorithm is how a signature is made, tag a=.
type Algorithm struct {
	Key  string // "rsa" or "ed25519", or an unknown one.
	Hash string // "sha256" or "sha1", or an unknown one.
}

// Algorithms, RFC 6376 §3.3 and RFC 8463 §3.
var (
	RSASHA256     = Algorithm{"rsa", "sha256"}
	Ed25519SHA256 = Algorithm{"ed25519", "sha256"}
	RSASHA1       = Algorithm{"rsa", "sha1"} // Historic, RFC 8301 §3.1. It never passes.
)

// String returns for example "rsa-sha256".
func (a Algorithm) String() string {
	return a.Key + "-" + a.Hash
}

// parseAlgorithm parses:
//
//	sig-a-tag-alg   = sig-a-tag-k "-" sig-a-tag-h
//	x-sig-a-tag-k   = ALPHA *(ALPHA / DIGIT)
//	x-sig-a-tag-h   = ALPHA *(ALPHA / DIGIT)
//
// Names are compared without case, as strings in ABNF are.
func parseAlgorithm(s string) (Algorithm, error) {
	key, hash, ok := strings.Cut(strings.ToLower(s), "-")
	if !ok || !isAlgorithmName(key) || !isAlgorithmName(hash) {
		return Algorithm{}, errors.New("malformed algorithm")
	}
	return Algorithm{key, hash}, nil
}

func isAlgorithmName(s string) bool {
	return lex.LetDig.All(s) && lex.Alpha.Has(s[0])
}

// A Canonicalization is how header or body are prepared for hashing, RFC 6376
// §3.4.
type Canonicalization string

// Canonicalizations.
const (
	Simple  Canonicalization = "simple"
	Relaxed Canonicalization = "relaxed"
)

func (c Canonicalization) known() bool {
	return c == Simple || c == Relaxed
}

// parseCanonicalizations parses tag c=, for header and body:
//
//	sig-c-tag-alg ["/" sig-c-tag-alg]
func parseCanonicalizations(s string) (header, body Canonicalization, err error) {
	h, b, both := strings.Cut(strings.ToLower(s), "/")
	if !both {
		b = string(Simple)
	}
	if !lex.LDH.All(h) || !lex.LDH.All(b) {
		return "", "", errors.New("malformed canonicalization")
	}
	return Canonicalization(h), Canonicalization(b), nil
}
