package srs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mox/dns"
	"mox/smtp"
)

const (
	// DefaultMaxAge is how long bounces are taken unless Options say otherwise: longer
	// than mail servers try to deliver.
	DefaultMaxAge = 21 * 24 * time.Hour

	// MaxMaxAge is the largest MaxAge, well below the days after which the count begins
	// anew.
	MaxMaxAge = 500 * 24 * time.Hour

	// MinKey is the smallest size of a key in bytes.
	MinKey = 16

	// MaxAddress is the size in bytes of an address that Reverse looks at.
	MaxAddress = 512
)

const (
	hashLen = 6
	days    = 1024 // After which the count begins anew.
	day     = 24 * 60 * 60
)

// Errors of a [Rewriter], to be matched with errors.Is.
var (
	// ErrTooLong means that there is no room for the address in a local-part.
	ErrTooLong = errors.New("srs: rewritten local-part is too long")

	// ErrNotRewritten means that an address is not one of this scheme at the domain of
	// the Rewriter.
	ErrNotRewritten = errors.New("srs: not a rewritten address of this domain")

	// ErrMalformed means that an address begins as one of the scheme and is none.
	ErrMalformed = errors.New("srs: malformed rewritten address")

	// ErrHash means that an address was not made with one of the keys.
	ErrHash = errors.New("srs: wrong hash in rewritten address")

	// ErrExpired means that an address was made too long ago, or in the future.
	ErrExpired = errors.New("srs: rewritten address has expired")
)

// Options are for [New].
type Options struct {
	// Domain is where rewritten addresses are.
	Domain dns.Domain

	// Keys are secret. The first one is used for new addresses, and all for verifying.
	Keys [][]byte

	// MaxAge is how long bounces are taken, in whole days. Zero is DefaultMaxAge.
	MaxAge time.Duration

	// Now returns the time. Nil is time.Now.
	Now func() time.Time
}

// A Rewriter rewrites addresses for one domain.
type Rewriter struct {
	opts    Options
	maxDays int64
}

