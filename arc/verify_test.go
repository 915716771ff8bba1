package arc

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mox/dkim"
	"mox/dns"
)

func TestChainsOfOurOwnVerify(t *testing.T) {
	t.Parallel()
	if r := verify(t, unsealed); r.Status != StatusNone || r.Err != nil || len(r.Sets) != 0 || r.Domains() != nil {
		t.Errorf("without chain: got %+v", r)
	}
	for _, n := range []int{1, 2, 5} {
		r := verify(t, chain(t, n, false))
		if r.Status != StatusPass || r.Err != nil || len(r.Sets) != n || r.OldestPass != 0 || r.FailedInstance != 0 {
			t.Fatalf("%d sets: got %+v", n, r)
		}
		for i, s := range r.Sets {
			if s.Instance != i+1 || s.AuthResultsErr != nil || s.AuthResults.AuthservID != domainOf(i+1).ASCII || !s.AuthResults.Results[0].Is("spf") ||
				s.Domain() != domainOf(i+1) || r.Domains()[i] != s.Domain() || !s.SealAuthentic || s.SealRecord == nil || s.MessageRecord == nil {
				t.Errorf("set %d: got %+v", i+1, s)
			}
		}
	}
}

func TestOldestPassTellsSinceWhenAMessageIsUnchanged(t *testing.T) {
	t.Parallel()
	r := verify(t, chain(t, 4, true))
	if r.Status != StatusPass || r.OldestPass != 4 {
		t.Errorf("got %+v", r)
	}
	msg := chain(t, 2, true)
	msg = seal(t, msg, rsaSelector(), verify(t, msg)) + msg
	if r := verify(t, msg); r.Status != StatusPass || r.OldestPass != 2 {
		t.Errorf("got %+v", r)
	}
}

// fieldOf returns the field of an instance, whole.
func fieldOf(t *testing.T, msg, name string, instance int) string {
	t.Helper()
	start := strings.Index(msg, fmt.Sprintf("%s: i=%d;", name, instance))
	if start < 0 {
		t.Fatalf("no %s of instance %d", name, instance)
	}
	end := start
	for {
		end += strings.Index(msg[end:], "\r\n") + 2
		if end == len(msg) || msg[end] != '\t' && msg[end] != ' ' {
			return msg[start:end]
		}
	}
}

