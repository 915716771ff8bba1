package arc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"mox/dkim"
	"mox/dns"
)

// A Result is what came of validating the chain of a message.
type Result struct {
	Status Status

	// Err says why the status is fail, and FailedInstance in which set, or is 0 if it
	// is not about one. Failures are permanent, those of DNS too (RFC 8617 §5.2.1).
	Err            error
	FailedInstance int

	// Sets are those of the message, by instance from 1 on. If the status is fail, what
	// they say is to be treated as if it were not there (RFC 8617 §5.2); they may be
	// incomplete then.
	Sets []*Set

	// OldestPass is the lowest instance whose message signature verifies, with those
	// after it, or 0 if all do: since then the message was not changed (RFC 8617 §5.2).
	// It has a meaning if the status is pass.
	OldestPass int
}

// Domains returns the domains that have sealed the chain, the first one first. It is
// empty unless the chain is valid.
func (r Result) Domains() []dns.Domain {
	if r.Status != StatusPass {
		return nil
	}
	var l []dns.Domain
	for _, s := range r.Sets {
		l = append(l, s.Domain())
	}
	return l
}

// LogValue returns what is worth a log line.
func (r Result) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("status", string(r.Status)), slog.Int("sets", len(r.Sets))}
	if r.Status == StatusPass {
		attrs = append(attrs, slog.Int("oldestpass", r.OldestPass), slog.Any("domain", r.Sets[len(r.Sets)-1].Domain()))
	}
	if r.Err != nil {
		attrs = append(attrs, slog.Int("instance", r.FailedInstance), slog.Any("err", r.Err))
	}
	return slog.GroupValue(attrs...)
}

// VerifyOptions are what a caller of [Verify] can choose.
type VerifyOptions struct {
	// Now is the time at which a message signature must not have expired. The zero
	// value stands for the current time.
	Now time.Time
}

// Verify validates the chain of a message of size bytes, RFC 8617 §5.2. An error is
// one of r.
//
// The keys of the latest set are looked up first. If its message signature holds,
// those of all others are looked up at the same time, within [dkim.LookupTimeout],
// and less if ctx says so.
func Verify(ctx context.Context, log *slog.Logger, resolver dns.Resolver, r io.ReaderAt, size int64, opts VerifyOptions) (Result, error) {
	if opts.Now.IsZero() {
		opts.Now = time.Now()
	}
	var res Result
	x, err := dkim.ReadIndex(r, size)
	if err == nil {
		res.Sets, err = collect(x)
	}
	v := verification{x: x, sets: res.Sets, resolver: resolver, now: opts.Now}
	switch {
	case errors.As(err, &readError{}), err != nil && !errors.Is(err, ErrStructure) && !errors.Is(err, dkim.ErrTooMany):
		return Result{}, err
	case err == nil && len(res.Sets) == 0:
		return Result{Status: StatusNone}, nil
	case err == nil:
		res.FailedInstance, err = v.verify(ctx)
	}
	if errors.As(err, &readError{}) {
		return Result{}, err
	}
	res.Status, res.Err, res.OldestPass = StatusPass, err, v.oldestPass
	if err != nil {
		res.Status = StatusFail
	}
	if log != nil {
		log.DebugContext(ctx, "arc chain validated", slog.Any("result", res))
	}
	return res, nil
}

// verification is the state of validating a chain.
type verification struct {
	x          *dkim.Index
	sets       []*Set
	resolver   dns.Resolver
	now        time.Time
	specs      []dkim.BodySpec // Of all message signatures.
	hashes     []dkim.BodyHash // For specs.
	oldestPass int
}

// verify does the steps of RFC 8617 §5.2. It returns in which set the chain fails.
func (v *verification) verify(ctx context.Context) (int, error) {
	if n, err := checkStructure(v.sets); err != nil {
		return n, err
	}
	last := v.sets[len(v.sets)-1]
	v.lookup(ctx, v.sets[len(v.sets)-1:])
	if err := v.messageSignature(last); err != nil {
		return last.Instance, fmt.Errorf("%w: %w", ErrMessageSignature, err)
	}
	v.lookup(ctx, v.sets[:len(v.sets)-1])
	if n, err := v.seals(); err != nil {
		return n, fmt.Errorf("%w: %w", ErrSeal, err)
	}
	return 0, v.findOldestPass()
}