// New returns a Rewriter. The error is about the options.
func New(opts Options) (*Rewriter, error) {
	switch {
	case opts.Domain.IsZero():
		return nil, errors.New("srs: no domain")
	case len(opts.Keys) == 0:
		return nil, errors.New("srs: no key")
	case slices.ContainsFunc(opts.Keys, func(k []byte) bool { return len(k) < MinKey }):
		return nil, fmt.Errorf("srs: key of less than %d bytes", MinKey)
	case opts.MaxAge < 0 || opts.MaxAge > MaxMaxAge:
		return nil, fmt.Errorf("srs: maximum age %v is not between 0 and %v", opts.MaxAge, MaxMaxAge)
	}
	if opts.MaxAge == 0 {
		opts.MaxAge = DefaultMaxAge
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Rewriter{opts, int64(opts.MaxAge / (day * time.Second))}, nil
}

// The kinds of addresses.
const (
	srs0 = "SRS0"
	srs1 = "SRS1"
)

// IsRewritten reports whether a local-part begins as one that a Rewriter has made,
// here or elsewhere.
func IsRewritten(l smtp.Localpart) bool {
	return hasKind(string(l), srs0) || hasKind(string(l), srs1)
}

// hasKind reports whether s begins with a kind and a separator.
func hasKind(s, kind string) bool {
	return len(s) > len(kind) && strings.EqualFold(s[:len(kind)], kind) && strings.IndexByte("=-+", s[len(kind)]) >= 0
}

// Forward returns the sender to use for a message that is forwarded, for a sender that
// is not the null reverse-path. Addresses at the domain of the Rewriter need no
// rewriting and stay the same.
func (r *Rewriter) Forward(sender smtp.Address) (smtp.Address, error) {
	if sender.Domain == r.opts.Domain {
		return sender, nil
	}
	local := string(sender.Localpart)
	var text string
	switch first, opaque, ok := firstHop(local, sender.Domain.ASCII); {
	case !ok:
		text = r.sign(srs0, formatDay(r.today())+"="+sender.Domain.ASCII+"="+local)
	case strings.EqualFold(first, r.opts.Domain.ASCII):
		text = srs0 + opaque // We were the first ourselves.
	default:
		text = r.sign(srs1, first+"="+opaque)
	}
	l := smtp.Localpart(text)
	if n := len(l.String()); n > smtp.MaxLocalpartStrict {
		return smtp.Address{}, fmt.Errorf("%w: %d octets", ErrTooLong, n)
	}
	return smtp.Address{Localpart: l, Domain: r.opts.Domain}, nil
}

// firstHop returns the domain of the host that has rewritten an address first, and
// what it needs to undo that.
func firstHop(local, domain string) (first, opaque string, ok bool) {
	switch {
	case hasKind(local, srs0) && strings.Count(local, "=") >= 3:
		return domain, local[len(srs0):], true
	case hasKind(local, srs1):
		_, first, opaque, err := cutSRS1(local)
		if _, perr := dns.ParseDomainLax(first); err == nil && perr == nil {
			return first, opaque, true
		}
	}
	return "", "", false
}

// cutSRS1 takes an SRS1 local-part apart.
func cutSRS1(local string) (hash, first, opaque string, err error) {
	l := strings.SplitN(local[len(srs1)+1:], "=", 3)
	if len(l) != 3 || l[0] == "" || l[2] == "" || strings.IndexByte("=-+", l[2][0]) < 0 {
		return "", "", "", ErrMalformed
	}
	return l[0], l[1], l[2], nil
}

// Reverse returns the address that Forward has rewritten, for an address that a bounce
// goes to. For an SRS1 address it is the one at the host that has rewritten it first.
func (r *Rewriter) Reverse(addr smtp.Address) (smtp.Address, error) {
	local := string(addr.Localpart)
	switch {
	case addr.Domain != r.opts.Domain || !IsRewritten(addr.Localpart):
		return smtp.Address{}, ErrNotRewritten
	case len(local) > MaxAddress:
		return smtp.Address{}, ErrMalformed
	case hasKind(local, srs1):
		return r.reverse1(local)
	}
	return r.reverse0(local)
}

func (r *Rewriter) reverse0(local string) (smtp.Address, error) {
	hash, signed, ok := strings.Cut(local[len(srs0)+1:], "=")
	l := strings.SplitN(signed, "=", 3)
	if !ok || len(l) != 3 {
		return smtp.Address{}, ErrMalformed
	}
	if err := r.verify(srs0, hash, signed); err != nil {
		return smtp.Address{}, err
	}
	made, ok := parseDay(l[0])
	if !ok {
		return smtp.Address{}, ErrMalformed
	}
	// A clock that is a little behind may have the day before.
	if age := (r.today() - made + days) % days; age > r.maxDays && age != days-1 {
		return smtp.Address{}, fmt.Errorf("%w: %d days", ErrExpired, age)
	}
	return makeAddress(l[2], l[1])
}

func (r *Rewriter) reverse1(local string) (smtp.Address, error) {
	hash, first, opaque, err := cutSRS1(local)
	if err != nil {
		return smtp.Address{}, err
	}
	if err := r.verify(srs1, hash, first+"="+opaque); err != nil {
		return smtp.Address{}, err
	}
	return makeAddress(srs0+opaque, first)
}

// makeAddress returns an address for its parts. They were signed, so that an error is
// about a change of case that made them something else.
func makeAddress(local, domain string) (smtp.Address, error) {
	d, err := dns.ParseDomainLax(domain)
	if err != nil {
		return smtp.Address{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	l, err := smtp.NewLocalpart(local, smtp.Lenient)
	if err != nil {
		return smtp.Address{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return smtp.Address{Localpart: l, Domain: d}, nil
}

// sign returns a local-part with a hash over what follows it.
func (r *Rewriter) sign(kind, signed string) string {
	return kind + "=" + hash(r.opts.Keys[0], kind, signed) + "=" + signed
}

// verify checks a hash with all keys.
func (r *Rewriter) verify(kind, got, signed string) error {
	got = upperASCII(got)
	for _, key := range r.opts.Keys {
		if hmac.Equal([]byte(got), []byte(hash(key, kind, signed))) {
			return nil
		}
	}
	return ErrHash
}

// base32Alphabet is that of RFC 4648 §6.
const base32Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

func hash(key []byte, kind, signed string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(kind + "=" + lowerASCII(signed)))
	return base32.StdEncoding.EncodeToString(h.Sum(nil))[:hashLen]
}

// today returns the number of the day.
func (r *Rewriter) today() int64 {
	return r.opts.Now().Unix() / day % days
}

func formatDay(n int64) string {
	return string([]byte{base32Alphabet[n>>5], base32Alphabet[n&31]})
}

func parseDay(s string) (int64, bool) {
	if len(s) != 2 {
		return 0, false
	}
	hi := strings.IndexByte(base32Alphabet, upperASCII(s)[0])
	lo := strings.IndexByte(base32Alphabet, upperASCII(s)[1])
	return int64(hi<<5 | lo), hi >= 0 && lo >= 0
}

// lowerASCII and upperASCII change ASCII letters only, as hosts on the way do.
func lowerASCII(s string) string { return mapASCII(s, 'A', 'Z') }
func upperASCII(s string) string { return mapASCII(s, 'a', 'z') }

func mapASCII(s string, first, last byte) string {
	b := []byte(s)
	for i, c := range b {
		if c >= first && c <= last {
			b[i] = c ^ 0x20
		}
	}
	return string(b)
}