func TestBrokenChainsFail(t *testing.T) {
	t.Parallel()
	good := chain(t, 3, false)
	field := func(name string, n int) string { return fieldOf(t, good, name, n) }
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	without := func(name string, n int) string { return replace(field(name, n), "") }
	edit := func(name string, n int, old, with string) string {
		f := field(name, n)
		if !strings.Contains(f, old) {
			t.Fatalf("no %q in %q", old, f)
		}
		return replace(f, strings.Replace(f, old, with, 1))
	}
	for name, tc := range map[string]struct {
		msg      string
		instance int
		err      error
		text     string
	}{
		"body":                  {replace("\r\nd\r\n", "\r\ne\r\n"), 3, ErrMessageSignature, "body hash differs"},
		"subject":               {replace("Subject: c", "Subject: d"), 3, ErrMessageSignature, "signature does not verify"},
		"field added":           {"Cc: x@example.org\r\n" + good, 3, ErrMessageSignature, "signature does not verify"},
		"results of 1":          {edit(AuthResultsField, 1, "spf=pass", "spf=fail"), 3, ErrSeal, "signature does not verify"},
		"results of 3":          {edit(AuthResultsField, 3, "spf=pass", "spf=fail"), 3, ErrSeal, "signature does not verify"},
		"seal of 1":             {edit(SealField, 1, "cv=none", "cv=NONE"), 3, ErrSeal, "signature does not verify"},
		"message signature 2":   {edit(MessageSignatureField, 2, "h=From", "h=from"), 3, ErrSeal, "signature does not verify"},
		"latest removed":        {strings.Replace(strings.Replace(without(SealField, 3), field(MessageSignatureField, 3), "", 1), field(AuthResultsField, 3), "", 1), 0, nil, ""},
		"first removed":         {strings.Replace(strings.Replace(without(SealField, 1), field(MessageSignatureField, 1), "", 1), field(AuthResultsField, 1), "", 1), 1, ErrStructure, "no ARC-Authentication-Results of instance 1"},
		"gap":                   {strings.Replace(strings.Replace(without(SealField, 2), field(MessageSignatureField, 2), "", 1), field(AuthResultsField, 2), "", 1), 2, ErrStructure, "of instance 2"},
		"no seal":               {without(SealField, 2), 2, ErrStructure, "no ARC-Seal of instance 2"},
		"no latest seal":        {without(SealField, 3), 3, ErrStructure, "no ARC-Seal of instance 3"},
		"no message signature":  {without(MessageSignatureField, 1), 1, ErrStructure, "no ARC-Message-Signature of instance 1"},
		"no results":            {without(AuthResultsField, 3), 3, ErrStructure, "no ARC-Authentication-Results of instance 3"},
		"second seal":           {field(SealField, 2) + good, 0, ErrStructure, "ARC-Seal: second one of instance 2"},
		"second results":        {field(AuthResultsField, 1) + good, 0, ErrStructure, "second one of instance 1"},
		"instance 0":            {"ARC-Authentication-Results: i=0; a.example; none\r\n" + good, 0, ErrStructure, "instance 0 is not in 1 to 50"},
		"instance 51":           {"ARC-Authentication-Results: i=51; a.example; none\r\n" + good, 0, ErrStructure, "instance 51 is not in 1 to 50"},
		"instance 999":          {edit(SealField, 3, "i=3", "i=999"), 0, ErrStructure, "one or two digits"},
		"negative instance":     {edit(SealField, 3, "i=3", "i=-1"), 0, ErrStructure, "one or two digits"},
		"no instance":           {edit(SealField, 3, "i=3;", ""), 0, ErrStructure, "no tag i="},
		"results no instance":   {edit(AuthResultsField, 3, "i=3;", ""), 0, ErrStructure, `expected "i"`},
		"duplicate tag":         {edit(SealField, 3, "i=3;", "i=3; i=3;"), 0, ErrStructure, `second tag "i"`},
		"cv=fail":               {edit(SealField, 3, "cv=pass", "cv=fail"), 3, ErrSealedFail, ""},
		"cv=fail before":        {edit(SealField, 2, "cv=pass", "cv=fail"), 2, ErrStructure, "cv=fail in instance 2 instead of pass"},
		"cv=none later":         {edit(SealField, 3, "cv=pass", "cv=none"), 3, ErrStructure, "cv=none in instance 3 instead of pass"},
		"cv=pass at first":      {edit(SealField, 1, "cv=none", "cv=pass"), 1, ErrStructure, "cv=pass in instance 1 instead of none"},
		"cv unknown":            {edit(SealField, 2, "cv=pass", "cv=good"), 0, ErrStructure, "cv= is missing or unknown"},
		"cv missing":            {edit(SealField, 2, "cv=pass;", ""), 0, ErrStructure, "cv= is missing or unknown"},
		"h in seal":             {edit(SealField, 2, "cv=pass;", "cv=pass; h=from;"), 0, ErrStructure, "h= is not allowed"},
		"from not signed":       {edit(MessageSignatureField, 3, "h=From:From:", "h="), 0, ErrStructure, "From is not signed"},
		"arc field signed":      {edit(MessageSignatureField, 3, "h=From:", "h=ARC-Seal:From:"), 0, ErrStructure, "ARC-Seal must not be signed"},
		"length":                {edit(MessageSignatureField, 3, "i=3;", "i=3; l=1;"), 0, ErrStructure, "with l="},
		"sha1":                  {edit(MessageSignatureField, 3, "rsa-sha256", "rsa-md5"), 3, ErrMessageSignature, "unsupported algorithm"},
		"expired":               {edit(MessageSignatureField, 3, "i=3;", "i=3; x=1;"), 0, ErrStructure, "expired before it was signed"},
		"selector without key":  {edit(MessageSignatureField, 3, "s=rsa", "s=none"), 3, ErrMessageSignature, "no key record: none._domainkey.s3.example"},
		"seal without key":      {edit(SealField, 2, "s=ed", "s=none"), 3, ErrSeal, ""},
		"long field":            {edit(SealField, 2, "cv=pass;", "cv=pass; y="+strings.Repeat("a", dkim.MaxSignatureLen)+";"), 0, ErrStructure, "longer than"},
		"malformed":             {"ARC-Seal: x\r\n" + good, 0, ErrStructure, "ARC-Seal: dkim: malformed signature"},
		"many malformed fields": {strings.Repeat("ARC-Seal: i=1\r\n", 10_000) + good, 0, ErrStructure, "no tag"},
	} {
		r := verify(t, tc.msg)
		if tc.err == nil { // The chain as it was before the latest set.
			if r.Status != StatusPass || len(r.Sets) != 2 {
				t.Errorf("%s: got %+v", name, r)
			}
			continue
		}
		if r.Status != StatusFail || !errors.Is(r.Err, tc.err) || r.FailedInstance != tc.instance || !strings.Contains(r.Err.Error(), tc.text) || r.Domains() != nil {
			t.Errorf("%s: got %s in %d: %v", name, r.Status, r.FailedInstance, r.Err)
		}
	}
}

