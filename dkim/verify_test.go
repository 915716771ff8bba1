package dkim

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mox/dns"
)

// signWith signs a message of ours for example.org as s says, also in ways in which
// Sign would not, and returns the field.
func signWith(t testing.TB, msg string, sel Selector, change func(s *Sig)) string {
	t.Helper()
	x, err := ReadIndex(strings.NewReader(msg), int64(len(msg)))
	if err != nil {
		t.Fatal(err)
	}
	s := &Sig{
		Algorithm: RSASHA256, HeaderCanon: Relaxed, BodyCanon: Relaxed, Domain: mustDomain(t, "example.org"), Selector: sel.Name,
		SignedHeaders: []string{"From", "Subject"}, Length: -1, SignTime: -1, ExpireTime: -1,
	}
	if s.Algorithm, err = AlgorithmOf(sel.Key); err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(s)
	}
	if s.BodyHash == nil {
		h, err := x.BodyHashes([]BodySpec{s.bodySpec()})
		if err != nil {
			t.Fatal(err)
		}
		s.BodyHash = h[0].Sum[:]
	}
	h, err := x.SignField(FieldName, "v=1;", s, sel.Key, false)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

const simpleMsg = "From: a@example.org\r\nTo: b@example.org\r\nSubject: c\r\n\r\nd\r\n"

