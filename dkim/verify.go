package dkim

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mox/dns"
)

// VerifyOptions are what a caller of [Verify] can choose. The zero value has good
// defaults.
type VerifyOptions struct {
	// Now is the time at which a signature must not have expired. The zero value
	// stands for the current time.
	Now time.Time

	// RequireSigned are the names of header fields, besides From, all of which must be
	// signed: each that the message has, and for one that it does not have, that there
	// is none. Nil stands for Subject, as without it anyone could send a signed
	// message with another subject.
	RequireSigned []string

	// AllowLength accepts signatures over the first part of a body, with tag l=, to
	// which anything can be added (RFC 6376 §8.2).
	AllowLength bool

	// IsPublicSuffix says which domains cannot sign, such as "com" and "co.uk"
	// (RFC 6376 §6.1.1). Nil stands for the list of this program. A test set-up may
	// want a function that returns false.
	IsPublicSuffix func(dns.Domain) bool

	// Policy is asked about each signature before it is verified, if not nil. An error
	// makes the result policy; a [*PolicyError] gives the rule a name.
	Policy func(*Sig) error
}

// Verify verifies the signatures of a message of size bytes and returns a result
// for each DKIM-Signature field, in the order in which they are in the message. If
// there is none, there are no results. After [MaxSignatures], one more result says
// how many were not looked at. If the header section is beyond [MaxHeader] or
// [MaxFields], the only result says so.
//
// The order of steps is that of RFC 6376 §6.1. The body is read only if the header
// part of a signature is good. An error is one of r; those of DNS are in results.
//
// Keys are looked up within [LookupTimeout], and less if ctx says so: what was not
// found in that time has status temperror.
func Verify(ctx context.Context, log *slog.Logger, resolver dns.Resolver, r io.ReaderAt, size int64, opts VerifyOptions) ([]Result, error) {
	x, err := ReadIndex(r, size)
	if errors.Is(err, ErrTooMany) {
		return []Result{{Status: StatusNeutral, Err: err}}, nil
	} else if err != nil {
		return nil, err
	}
	v := verification{x: x, opts: opts.withDefaults()}
	if err := v.parse(); err != nil || len(v.sigs) == 0 {
		return nil, err
	}
	v.lookup(ctx, resolver)
	if err := v.verifyHeaders(); err != nil {
		return nil, err
	}
	if err := v.verifyBodies(); err != nil {
		return nil, err
	}
	results := v.results()
	if log != nil && log.Enabled(ctx, slog.LevelDebug) {
		for _, r := range results {
			log.DebugContext(ctx, "dkim signature verified", slog.Any("result", r))
		}
	}
	return results, nil
}

func (o VerifyOptions) withDefaults() VerifyOptions {
	if o.Now.IsZero() {
		o.Now = time.Now()
	}
	if o.RequireSigned == nil {
		o.RequireSigned = []string{"Subject"}
	}
	if o.IsPublicSuffix == nil {
		o.IsPublicSuffix = isPublicSuffix
	}
	return o
}

// verification is the state of verifying the signatures of a message.
type verification struct {
	x       *Index
	opts    VerifyOptions
	sigs    []pending
	skipped int // Signatures after the first MaxSignatures.
}

// pending is a signature that is being verified. It is decided once its result has
// a status.
type pending struct {
	Result
	own []byte // The field, as it is hashed.
	at  int64  // Where it begins.
}

// decide sets the final status. In testing mode, what does not verify is as not
// signed.
func (p *pending) decide(status Status, err error) {
	if p.Record != nil && p.Record.Testing() && status != StatusPass {
		status = StatusNone
	}
	p.Status, p.Err = status, err
}

// parse parses signatures and does all checks that need no key.
func (v *verification) parse() error {
	for _, f := range v.x.Fields() {
		if f.Name != "dkim-signature" {
			continue
		}
		if len(v.sigs) == MaxSignatures {
			v.skipped++
			continue
		}
		if v.sigs == nil {
			v.sigs = make([]pending, 0, 4)
		}
		p := pending{at: f.Start}
		if f.Len() > MaxSignatureLen {
			p.decide(StatusNeutral, fmt.Errorf("%w: longer than %d bytes", ErrSyntax, MaxSignatureLen))
			v.sigs = append(v.sigs, p)
			continue
		}
		raw, err := v.x.Raw(f)
		if err != nil {
			return err
		}
		value, _ := FieldValue(raw)
		sig, tags, err := ParseForm(string(value), formDKIM)
		if err != nil {
			p.decide(StatusNeutral, err)
		} else {
			p.Signature, p.own = sig, WithoutSignature(raw, tags)
			p.decide(v.check(sig))
		}
		v.sigs = append(v.sigs, p)
	}
	return nil
}

