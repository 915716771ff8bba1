package arc

import (
	"errors"
	"strings"
	"testing"
	"time"

	"mox/dkim"
	"mox/message/trace"
)

func TestSetsAreWrittenAsRFC8617Says(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	msg := "DKIM-Signature: v=1; a=rsa-sha256\r\nAuthentication-Results: s1.example; none\r\nDKIM-Signature: x\r\n" + unsealed
	h, err := Seal(strings.NewReader(msg), int64(len(msg)), domainOf(1), rsaSelector(), results(1), Result{Status: StatusNone}, SealOptions{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	x, err := dkim.ReadIndex(strings.NewReader(h), int64(len(h)))
	if err != nil {
		t.Fatal(err)
	}
	sets, err := collect(x)
	if err != nil || len(sets) != 1 || len(x.Fields()) != 3 {
		t.Fatalf("got %+v, %v", sets, err)
	}
	s := sets[0]
	if s.CV != StatusNone || s.Seal.SignTime != now.Unix() || s.MessageSignature.SignTime != now.Unix() || s.MessageSignature.ExpireTime != -1 {
		t.Errorf("got %+v", s)
	}
	if seal := fieldOf(t, h, SealField, 1); !strings.HasPrefix(seal, "ARC-Seal: i=1; cv=none; a=rsa-sha256; d=s1.example; s=rsa;") || strings.Contains(seal, "h=") || strings.Contains(seal, "c=") {
		t.Errorf("got %q", seal)
	}
	if ams := fieldOf(t, h, MessageSignatureField, 1); strings.Contains(ams, "v=1") || !strings.Contains(ams, "c=relaxed/relaxed;") {
		t.Errorf("got %q", ams)
	}
	if got, want := fieldOf(t, h, AuthResultsField, 1), "ARC-Authentication-Results: i=1; s1.example; spf=pass\r\n\tsmtp.mailfrom=a@example.org\r\n"; got != want {
		t.Errorf("got %q, expected %q", got, want)
	}
	// RFC 8617 §4.1.2: existing signatures are signed, results are not.
	names := strings.Join(s.MessageSignature.SignedHeaders, " ")
	if strings.Count(names, "DKIM-Signature") != 2 || strings.Contains(names, "Authentication-Results") {
		t.Errorf("signed %s", names)
	}
	for line := range strings.SplitSeq(h, "\r\n") {
		if len(line) > 78 {
			t.Errorf("long line %q", line)
		}
	}
}

func TestBrokenChainsAreSealedOnceAsFailed(t *testing.T) {
	t.Parallel()
	msg := strings.Replace(chain(t, 2, false), "\r\nd\r\n", "\r\ne\r\n", 1)
	r := verify(t, msg)
	if r.Status != StatusFail {
		t.Fatalf("got %+v", r)
	}
	h := seal(t, msg, rsaSelector(), r)
	if !strings.Contains(h, "ARC-Seal: i=3; cv=fail;") {
		t.Errorf("got %s", h)
	}
	// RFC 8617 §5.1.2: the seal is as if its set was the only one.
	x, err := dkim.ReadIndex(strings.NewReader(h), int64(len(h)))
	if err != nil {
		t.Fatal(err)
	}
	sets, err := collect(x)
	if err != nil {
		t.Fatal(err)
	}
	v := verification{x: x, sets: sets[2:], resolver: zone(t)}
	v.lookup(t.Context(), v.sets)
	if n, err := v.seals(); err != nil {
		t.Errorf("instance %d: %v", n, err)
	}
	sealed := verify(t, h+msg)
	if sealed.Status != StatusFail || !errors.Is(sealed.Err, ErrSealedFail) {
		t.Errorf("got %+v", sealed)
	}
	if _, err := Seal(strings.NewReader(msg), int64(len(msg)), domainOf(4), rsaSelector(), results(4), sealed, SealOptions{}); !errors.Is(err, ErrNoSeal) {
		t.Errorf("sealing again: got error %v", err)
	}
}

func TestWhatCannotBeSealedIsRefused(t *testing.T) {
	t.Parallel()
	none := Result{Status: StatusNone}
	change := func(f func(s *dkim.Selector)) dkim.Selector {
		s := rsaSelector()
		f(&s)
		return s
	}
	for name, tc := range map[string]struct {
		msg   string
		sel   dkim.Selector
		chain Result
		want  error
	}{
		"unknown status":             {unsealed, rsaSelector(), Result{}, ErrNoSeal},
		"pass without sets":          {unsealed, rsaSelector(), Result{Status: StatusPass}, ErrNoSeal},
		"none with sets":             {unsealed, rsaSelector(), Result{Status: StatusNone, Sets: []*Set{{}}}, ErrNoSeal},
		"fail with unknown sets":     {unsealed, rsaSelector(), Result{Status: StatusFail}, ErrNoSeal},
		"no key":                     {unsealed, change(func(s *dkim.Selector) { s.Key = nil }), none, dkim.ErrKey},
		"no name":                    {unsealed, change(func(s *dkim.Selector) { s.Name.ASCII = "" }), none, dkim.ErrSelector},
		"from not signed":            {unsealed, change(func(s *dkim.Selector) { s.Headers = []string{"To"} }), none, dkim.ErrSelector},
		"arc signed":                 {unsealed, change(func(s *dkim.Selector) { s.Headers = []string{"From", "arc-seal"} }), none, dkim.ErrSelector},
		"results signed":             {unsealed, change(func(s *dkim.Selector) { s.Headers = []string{"From", "authentication-results"} }), none, dkim.ErrSelector},
		"begins with a continuation": {" x\r\n" + unsealed, rsaSelector(), none, dkim.ErrContinuation},
		"long header":                {strings.Repeat("a:b\r\n", dkim.MaxFields+1), rsaSelector(), none, dkim.ErrTooMany},
	} {
		h, err := Seal(strings.NewReader(tc.msg), int64(len(tc.msg)), domainOf(1), tc.sel, results(1), tc.chain, SealOptions{})
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: got %q, error %v", name, h, err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	for name, n := range map[string]int{"1 set": 1, "5 sets": 5} {
		msg := unsealed
		r := Result{Status: StatusNone}
		for range n {
			msg = seal(b, msg, rsaSelector(), r) + msg
			r = verify(b, msg)
		}
		z := zone(b)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r, err := Verify(b.Context(), nil, z, strings.NewReader(msg), int64(len(msg)), VerifyOptions{})
				if err != nil || r.Status != StatusPass {
					b.Fatal(r, err)
				}
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(exampleChain)
	f.Add(chain(f, 2, false))
	f.Add("ARC-Seal: i=1\r\nARC-Authentication-Results: i=50; a; none\r\n\r\n")
	f.Fuzz(func(t *testing.T, msg string) {
		r := verify(t, msg)
		if (r.Status == StatusFail) != (r.Err != nil) || len(r.Sets) > MaxSets || r.Status == StatusNone && len(r.Sets) > 0 {
			t.Errorf("got %+v", r)
		}
		n := len(r.Sets) + 1
		h, err := Seal(strings.NewReader(msg), int64(len(msg)), domainOf(n), ed25519Selector(), trace.AuthResults{AuthservID: "x"}, r, SealOptions{})
		if err != nil {
			return
		}
		if again := verify(t, h+msg); again.Status == StatusNone || r.Status != StatusFail && again.Status != StatusPass {
			t.Errorf("after sealing: got %+v", again)
		}
	})
}