func TestSignaturesAreChecked(t *testing.T) {
	t.Parallel()
	sel := mustSelector(t, "sel", ed25519Key(t))
	now := time.Unix(2_000_000_000, 0)
	for name, tc := range map[string]struct {
		change func(s *Sig)
		opts   VerifyOptions
		want   Status
		err    error
		text   string
	}{
		"good":                        {nil, VerifyOptions{}, StatusPass, nil, ""},
		"from not signed":             {func(s *Sig) { s.SignedHeaders = []string{"Subject"} }, VerifyOptions{}, StatusPermerror, ErrFromUnsigned, ""},
		"expired":                     {func(s *Sig) { s.ExpireTime = now.Unix() - 1 }, VerifyOptions{}, StatusPermerror, ErrExpired, "2033-05-18"},
		"not expired":                 {func(s *Sig) { s.ExpireTime = now.Unix() }, VerifyOptions{}, StatusPass, nil, ""},
		"signed in the future":        {func(s *Sig) { s.SignTime = now.Unix() + 1000 }, VerifyOptions{}, StatusPass, nil, ""},
		"public suffix":               {func(s *Sig) { s.Domain = mustDomain(t, "co.uk") }, VerifyOptions{}, StatusPolicy, ErrPolicy, "d=co.uk is a public suffix"},
		"top-level domain":            {func(s *Sig) { s.Domain = mustDomain(t, "org") }, VerifyOptions{}, StatusPolicy, ErrPolicy, "public suffix"},
		"unlisted one":                {func(s *Sig) { s.Domain = mustDomain(t, "localhost") }, VerifyOptions{}, StatusPolicy, ErrPolicy, "public suffix"},
		"suffix allowed":              {func(s *Sig) { s.Domain = mustDomain(t, "localhost") }, VerifyOptions{IsPublicSuffix: func(dns.Domain) bool { return false }}, StatusPass, nil, ""},
		"private suffix":              {func(s *Sig) { s.Domain = mustDomain(t, "github.io") }, VerifyOptions{}, StatusPass, nil, ""},
		"suffix by caller":            {nil, VerifyOptions{IsPublicSuffix: func(d dns.Domain) bool { return d.ASCII == "example.org" }}, StatusPolicy, ErrPolicy, "public suffix"},
		"length":                      {func(s *Sig) { s.Length = 3 }, VerifyOptions{}, StatusPolicy, ErrPolicy, "with l="},
		"length allowed":              {func(s *Sig) { s.Length = 3 }, VerifyOptions{AllowLength: true}, StatusPass, nil, ""},
		"length 0 allowed":            {func(s *Sig) { s.Length = 0 }, VerifyOptions{AllowLength: true}, StatusPass, nil, ""},
		"length beyond body":          {func(s *Sig) { s.Length = 4 }, VerifyOptions{AllowLength: true}, StatusFail, ErrBodyHash, "3 bytes, fewer than the 4"},
		"length is huge":              {func(s *Sig) { s.Length = 1<<63 - 1 }, VerifyOptions{AllowLength: true}, StatusFail, ErrBodyHash, ""},
		"subject not signed":          {func(s *Sig) { s.SignedHeaders = []string{"From"} }, VerifyOptions{}, StatusPolicy, ErrPolicy, "Subject is not signed"},
		"subject not needed":          {func(s *Sig) { s.SignedHeaders = []string{"From"} }, VerifyOptions{RequireSigned: []string{}}, StatusPass, nil, ""},
		"date needed":                 {nil, VerifyOptions{RequireSigned: []string{"Date"}}, StatusPolicy, ErrPolicy, "Date is not signed"},
		"policy of the caller":        {nil, VerifyOptions{Policy: func(*Sig) error { return errors.New("we do not like it") }}, StatusPolicy, ErrPolicy, "we do not like it"},
		"other query method":          {func(s *Sig) { s.QueryMethods = []string{"http", "x/y"} }, VerifyOptions{}, StatusPermerror, ErrQueryMethod, "http:x/y"},
		"two query methods":           {func(s *Sig) { s.QueryMethods = []string{"http", "dns/TXT"} }, VerifyOptions{}, StatusPass, nil, ""},
		"sha1":                        {func(s *Sig) { s.Algorithm, s.BodyHash = RSASHA1, make([]byte, 20) }, VerifyOptions{}, StatusPermerror, ErrAlgorithm, "rsa-sha1 is historic"},
		"unknown algorithm":           {func(s *Sig) { s.Algorithm = Algorithm{"rsa", "sha3"} }, VerifyOptions{}, StatusPermerror, ErrAlgorithm, "rsa-sha3"},
		"unknown header canon":        {func(s *Sig) { s.HeaderCanon = "nowsp" }, VerifyOptions{}, StatusPermerror, ErrCanonicalization, "nowsp"},
		"unknown body canon":          {func(s *Sig) { s.BodyCanon = "nowsp" }, VerifyOptions{}, StatusPermerror, ErrCanonicalization, "nowsp"},
		"other body":                  {func(s *Sig) { s.BodyHash = make([]byte, 32) }, VerifyOptions{}, StatusFail, ErrBodyHash, ""},
		"no key":                      {func(s *Sig) { s.Selector = mustDomain(t, "none") }, VerifyOptions{}, StatusPermerror, ErrNoRecord, "none._domainkey.example.org"},
		"same name signed more often": {func(s *Sig) { s.SignedHeaders = []string{"from", "FROM", "Subject", "From"} }, VerifyOptions{}, StatusPass, nil, ""},
	} {
		h := signWith(t, simpleMsg, sel, tc.change)
		z := withKeys(t, "example.org", sel)
		for _, d := range []string{"localhost", "github.io"} {
			z.txt["sel._domainkey."+d+"."] = z.txt["sel._domainkey.example.org."]
		}
		tc.opts.Now = now
		l := verifyText(t, z, h+simpleMsg, tc.opts)
		if len(l) != 1 || l[0].Status != tc.want || !errors.Is(l[0].Err, tc.err) || tc.text != "" && !strings.Contains(l[0].Err.Error(), tc.text) {
			t.Errorf("%s: got %s: %s", name, statuses(l), errorsOf(l))
		}
	}
}

func TestPolicyRulesHaveNames(t *testing.T) {
	t.Parallel()
	sel := mustSelector(t, "sel", ed25519Key(t))
	for want, change := range map[string]func(s *Sig){
		RuleUnsignedSubject: func(s *Sig) { s.SignedHeaders = []string{"From"} },
		RuleBodyLength:      func(s *Sig) { s.Length = 3 },
		RulePublicSuffix:    func(s *Sig) { s.Domain = mustDomain(t, "com") },
	} {
		l := verifyText(t, withKeys(t, "example.org", sel), signWith(t, simpleMsg, sel, change)+simpleMsg, VerifyOptions{})
		var perr *PolicyError
		if !errors.As(l[0].Err, &perr) || perr.Rule != want {
			t.Errorf("%s: got %v", want, l[0].Err)
		}
	}
}