// check does the checks of a signature that need no key. The status is empty if
// there is nothing wrong.
func (v *verification) check(s *Sig) (Status, error) {
	if !s.Signs("From") {
		return StatusPermerror, ErrFromUnsigned
	}
	if s.ExpireTime >= 0 && v.opts.Now.Unix() > s.ExpireTime {
		return StatusPermerror, fmt.Errorf("%w on %s", ErrExpired, time.Unix(s.ExpireTime, 0).UTC().Format(time.RFC3339))
	}
	if err := CheckAlgorithms(s); err != nil {
		return StatusPermerror, err
	}
	if s.QueryMethods != nil && !slices.ContainsFunc(s.QueryMethods, func(q string) bool { return strings.EqualFold(q, "dns/txt") }) {
		return StatusPermerror, fmt.Errorf("%w: %s", ErrQueryMethod, strings.Join(s.QueryMethods, ":"))
	}
	if err := v.policy(s); err != nil {
		return StatusPolicy, err
	}
	return "", nil
}

// CheckAlgorithms returns an error if a signature cannot be verified because its
// algorithm is unknown or historic, or its canonicalisation unknown. It matches
// [ErrAlgorithm] or [ErrCanonicalization].
func CheckAlgorithms(s *Sig) error {
	switch {
	case s.Algorithm.Hash == RSASHA1.Hash:
		return fmt.Errorf("%w: %s is historic and must not be used", ErrAlgorithm, s.Algorithm)
	case s.Algorithm != RSASHA256 && s.Algorithm != Ed25519SHA256:
		return fmt.Errorf("%w: %s", ErrAlgorithm, s.Algorithm)
	case !s.HeaderCanon.known():
		return fmt.Errorf("%w: %s", ErrCanonicalization, s.HeaderCanon)
	case !s.BodyCanon.known():
		return fmt.Errorf("%w: %s", ErrCanonicalization, s.BodyCanon)
	}
	return nil
}

// lookup looks up the keys of the signatures that are not decided yet.
func (v *verification) lookup(ctx context.Context, resolver dns.Resolver) {
	names := make([]KeyName, 0, len(v.sigs))
	for i := range v.sigs {
		if p := &v.sigs[i]; p.Status == "" {
			names = append(names, KeyName{p.Signature.Selector, p.Signature.Domain})
		}
	}
	if len(names) == 0 {
		return
	}
	keys := LookupKeys(ctx, resolver, names)
	for i := range v.sigs {
		p := &v.sigs[i]
		if p.Status != "" {
			continue
		}
		k := keys[KeyName{p.Signature.Selector, p.Signature.Domain}]
		p.Record, p.RecordAuthentic = k.Record, k.Authentic
		if k.Err != nil {
			p.decide(k.Status, k.Err)
		} else if err := k.Record.Check(p.Signature); err != nil {
			p.decide(StatusPermerror, err)
		}
	}
}

// verifyHeaders verifies the signatures over the header and the claimed hash of
// the body.
func (v *verification) verifyHeaders() error {
	for i := range v.sigs {
		p := &v.sigs[i]
		if p.Status != "" {
			continue
		}
		s := p.Signature
		sum, err := v.x.HeaderHash(s.HeaderCanon, s.SignedHeaders, p.own, p.at)
		if err != nil {
			return err
		}
		if err := p.Record.VerifyHash(sum[:], s.Signature); err != nil {
			p.decide(StatusFail, err)
		}
	}
	return nil
}

// verifyBodies compares the hashes of the body for the signatures that are good so
// far. Those that hash the same share the hash.
func (v *verification) verifyBodies() error {
	specs := make([]BodySpec, 0, len(v.sigs))
	for i := range v.sigs {
		p := &v.sigs[i]
		if p.Status == "" && !slices.Contains(specs, p.Signature.bodySpec()) {
			specs = append(specs, p.Signature.bodySpec())
		}
	}
	if len(specs) == 0 {
		return nil
	}
	hashes, err := v.x.BodyHashes(specs)
	if err != nil {
		return err
	}
	for i := range v.sigs {
		p := &v.sigs[i]
		if p.Status != "" {
			continue
		}
		if err := p.Signature.CheckBody(hashes[slices.Index(specs, p.Signature.bodySpec())]); err != nil {
			p.decide(StatusFail, err)
		} else {
			p.decide(StatusPass, nil)
		}
	}
	return nil
}

// bodySpec returns what of the body is signed.
func (s *Sig) bodySpec() BodySpec {
	return BodySpec{s.BodyCanon, s.Length}
}

// CheckBody compares the hash of a body with that of the signature. The error
// matches [ErrBodyHash].
func (s *Sig) CheckBody(h BodyHash) error {
	if s.Length > h.Length {
		return fmt.Errorf("%w: body has %d bytes, fewer than the %d that were signed", ErrBodyHash, h.Length, s.Length)
	}
	if subtle.ConstantTimeCompare(h.Sum[:], s.BodyHash) != 1 {
		return ErrBodyHash
	}
	return nil
}

func (v *verification) results() []Result {
	l := make([]Result, 0, len(v.sigs)+1)
	for i := range v.sigs {
		l = append(l, v.sigs[i].Result)
	}
	if v.skipped > 0 {
		err := fmt.Errorf("%w: %d signatures after the first %d", ErrTooMany, v.skipped, MaxSignatures)
		l = append(l, Result{Status: StatusPolicy, Err: err})
	}
	return l
}