// checkStructure does steps 2 and 3 of RFC 8617 §5.2.
func checkStructure(sets []*Set) (int, error) {
	last := sets[len(sets)-1]
	if last.Seal != nil && last.CV == StatusFail {
		return last.Instance, ErrSealedFail
	}
	for i, s := range sets {
		for kind, raw := range s.raw {
			if raw == nil {
				return s.Instance, fmt.Errorf("%w: no %s of instance %d", ErrStructure, kindNames[kind], s.Instance)
			}
		}
		want := StatusPass
		if i == 0 {
			want = StatusNone
		}
		if s.CV != want {
			return s.Instance, fmt.Errorf("%w: cv=%s in instance %d instead of %s", ErrStructure, s.CV, s.Instance, want)
		}
	}
	return 0, nil
}

// lookup looks up the keys of sets.
func (v *verification) lookup(ctx context.Context, sets []*Set) {
	if len(sets) == 0 {
		return
	}
	var names []dkim.KeyName
	for _, s := range sets {
		names = append(names, keyName(s.MessageSignature), keyName(s.Seal))
	}
	keys := dkim.LookupKeys(ctx, v.resolver, names)
	for _, s := range sets {
		m, a := keys[keyName(s.MessageSignature)], keys[keyName(s.Seal)]
		s.MessageRecord, s.SealRecord, s.SealAuthentic = m.Record, a.Record, a.Authentic
		s.keyErr = [2]error{m.Err, a.Err}
	}
}

func keyName(s *dkim.Sig) dkim.KeyName {
	return dkim.KeyName{Selector: s.Selector, Domain: s.Domain}
}

// checkKey checks all of a signature that needs no hash.
func checkKey(s *dkim.Sig, r *dkim.Record, lookupErr error) error {
	if err := dkim.CheckAlgorithms(s); err != nil {
		return err
	}
	if lookupErr != nil {
		return lookupErr
	}
	return r.Check(s)
}

// messageSignature verifies the message signature of a set.
func (v *verification) messageSignature(set *Set) error {
	s := set.MessageSignature
	if s.ExpireTime >= 0 && v.now.Unix() > s.ExpireTime {
		return dkim.ErrExpired
	}
	if err := checkKey(s, set.MessageRecord, set.keyErr[0]); err != nil {
		return err
	}
	sum, err := v.x.HeaderHash(s.HeaderCanon, s.SignedHeaders, set.own[0], -1)
	if err != nil {
		return readError{err}
	}
	if err := set.MessageRecord.VerifyHash(sum[:], s.Signature); err != nil {
		return err
	}
	return v.checkBody(s)
}

// checkBody compares the hash of the body. The body is read the first time, for all
// message signatures of the chain: there are two canonicalisations at most.
func (v *verification) checkBody(s *dkim.Sig) error {
	if v.hashes == nil {
		for _, set := range v.sets {
			spec := bodySpec(set.MessageSignature)
			if dkim.CheckAlgorithms(set.MessageSignature) == nil && !slices.Contains(v.specs, spec) {
				v.specs = append(v.specs, spec)
			}
		}
		var err error
		if v.hashes, err = v.x.BodyHashes(v.specs); err != nil {
			return readError{err}
		}
	}
	return s.CheckBody(v.hashes[slices.Index(v.specs, bodySpec(s))])
}

func bodySpec(s *dkim.Sig) dkim.BodySpec {
	return dkim.BodySpec{Canon: s.BodyCanon, Length: s.Length}
}

// seals verifies all seals. If several do not verify, the one with the greatest
// instance counts, as RFC 8617 §5.2 step 6 has them in that order.
func (v *verification) seals() (failed int, err error) {
	h := newChainHash()
	for _, set := range v.sets {
		h.add(set.raw[kindAAR])
		h.add(set.raw[kindAMS])
		if serr := verifySeal(h, set); serr != nil {
			failed, err = set.Instance, serr
		}
		h.add(set.raw[kindAS])
	}
	return failed, err
}

func verifySeal(h *chainHash, set *Set) error {
	s := set.Seal
	if err := checkKey(s, set.SealRecord, set.keyErr[1]); err != nil {
		return err
	}
	sum, err := h.sum(set.own[1])
	if err != nil {
		return err
	}
	return set.SealRecord.VerifyHash(sum, s.Signature)
}

// findOldestPass verifies earlier message signatures, RFC 8617 §5.2 step 5. Only an
// error of the reader is returned.
func (v *verification) findOldestPass() error {
	left := int64(MaxHeaderWork)
	for i := len(v.sets) - 2; i >= 0; i-- {
		left -= v.x.BodyStart()
		err := v.messageSignature(v.sets[i])
		if errors.As(err, &readError{}) {
			return err
		}
		if err != nil || left < 0 {
			v.oldestPass = v.sets[i+1].Instance
			return nil
		}
	}
	return nil
}