// RFC 6376 §8.15: which of several fields is shown, nobody knows.
func TestAllFromAndSubjectFieldsMustBeSigned(t *testing.T) {
	t.Parallel()
	sel := mustSelector(t, "sel", ed25519Key(t))
	h := signWith(t, simpleMsg, sel, nil)
	for field, want := range map[string]string{
		"From: evil@example.org\r\n":   "2 fields From, of which 1 are signed",
		"Subject : evil\r\n":           "2 fields Subject, of which 1 are signed",
		"X: y\r\n":                     "<nil>",
		"To: evil@example.org\r\n":     "<nil>",
		"x\r\n Subject: continued\r\n": "<nil>",
	} {
		l := verifyText(t, withKeys(t, "example.org", sel), h+field+simpleMsg, VerifyOptions{})
		if got := errorsOf(l); !strings.Contains(got, want) {
			t.Errorf("%q: got %s", field, got)
		}
	}
}

func TestKeyLookupsFailInDifferentWays(t *testing.T) {
	t.Parallel()
	sel := mustSelector(t, "sel", ed25519Key(t))
	msg := signWith(t, simpleMsg, sel, nil) + simpleMsg
	const name = "sel._domainkey.example.org."
	good := "v=DKIM1;k=ed25519;p=" + edP
	for what, tc := range map[string]struct {
		txt  []string
		err  error
		want Status
		is   error
		text string
	}{
		"not found":            {nil, fmt.Errorf("%w: x", dns.ErrNotFound), StatusPermerror, ErrNoRecord, "sel._domainkey.example.org"},
		"temporary":            {nil, fmt.Errorf("%w: x", dns.ErrTemporary), StatusTemperror, ErrLookup, "temporary lookup failure"},
		"bogus":                {nil, fmt.Errorf("%w: x", dns.ErrBogus), StatusTemperror, dns.ErrBogus, "dnssec verification failed"},
		"invalid":              {nil, fmt.Errorf("%w: x", dns.ErrInvalid), StatusPermerror, ErrNoRecord, ""},
		"time-out":             {nil, context.DeadlineExceeded, StatusTemperror, ErrLookup, ""},
		"one":                  {[]string{good}, nil, StatusPass, nil, ""},
		"with others":          {[]string{"v=spf1 -all", good, "x=y", "", "p=zzz"}, nil, StatusPass, nil, ""},
		"with a malformed one": {[]string{good, "v=DKIM1; p=!"}, nil, StatusPass, nil, ""},
		"two":                  {[]string{good, good}, nil, StatusTemperror, ErrMultipleRecords, ""},
		"many":                 {make([]string, MaxRecords+1), nil, StatusPermerror, ErrMultipleRecords, "11 TXT records"},
		"only others":          {[]string{"v=spf1 -all"}, nil, StatusPermerror, ErrNoRecord, "only other TXT records"},
		"only malformed":       {[]string{"x", "v=DKIM1; k=ed25519; p=!"}, nil, StatusPermerror, ErrRecordSyntax, "tag p="},
		"revoked":              {[]string{"v=DKIM1; k=ed25519; p="}, nil, StatusPermerror, ErrRevoked, ""},
		"other key":            {[]string{"v=DKIM1; k=ed25519; p=" + "sPs07Vu29FpHT/80UXUcYHFOHifD4o2ZlP2+XUh9g6E="}, nil, StatusFail, ErrSignature, ""},
		"for sha1":             {[]string{good + "; h=sha1"}, nil, StatusPermerror, ErrKey, ""},
		"testing, pass":        {[]string{good + "; t=y"}, nil, StatusPass, nil, ""},
		"testing, fail":        {[]string{"v=DKIM1; k=ed25519; t=y; p=" + "sPs07Vu29FpHT/80UXUcYHFOHifD4o2ZlP2+XUh9g6E="}, nil, StatusNone, ErrSignature, ""},
		"testing, revoked":     {[]string{"v=DKIM1; t=y; p="}, nil, StatusNone, ErrRevoked, ""},
		"binary":               {[]string{"\x00\xff\x80"}, nil, StatusPermerror, ErrNoRecord, ""},
	} {
		for _, insecure := range []bool{false, true} {
			z := &txtResolver{txt: map[string][]string{name: tc.txt}, err: map[string]error{name: tc.err}, insecure: insecure}
			l := verifyText(t, z, msg, VerifyOptions{})
			if len(l) != 1 || l[0].Status != tc.want || !errors.Is(l[0].Err, tc.is) || tc.text != "" && !strings.Contains(l[0].Err.Error(), tc.text) {
				t.Errorf("%s: got %s: %s", what, statuses(l), errorsOf(l))
			} else if l[0].RecordAuthentic == insecure {
				t.Errorf("%s: authentic %v", what, l[0].RecordAuthentic)
			}
		}
	}
}

