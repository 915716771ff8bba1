package subjectpass

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"

	"mox/smtp"
)

// Errors of [Verify], to be matched with ==.
var (
	ErrMissing   = errors.New("subjectpass: no token in subject")
	ErrMalformed = errors.New("subjectpass: malformed token")
	ErrInvalid   = errors.New("subjectpass: token is for another sender or recipient")
	ErrExpired   = errors.New("subjectpass: token has expired")
)

const (
	// MaxTokens is how many tokens of one subject are looked at, from the start.
	MaxTokens = 10

	// MaxSubject is how many bytes of a subject are looked at.
	MaxSubject = 4096

	prefix = "(pass:"
	suffix = ")"

	stampLen = 4
	macLen   = 12

	// timeShift is how many of the lowest bits of the time are dropped, and timeBits
	// how many are kept.
	timeShift = 8
	timeBits  = 28
)

// granularity is the unit of times in tokens.
const granularity = time.Second << timeShift

// Generate returns a token for messages from an address at a time.
func Generate(from smtp.Address, key []byte, now time.Time) string {
	var token [stampLen + macLen]byte
	binary.BigEndian.PutUint32(token[:], stamp(now))
	copy(token[stampLen:], mac(token[:stampLen], from, key))
	return prefix + base64.RawURLEncoding.EncodeToString(token[:]) + suffix
}

// Verify checks whether a subject has a token for messages from an address that is
// not older than period. The subject is decoded, and may have other text around the
// token. If there are several, one must be good; the error is about the last one
// looked at.
//
// The age is up to 256 seconds too small, since tokens have time in that unit.
func Verify(subject string, from smtp.Address, key []byte, period time.Duration, now time.Time) error {
	if len(subject) > MaxSubject {
		subject = subject[:MaxSubject]
	}
	err := ErrMissing
	for range MaxTokens {
		_, rest, ok := strings.Cut(subject, prefix)
		if !ok {
			break
		}
		subject = rest
		text, _, ok := strings.Cut(rest, suffix)
		if !ok {
			return ErrMalformed
		}
		if err = verify(text, from, key, period, now); err == nil {
			return nil
		}
	}
	return err
}

func verify(text string, from smtp.Address, key []byte, period time.Duration, now time.Time) error {
	// Strict: other spellings of the same bytes are no tokens of ours.
	token, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(token) != stampLen+macLen {
		return ErrMalformed
	}
	if !hmac.Equal(token[stampLen:], mac(token[:stampLen], from, key)) {
		return ErrInvalid
	}
	made := binary.BigEndian.Uint32(token)
	if made>>timeBits != 0 {
		return ErrMalformed // A version that we will have made once.
	}
	// In units, since all that tokens can have is too long for a time.Duration.
	if stamp(now) < made || int64(stamp(now)-made) > int64(period/granularity) {
		return ErrExpired
	}
	return nil
}

// stamp returns the first 4 bytes of a token made at a time, with version 0.
func stamp(t time.Time) uint32 {
	return uint32(t.Unix()>>timeShift) & (1<<timeBits - 1)
}

func mac(stamp []byte, from smtp.Address, key []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(stamp)
	h.Write([]byte(from.XString(false)))
	return h.Sum(nil)[:macLen]
}
