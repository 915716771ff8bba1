package arc

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"mox/dkim"
	"mox/dns"
	"mox/message"
	"mox/message/trace"
)

// ErrNoSeal means that nothing can be added to a chain: it was sealed as failed
// before, has the most sets there can be, or is such that its instances are unknown.
var ErrNoSeal = errors.New("arc: no set can be added to the chain")

// SealOptions are what a caller of [Seal] can choose.
type SealOptions struct {
	// Now is the time of sealing. The zero value stands for the current time.
	Now time.Time
	// UTF8 writes domains with U-labels, for messages with internationalised header
	// fields (RFC 8617 §4.1.4).
	UTF8 bool
}

// Seal returns the three fields of a set for a message of size bytes, each line with
// CRLF, to be put in front of it, RFC 8617 §5.1. The message has all changes that are
// made to it, such as signatures.
//
// Results are what was found when the message was received, all of it, with the
// result for the chain. Chain is what [Verify] has returned for the message then:
// what it said about the chain is what the seal says.
//
// The selector has the meaning it has for [dkim.Sign]; without Headers,
// DKIM-Signature fields are signed too, as RFC 8617 §4.1.2 wants. Its Expiration is
// that of the message signature.
//
// An error matches [ErrNoSeal], or one of those of [dkim.Sign], or is one of r or of
// the key.
func Seal(r io.ReaderAt, size int64, domain dns.Domain, sel dkim.Selector, results trace.AuthResults, chain Result, opts SealOptions) (string, error) {
	if opts.Now.IsZero() {
		opts.Now = time.Now()
	}
	n, err := nextInstance(chain)
	if err != nil {
		return "", err
	}
	x, err := dkim.ReadIndex(r, size)
	if err != nil {
		return "", err
	}
	if err := x.CheckPrepend(); err != nil {
		return "", err
	}
	aar := authResultsField(n, results)
	ams, err := messageSignatureField(x, n, domain, sel, opts)
	if err != nil {
		return "", err
	}
	as, err := sealField(n, chain, aar, ams, domain, sel, opts)
	if err != nil {
		return "", err
	}
	return as + ams + aar, nil
}

// nextInstance returns the instance of a set that is added.
func nextInstance(chain Result) (int, error) {
	n := len(chain.Sets) + 1
	switch {
	case chain.Status != StatusNone && chain.Status != StatusPass && chain.Status != StatusFail:
		return 0, fmt.Errorf("%w: unknown status %q", ErrNoSeal, chain.Status)
	case errors.Is(chain.Err, ErrSealedFail):
		return 0, fmt.Errorf("%w: %w", ErrNoSeal, chain.Err) // RFC 8617 §5.1 step 2.
	case n > MaxSets:
		return 0, fmt.Errorf("%w: it has %d sets", ErrNoSeal, MaxSets)
	case (chain.Status == StatusNone) != (n == 1):
		return 0, fmt.Errorf("%w: status %s with %d sets", ErrNoSeal, chain.Status, n-1)
	}
	return n, nil
}

func authResultsField(n int, results trace.AuthResults) string {
	var w message.HeaderWriter
	w.Field(AuthResultsField)
	w.Add(fmt.Sprintf("i=%d;", n))
	results.Write(&w)
	return w.String()
}

// messageSignatureField makes the message signature, RFC 8617 §4.1.2.
func messageSignatureField(x *dkim.Index, n int, domain dns.Domain, sel dkim.Selector, opts SealOptions) (string, error) {
	s, err := sel.Prepare(x, domain, dkim.SignOptions{Now: opts.Now})
	if err != nil {
		return "", err
	}
	if sel.Headers == nil {
		s.SignedHeaders = append(s.SignedHeaders, x.NamesToSign([]string{dkim.FieldName}, false)...)
	}
	if err := checkSignedFields(s); err != nil {
		return "", fmt.Errorf("%w: %w", dkim.ErrSelector, err)
	}
	if s.Signs(trace.FieldName) {
		return "", fmt.Errorf("%w: %s must not be signed", dkim.ErrSelector, trace.FieldName)
	}
	hashes, err := x.BodyHashes([]dkim.BodySpec{bodySpec(s)})
	if err != nil {
		return "", err
	}
	s.BodyHash = hashes[0].Sum[:]
	first := fmt.Sprintf("i=%d;", n)
	if s.HeaderCanon == dkim.Simple && s.BodyCanon == dkim.Simple {
		// The default, which SignField leaves out. Dkimpy takes another one for it.
		first += " c=simple/simple;"
	}
	return x.SignField(MessageSignatureField, first, s, sel.Key, opts.UTF8)
}

// sealField makes the seal, RFC 8617 §4.1.3, §5.1.1. The seal of a chain that has
// failed is over its own set alone, §5.1.2.
func sealField(n int, chain Result, aar, ams string, domain dns.Domain, sel dkim.Selector, opts SealOptions) (string, error) {
	h := newChainHash()
	if chain.Status == StatusPass {
		for _, s := range chain.Sets {
			for _, raw := range s.raw {
				h.add(raw)
			}
		}
	}
	h.add([]byte(aar))
	h.add([]byte(ams))
	alg, err := dkim.AlgorithmOf(sel.Key)
	if err != nil {
		return "", err
	}
	s := dkim.Sig{Algorithm: alg, Domain: domain, Selector: sel.Name, Length: -1, SignTime: opts.Now.Unix(), ExpireTime: -1}
	field := s.UnsignedField(SealField, fmt.Sprintf("i=%d; cv=%s;", n, strings.ToLower(string(chain.Status))), opts.UTF8)
	sum, err := h.sum([]byte(field))
	if err != nil {
		return "", err
	}
	sig, err := dkim.SignHash(sel.Key, sum)
	if err != nil {
		return "", err
	}
	return dkim.SignedField(field, sig), nil
}