func TestShortRSAKeysNeverPass(t *testing.T) {
	t.Parallel()
	// RFC 8301 §3.2. A signature that is good but for the length of its key: 768 bits.
	p, _ := new(big.Int).SetString("1230186684530117755130494958384962720772853569595334792197322452151726400507263657518745202199786469389956474942774063845925192557326303453731548268507917026122142913461670429214311602221240479274737794080665351419597459856902143413", 10)
	rec, err := NewRecord(&rsa.PublicKey{N: p, E: 65537})
	if err != nil {
		t.Fatal(err)
	}
	h := signWith(t, simpleMsg, mustSelector(t, "sel", rsaKey(t)), nil)
	z := &txtResolver{txt: map[string][]string{"sel._domainkey.example.org.": {rec.String()}}}
	l := verifyText(t, z, h+simpleMsg, VerifyOptions{})
	if l[0].Status != StatusPermerror || !errors.Is(l[0].Err, ErrKey) || !strings.Contains(l[0].Err.Error(), "768 bits, fewer than 1024") {
		t.Errorf("got %s: %s", statuses(l), errorsOf(l))
	}
}

func TestKeysAreLookedUpAtTheSameTimeAndOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sel := mustSelector(t, "sel", ed25519Key(t))
		var headers string
		z := withKeys(t, "example.org", sel)
		for i := range MaxSignatures - 1 {
			s := mustSelector(t, fmt.Sprintf("s%d", i/2), ed25519Key(t))
			headers += signWith(t, simpleMsg, s, nil)
			z.txt[fmt.Sprintf("s%d._domainkey.example.org.", i/2)] = z.txt["sel._domainkey.example.org."]
		}
		z.before = func(string) { time.Sleep(time.Second) }
		start := time.Now()
		l := verifyText(t, z, headers+simpleMsg, VerifyOptions{})
		if got := statuses(l); got != strings.TrimSpace(strings.Repeat("pass ", MaxSignatures-1)) {
			t.Errorf("got %s: %s", got, errorsOf(l))
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("lookups took %s", d)
		}
		if len(z.questions) != 5 {
			t.Errorf("got lookups %q", z.questions)
		}
	})
}

func TestLookupsAtTheSameTimeAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var now, most atomic.Int32
		z := &txtResolver{before: func(string) {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			now.Add(-1)
		}}
		var names []KeyName
		for i := range 2*MaxLookups + 1 {
			n := KeyName{mustDomain(t, fmt.Sprintf("s%d", i)), mustDomain(t, "example.org")}
			names = append(names, n, n)
		}
		start := time.Now()
		results := LookupKeys(t.Context(), z, names)
		if d := time.Since(start); d != 3*time.Second || most.Load() != MaxLookups || len(results) != len(names)/2 {
			t.Errorf("%d results, at most %d at the same time, in %s", len(results), most.Load(), d)
		}
	})
}

func TestSlowLookupsAreTemporaryErrors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := mustSelector(t, "a", ed25519Key(t)), mustSelector(t, "b", ed25519Key(t))
		msg := signWith(t, simpleMsg, a, nil) + signWith(t, simpleMsg, b, nil) + simpleMsg
		z := withKeys(t, "example.org", a, b)
		z.before = func(name string) {
			if strings.HasPrefix(name, "a.") {
				time.Sleep(LookupTimeout + time.Second)
			}
		}
		l := verifyText(t, z, msg, VerifyOptions{})
		if got := statuses(l); got != "temperror pass" || !errors.Is(l[0].Err, context.DeadlineExceeded) {
			t.Errorf("got %s: %s", got, errorsOf(l))
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		l, err := Verify(ctx, nil, z, strings.NewReader(msg), int64(len(msg)), VerifyOptions{})
		if got := statuses(l); got != "temperror temperror" || err != nil {
			t.Errorf("cancelled: got %s, %v", got, err)
		}
	})
}

