package dkim

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Record is a key record, RFC 6376 §3.6.1.
type Record struct {
	Version  string   // v=, "DKIM1", also if absent.
	Hashes   []string // h=, acceptable hash algorithms; nil stands for all.
	KeyType  string   // k=, "rsa", also if absent, or "ed25519", or an unknown one.
	Notes    string   // n=, for people.
	KeyData  []byte   // p=, empty if the key was revoked.
	Services []string // s=, nil stands for all, "*".
	Flags    []string // t=, such as "y" and "s".

	// PublicKey is an *rsa.PublicKey or ed25519.PublicKey. It is nil if the key was
	// revoked or is of an unknown type.
	PublicKey crypto.PublicKey
}

// recordVersion is the only version of key records.
const recordVersion = "DKIM1"

// NewRecord returns a record for a public key, an *rsa.PublicKey or
// ed25519.PublicKey, as it is to be published.
func NewRecord(key crypto.PublicKey) (*Record, error) {
	r := &Record{Version: recordVersion, PublicKey: key}
	switch k := key.(type) {
	case *rsa.PublicKey:
		// RFC 6376 §3.6.1 says RSAPublicKey and shows SubjectPublicKeyInfo, which is what
		// its erratum 3017 says and everyone publishes.
		data, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			return nil, fmt.Errorf("marshal public key: %w", err)
		}
		r.KeyType, r.KeyData = RSASHA256.Key, data
	case ed25519.PublicKey:
		r.KeyType, r.KeyData = Ed25519SHA256.Key, k
	default:
		return nil, fmt.Errorf("%w: type %T", ErrKey, key)
	}
	return r, nil
}

// ParseRecord parses a TXT record. IsDKIM says whether it is a key record, good or
// malformed: one that begins with "v=DKIM1", or one without v= that is well-formed.
// Others at the same name, such as from a wildcard, are to be ignored. An error
// matches [ErrRecordSyntax].
func ParseRecord(txt string) (r *Record, isDKIM bool, err error) {
	if len(txt) > MaxRecordLen {
		return nil, claimsDKIM(txt), fmt.Errorf("%w: longer than %d bytes", ErrRecordSyntax, MaxRecordLen)
	}
	tags, err := ParseTags(txt)
	if err != nil {
		return nil, claimsDKIM(txt), fmt.Errorf("%w: %w", ErrRecordSyntax, err)
	}
	v, hasVersion := tags.Get("v")
	switch {
	case hasVersion && v.Value != recordVersion:
		return nil, false, fmt.Errorf("%w: unknown version", ErrRecordSyntax)
	case hasVersion && tags.first() != "v":
		return nil, true, fmt.Errorf("%w: v= is not the first tag", ErrRecordSyntax)
	case !tags.Has("p"):
		return nil, hasVersion, fmt.Errorf("%w: no tag p=", ErrRecordSyntax)
	}
	r = &Record{Version: recordVersion, KeyType: RSASHA256.Key}
	for _, t := range tags {
		if err := r.setTag(t); err != nil {
			return nil, hasVersion, fmt.Errorf("%w: tag %s=: %w", ErrRecordSyntax, t.Name, err)
		}
	}
	if err := r.parseKey(); err != nil {
		return nil, hasVersion, fmt.Errorf("%w: tag p=: %w", ErrRecordSyntax, err)
	}
	return r, true, nil
}

// claimsDKIM reports whether a malformed record begins as a key record does.
func claimsDKIM(txt string) bool {
	name, value, ok := strings.Cut(txt, "=")
	if !ok || strings.TrimSpace(name) != "v" {
		return false
	}
	value, _, _ = strings.Cut(value, ";")
	return strings.TrimSpace(value) == recordVersion
}

func (r *Record) setTag(t Tag) (err error) {
	switch t.Name {
	case "h":
		r.Hashes, err = splitLower(t.Value)
	case "k":
		if r.KeyType = strings.ToLower(t.Value); !hyphenatedWord.All(r.KeyType) {
			return errors.New("malformed key type")
		}
	case "n":
		r.Notes, err = decodeQP(t.Value, true)
	case "p":
		r.KeyData, err = decodeBase64(t.Value)
	case "s":
		r.Services, err = splitLower(t.Value)
	case "t":
		r.Flags, err = splitLower(t.Value)
	}
	return err
}

func splitLower(s string) ([]string, error) {
	return splitList(strings.ToLower(s), hyphenatedWord)
}

// parseKey makes PublicKey from KeyData.
func (r *Record) parseKey() error {
	if len(r.KeyData) == 0 {
		return nil
	}
	switch r.KeyType {
	case RSASHA256.Key:
		key, err := parseRSA(r.KeyData)
		if err != nil {
			return err
		}
		r.PublicKey = key
	case Ed25519SHA256.Key:
		if len(r.KeyData) != ed25519.PublicKeySize {
			return fmt.Errorf("%d bytes instead of the %d of an ed25519 key", len(r.KeyData), ed25519.PublicKeySize)
		}
		r.PublicKey = ed25519.PublicKey(r.KeyData)
	}
	return nil
}