func TestMalformedResultsDoNotBreakAChain(t *testing.T) {
	t.Parallel()
	msg := "ARC-Authentication-Results: i=1; nonsense\r\n" + unsealed
	x, err := dkim.ReadIndex(strings.NewReader(msg), int64(len(msg)))
	if err != nil {
		t.Fatal(err)
	}
	sets, err := collect(x)
	if err != nil || len(sets) != 1 || sets[0].AuthResultsErr == nil {
		t.Errorf("got %+v, %v", sets, err)
	}
}

func TestFailuresOfDNSArePermanent(t *testing.T) {
	t.Parallel()
	// RFC 8617 §5.2.1.
	msg := chain(t, 2, false)
	for _, derr := range []error{dns.ErrTemporary, dns.ErrBogus, dns.ErrNotFound} {
		r, err := Verify(t.Context(), nil, &txtResolver{err: fmt.Errorf("%w: x", derr)}, strings.NewReader(msg), int64(len(msg)), VerifyOptions{})
		if err != nil || r.Status != StatusFail || r.FailedInstance != 2 || !errors.Is(r.Err, ErrMessageSignature) {
			t.Errorf("%v: got %+v, %v", derr, r, err)
		}
	}
}

func TestExpiredMessageSignaturesFail(t *testing.T) {
	t.Parallel()
	now := time.Unix(2_000_000_000, 0)
	sel := rsaSelector()
	sel.Expiration = time.Hour
	h, err := Seal(strings.NewReader(unsealed), int64(len(unsealed)), domainOf(1), sel, results(1), Result{Status: StatusNone}, SealOptions{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	msg := h + unsealed
	for later, want := range map[time.Duration]Status{time.Hour: StatusPass, time.Hour + time.Second: StatusFail} {
		r, err := Verify(t.Context(), nil, zone(t), strings.NewReader(msg), int64(len(msg)), VerifyOptions{Now: now.Add(later)})
		if err != nil || r.Status != want || (want == StatusFail) != errors.Is(r.Err, dkim.ErrExpired) {
			t.Errorf("after %s: got %+v, %v", later, r, err)
		}
	}
}

func TestMostSetsVerifyWithFewLookups(t *testing.T) {
	t.Parallel()
	msg := unsealed
	r := Result{Status: StatusNone}
	for range MaxSets {
		msg = seal(t, msg, ed25519Selector(), r) + msg
		x, err := dkim.ReadIndex(strings.NewReader(msg), int64(len(msg)))
		if err != nil {
			t.Fatal(err)
		}
		r.Status = StatusPass
		if r.Sets, err = collect(x); err != nil {
			t.Fatal(err)
		}
	}
	z := zone(t)
	r, err := Verify(t.Context(), nil, z, strings.NewReader(msg), int64(len(msg)), VerifyOptions{})
	if err != nil || r.Status != StatusPass || len(r.Sets) != MaxSets || r.OldestPass != 0 {
		t.Fatalf("got %+v, %v", r, err)
	}
	if len(z.questions) != MaxSets {
		t.Errorf("%d lookups", len(z.questions))
	}
	if _, err := Seal(strings.NewReader(msg), int64(len(msg)), domainOf(1), rsaSelector(), results(1), r, SealOptions{}); !errors.Is(err, ErrNoSeal) {
		t.Errorf("sealing once more: got error %v", err)
	}
	// Nobody who forges a chain makes us look up more than the keys of its latest set.
	z = zone(t)
	forged := strings.Replace(msg, "\r\nd\r\n", "\r\ne\r\n", 1)
	r, err = Verify(t.Context(), nil, z, strings.NewReader(forged), int64(len(forged)), VerifyOptions{})
	if err != nil || r.Status != StatusFail || len(z.questions) != 1 {
		t.Errorf("forged: got %+v, %v, lookups %q", r, err, z.questions)
	}
}

func TestWorkForOldestPassIsBounded(t *testing.T) {
	t.Parallel()
	const n = 12
	large := "X-Large: " + strings.Repeat("x", 8<<20) + "\r\n"
	msg := unsealed
	r := Result{Status: StatusNone}
	for range n {
		msg = seal(t, msg, ed25519Selector(), r) + msg
		r = verify(t, msg)
	}
	if r.OldestPass != 0 {
		t.Errorf("small header: got %d", r.OldestPass)
	}
	r = verify(t, large+msg)
	// Eight times 8 MB are MaxHeaderWork, with the other fields somewhat more.
	if r.Status != StatusPass || r.OldestPass != n-MaxHeaderWork/(8<<20)+1 {
		t.Errorf("large header: got %s, %d: %v", r.Status, r.OldestPass, r.Err)
	}
}

// countingReader counts the bytes that are read from the body on.
type countingReader struct {
	io.ReaderAt
	body, n int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, off)
	if end := off + int64(n); end > c.body {
		c.n += end - max(off, c.body)
	}
	return n, err
}

func TestBodyIsReadOnce(t *testing.T) {
	t.Parallel()
	body := strings.Repeat("text\r\n", 100_000)
	msg := unsealed + body
	for i := range 3 {
		sel := keys()[i%2]
		if i == 1 {
			sel.BodyCanon = dkim.Simple
		}
		msg = seal(t, msg, sel, verify(t, msg)) + msg
	}
	start := int64(strings.Index(msg, "\r\n\r\n") + 4)
	c := &countingReader{strings.NewReader(msg), max(start, 32<<10), 0}
	r, err := Verify(t.Context(), nil, zone(t), c, int64(len(msg)), VerifyOptions{})
	if err != nil || r.Status != StatusPass || r.OldestPass != 0 {
		t.Fatalf("got %+v, %v", r, err)
	}
	if c.n > int64(len(msg))-start {
		t.Errorf("read %d bytes of a body of %d", c.n, int64(len(msg))-start)
	}
}

func TestErrorsOfTheReaderAreReturned(t *testing.T) {
	t.Parallel()
	msg := unsealed + strings.Repeat("text\r\n", 100_000)
	msg = seal(t, msg, rsaSelector(), Result{Status: StatusNone}) + msg
	for _, size := range []int64{10, 50_000} {
		if r, err := Verify(t.Context(), nil, zone(t), strings.NewReader(msg[:size]), int64(len(msg)), VerifyOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: got %+v, %v", size, r, err)
		}
	}
}

// Its keys are not published, so it is for parsing only.
func TestExampleOfRFC8617IsParsed(t *testing.T) {
	t.Parallel()
	r := verify(t, exampleChain)
	if len(r.Sets) != 3 {
		t.Fatalf("got %+v", r)
	}
	for i, want := range []struct {
		domain, selector string
		cv               Status
		results          string
	}{
		{"lists.example.org", "dk-lists", StatusNone, "lists.example.org; spf=pass smtp.mfrom=jqd@d1.example; dkim=pass (512-bit key) header.i=@d1.example; dmarc=pass"},
		{"gmail.example", "20120806", StatusPass, "gmail.example; spf=fail smtp.from=jqd@d1.example; dkim=fail (512-bit key) header.i=@example.org; dmarc=fail; arc=pass (as.1.lists.example.org=pass, ams.1.lists.example.org=pass)"},
		{"clochette.example.org", "clochette", StatusPass, "clochette.example.org; spf=fail smtp.from=jqd@d1.example; dkim=fail (512-bit key) header.i=@d1.example; dmarc=fail; arc=pass (as.2.gmail.example=pass, ams.2.gmail.example=pass, as.1.lists.example.org=pass, ams.1.lists.example.org=fail \\(message has been altered\\))"},
	} {
		s := r.Sets[i]
		if s.Domain().ASCII != want.domain || s.MessageSignature.Domain.ASCII != want.domain || s.Seal.Selector.ASCII != want.selector || s.CV != want.cv ||
			s.Seal.SignTime != 12345 || len(s.Seal.Signature) != 64 || strings.Join(s.MessageSignature.SignedHeaders, " ") != "message-id date from to subject" {
			t.Errorf("set %d: got %+v", i+1, s)
		}
		if got := s.AuthResults.String(); got != want.results || s.AuthResultsErr != nil {
			t.Errorf("set %d: got %s, %v, expected %s", i+1, got, s.AuthResultsErr, want.results)
		}
		if v, ok := s.AuthResults.Results[1].Prop("header", "i"); !ok || !strings.HasPrefix(v, "@") {
			t.Errorf("set %d: got %q", i+1, v)
		}
	}
	if r.Status != StatusFail || r.FailedInstance != 3 || !errors.Is(r.Err, dkim.ErrNoRecord) {
		t.Errorf("got %+v", r)
	}
}