func TestAThousandSignaturesCostAsMuchAsTen(t *testing.T) {
	t.Parallel()
	sel := mustSelector(t, "sel", ed25519Key(t))
	h := signWith(t, simpleMsg, sel, nil)
	z := withKeys(t, "example.org", sel)
	l := verifyText(t, z, strings.Repeat(h, 1000)+simpleMsg, VerifyOptions{})
	if len(l) != MaxSignatures+1 || l[0].Status != StatusPass || l[MaxSignatures-1].Status != StatusPass {
		t.Fatalf("got %s", statuses(l))
	}
	last := l[MaxSignatures]
	if last.Status != StatusPolicy || !errors.Is(last.Err, ErrTooMany) || !strings.Contains(last.Err.Error(), "990 signatures after the first 10") {
		t.Errorf("got %+v", last)
	}
	if len(z.questions) != 1 {
		t.Errorf("got lookups %q", z.questions)
	}
	// Those that are malformed count too.
	l = verifyText(t, z, strings.Repeat("DKIM-Signature: x\r\n", MaxSignatures)+h+simpleMsg, VerifyOptions{})
	if got := statuses(l); got != strings.Repeat("neutral ", MaxSignatures)+"policy" {
		t.Errorf("got %s", got)
	}
}

func TestLongSignaturesAreNotParsed(t *testing.T) {
	t.Parallel()
	long := "DKIM-Signature: v=1; z=" + strings.Repeat("a", MaxSignatureLen) + "\r\n"
	l := verifyText(t, &txtResolver{}, long+simpleMsg, VerifyOptions{})
	if len(l) != 1 || l[0].Status != StatusNeutral || !errors.Is(l[0].Err, ErrSyntax) || !strings.Contains(l[0].Err.Error(), "longer than") {
		t.Errorf("got %s: %s", statuses(l), errorsOf(l))
	}
}

// countingReader counts the bytes that are read from an offset on.
type countingReader struct {
	r    io.ReaderAt
	from int64
	n    atomic.Int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	if end := off + int64(n); end > c.from {
		c.n.Add(end - max(off, c.from))
	}
	return n, err
}

func TestBodyIsReadOnceAndOnlyForGoodSignatures(t *testing.T) {
	t.Parallel()
	sel := mustSelector(t, "sel", ed25519Key(t))
	msg := simpleMsg + strings.Repeat(strings.Repeat("text ", 20)+"\r\n", 2000)
	var good string
	for _, c := range []Canonicalization{Simple, Relaxed, Simple, Relaxed} {
		good += signWith(t, msg, sel, func(s *Sig) { s.BodyCanon = c })
	}
	bad := strings.Replace(good, "b=", "b=AAAA", 4)
	for what, tc := range map[string]struct {
		fields, want string
		reads        int64
	}{
		"good":    {good, "pass pass pass pass", 1},
		"bad":     {bad, "fail fail fail fail", 0},
		"both":    {bad + good, "fail fail fail fail pass pass pass pass", 1},
		"no key":  {strings.ReplaceAll(good, "s=sel", "s=none"), "permerror permerror permerror permerror", 0},
		"neutral": {"DKIM-Signature: a\r\n", "neutral", 0},
	} {
		text := tc.fields + msg
		bodySize := int64(len(text) - strings.Index(text, "\r\n\r\n") - 4)
		// The header is read in pieces of 8 KB at first, which may have some body.
		r := &countingReader{r: strings.NewReader(text), from: 8 << 10}
		l, err := Verify(t.Context(), nil, withKeys(t, "example.org", sel), r, int64(len(text)), VerifyOptions{})
		if err != nil || statuses(l) != tc.want {
			t.Errorf("%s: got %s, %v: %s", what, statuses(l), err, errorsOf(l))
		}
		if n := r.n.Load(); tc.reads == 0 && n > 0 || n > bodySize {
			t.Errorf("%s: read %d bytes of a body of %d", what, n, bodySize)
		}
	}
}