// parseRSA parses a key as SubjectPublicKeyInfo or RSAPublicKey.
func parseRSA(data []byte) (*rsa.PublicKey, error) {
	if key, err := x509.ParsePKCS1PublicKey(data); err == nil {
		return key, nil
	}
	key, err := x509.ParsePKIXPublicKey(data)
	if err != nil {
		return nil, errors.New("malformed rsa key")
	}
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("not an rsa key")
	}
	return k, nil
}

// String returns the record as it is to be published, in one string. Tags with
// their default value are left out, but for v= and k=.
func (r *Record) String() string {
	var b strings.Builder
	b.WriteString("v=" + recordVersion)
	if len(r.Hashes) > 0 {
		b.WriteString(";h=" + strings.Join(r.Hashes, ":"))
	}
	b.WriteString(";k=" + r.KeyType)
	if r.Notes != "" {
		b.WriteString(";n=" + encodeQP(r.Notes, "", true))
	}
	if len(r.Services) > 0 {
		b.WriteString(";s=" + strings.Join(r.Services, ":"))
	}
	if len(r.Flags) > 0 {
		b.WriteString(";t=" + strings.Join(r.Flags, ":"))
	}
	b.WriteString(";p=" + base64.StdEncoding.EncodeToString(r.KeyData))
	return b.String()
}

// Revoked reports whether the key was revoked.
func (r *Record) Revoked() bool { return len(r.KeyData) == 0 }

// Testing reports whether the domain is testing, flag y: a signature that does not
// verify is as none (RFC 6376 §3.6.1).
func (r *Record) Testing() bool { return slices.Contains(r.Flags, "y") }

// Strict reports whether the domain of i= must be that of d=, flag s.
func (r *Record) Strict() bool { return slices.Contains(r.Flags, "s") }

// HashAllowed reports whether the record allows a hash algorithm.
func (r *Record) HashAllowed(hash string) bool {
	return len(r.Hashes) == 0 || slices.Contains(r.Hashes, hash)
}

// ServiceAllowed reports whether the record is for a service, such as "email".
func (r *Record) ServiceAllowed(service string) bool {
	return len(r.Services) == 0 || slices.Contains(r.Services, "*") || slices.Contains(r.Services, service)
}

// Bits returns the length of an RSA key, or 0 for another one.
func (r *Record) Bits() int {
	if k, ok := r.PublicKey.(*rsa.PublicKey); ok {
		return k.N.BitLen()
	}
	return 0
}

// Check returns why the record must not be used to verify an e-mail signature,
// RFC 6376 §6.1.2, RFC 8301 §3.2. The error matches [ErrRevoked] or [ErrKey].
func (r *Record) Check(s *Sig) error {
	switch {
	case r.Revoked():
		return ErrRevoked
	case !r.ServiceAllowed("email"):
		return fmt.Errorf("%w: not for e-mail, tag s=", ErrKey)
	case !r.HashAllowed(s.Algorithm.Hash):
		return fmt.Errorf("%w: not for hash algorithm %s, tag h=", ErrKey, s.Algorithm.Hash)
	case r.KeyType != s.Algorithm.Key || r.PublicKey == nil:
		return fmt.Errorf("%w: type %q for algorithm %s", ErrKey, r.KeyType, s.Algorithm)
	case r.Strict() && s.Identity != nil && s.Identity.Domain != s.Domain:
		return fmt.Errorf("%w: domain of i= is not that of d=, as flag s requires", ErrKey)
	}
	return checkKeySize(r.PublicKey)
}

// checkKeySize returns an error for RSA keys that are not secure or take too long.
func checkKeySize(key crypto.PublicKey) error {
	k, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil
	}
	switch n := k.N.BitLen(); {
	case n < MinRSABits:
		return fmt.Errorf("%w: rsa key of %d bits, fewer than %d", ErrKey, n, MinRSABits)
	case n > MaxRSABits:
		return fmt.Errorf("%w: rsa key of %d bits, more than %d", ErrKey, n, MaxRSABits)
	}
	return nil
}

// VerifyHash verifies a signature over a SHA-256 hash of the signed data. The
// record has passed [Record.Check]. The error matches [ErrSignature].
func (r *Record) VerifyHash(hash, sig []byte) error {
	switch k := r.PublicKey.(type) {
	case *rsa.PublicKey:
		if err := rsa.VerifyPKCS1v15(k, crypto.SHA256, hash, sig); err != nil {
			return fmt.Errorf("%w: %w", ErrSignature, err)
		}
		return nil
	case ed25519.PublicKey:
		// RFC 8463 §3: PureEdDSA over the hash, not Ed25519ph.
		if !ed25519.Verify(k, hash, sig) {
			return ErrSignature
		}
		return nil
	}
	return fmt.Errorf("%w: type %q", ErrKey, r.KeyType)
}