func TestErrorsOfTheReaderAreReturned(t *testing.T) {
	t.Parallel()
	sel := mustSelector(t, "sel", ed25519Key(t))
	msg := simpleMsg + strings.Repeat("body\r\n", 50_000)
	text := signWith(t, msg, sel, nil) + msg
	z := withKeys(t, "example.org", sel)
	for _, size := range []int64{10, 1000, 100_000} {
		// A file that was cut.
		_, err := Verify(t.Context(), nil, z, strings.NewReader(text[:size]), int64(len(text)), VerifyOptions{})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes: got error %v", size, err)
		}
		if _, err := Sign(strings.NewReader(text[:size]), int64(len(text)), mustDomain(t, "example.org"), []Selector{sel}, SignOptions{}); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("signing of %d bytes: got error %v", size, err)
		}
	}
}

func TestMessagesWithBareLineFeedsVerify(t *testing.T) {
	t.Parallel()
	sel := mustSelector(t, "sel", ed25519Key(t))
	for _, c := range []Canonicalization{Simple, Relaxed} {
		text := signWith(t, simpleMsg, sel, func(s *Sig) { s.HeaderCanon, s.BodyCanon = c, c }) + simpleMsg
		text = strings.ReplaceAll(text, "\r\n", "\n")
		l, err := Verify(t.Context(), nil, withKeys(t, "example.org", sel), strings.NewReader(text), int64(len(text)), VerifyOptions{})
		if err != nil || statuses(l) != "pass" {
			t.Errorf("%s: got %s, %v: %s", c, statuses(l), err, errorsOf(l))
		}
	}
}

func TestSignaturesOfOthersCanBeSigned(t *testing.T) {
	t.Parallel()
	sel := mustSelector(t, "sel", ed25519Key(t))
	first := signWith(t, simpleMsg, sel, func(s *Sig) { s.HeaderCanon = Simple })
	second := signWith(t, first+simpleMsg, sel, func(s *Sig) {
		s.HeaderCanon = Simple
		// Once more than there are, so that none can be added.
		s.SignedHeaders = append(s.SignedHeaders, "DKIM-Signature", "DKIM-Signature")
	})
	l := verifyText(t, withKeys(t, "example.org", sel), first+simpleMsg, VerifyOptions{})
	if got := statuses(l); got != "pass" {
		t.Errorf("got %s", got)
	}
	for fields, want := range map[string]string{
		second + first:                           "pass pass",
		first + second:                           "pass pass", // RFC 6376 §3.5: h= is never about the own field.
		second + "DKIM-Signature: x\r\n" + first: "fail neutral pass",
	} {
		l = verifyText(t, withKeys(t, "example.org", sel), fields+simpleMsg, VerifyOptions{})
		if got := statuses(l); got != want {
			t.Errorf("got %s, expected %s: %s", got, want, errorsOf(l))
		}
	}
}

func TestResultsAreLogged(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	log := slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))
	msg := rfc8463Signatures + "DKIM-Signature: x\r\n" + joe
	if _, err := Verify(t.Context(), log, rfc8463Zone(), strings.NewReader(msg), int64(len(msg)), VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"result.status=pass result.domain=football.example.com result.selector=brisbane result.algorithm=ed25519-sha256 result.authentic=true", "result.status=neutral result.err="} {
		if !strings.Contains(buf.String(), want) {
			t.Errorf("no %q in %s", want, buf.String())
		}
	}
}

func TestRSASignaturesOfLargeKeysVerify(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sel := mustSelector(t, "sel", key)
	l := verifyText(t, withKeys(t, "example.org", sel), signWith(t, simpleMsg, sel, nil)+simpleMsg, VerifyOptions{})
	if got := statuses(l); got != "pass" || l[0].Record.Bits() != 2048 {
		t.Errorf("got %s: %s", got, errorsOf(l))
	}
}
