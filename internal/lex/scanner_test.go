package lex

import (
	"errors"
	"math"
	"strings"
	"testing"
)

func TestScannerReadsAGrammarAsStraightCode(t *testing.T) {
	t.Parallel()
	// range = number ":" ( number / "*" )
	parse := func(in string) (from, to uint32, err error) {
		s := New(in)
		defer s.In("range")()
		from = s.NeedUint32()
		s.NeedByte(':')
		if !s.TryByte('*') {
			to = s.NeedUint32()
		}
		s.NeedEnd()
		return from, to, s.Err()
	}
	for _, tc := range []struct {
		in       string
		from, to uint32
		err      string
	}{
		{"1:2", 1, 2, ""},
		{"7:*", 7, 0, ""},
		{"4294967295:1", 4294967295, 1, ""},
		{"", 0, 0, "expected a number at column 1, in range"},
		{"12", 12, 0, `expected ":" at column 3, in range`},
		{"1:x", 1, 0, "expected a number at column 3, in range"},
		{"1:4294967296", 1, 0, "number larger than 4294967295 at column 3, in range"},
		{"1:2 ", 1, 2, "unexpected data after the end at column 4, in range"},
	} {
		from, to, err := parse(tc.in)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if from != tc.from || to != tc.to || got != tc.err {
			t.Errorf("%q: got %d, %d, %q, want %d, %d, %q", tc.in, from, to, got, tc.from, tc.to, tc.err)
		}
	}
}

func TestTryConsumesOnlyWhatMatches(t *testing.T) {
	t.Parallel()
	s := New("Fetch 12abc(rest")
	if s.Try("FETCH") {
		t.Error("Try ignores case")
	}
	if s.TryFold("FETCHES") {
		t.Error("TryFold matched more than there is")
	}
	if !s.TryFold("fEtCH") || s.Pos() != 5 {
		t.Error("TryFold does not match in another case")
	}
	if s.TryByte('x') || !s.TryByte(' ') {
		t.Error("TryByte")
	}
	if _, ok := s.TryRun(Alpha); ok {
		t.Error("TryRun matched nothing")
	}
	if n, ok := s.TryUint(99); !ok || n != 12 {
		t.Errorf("TryUint: %d, %v", n, ok)
	}
	if _, ok := s.TryUint(99); ok || !s.OK() {
		t.Error("TryUint without digit")
	}
	if r := s.TakeN(Alpha, 2); r != "ab" {
		t.Errorf("TakeN: %q", r)
	}
	if r := s.Take(Digit); r != "" {
		t.Errorf("Take of nothing: %q", r)
	}
	if r, ok := s.TryRun(Alpha); !ok || r != "c" {
		t.Errorf("TryRun: %q", r)
	}
	if b, ok := s.TryOne(Bytes("()")); !ok || b != '(' {
		t.Errorf("TryOne: %q", b)
	}
	if _, ok := s.TryOne(Digit); ok {
		t.Error("TryOne of another class")
	}
	if !s.PeekIs(Alpha) || s.PeekIs(Digit) {
		t.Error("PeekIs")
	}
	pos := s.Pos()
	if s.Rest() != "rest" || s.TakeRest() != "rest" || s.Since(pos) != "rest" {
		t.Error("Rest, TakeRest, Since")
	}
	if !s.End() || !s.NeedEnd() || s.Err() != nil {
		t.Error("not at the end without error")
	}
	if _, ok := s.Peek(); ok || s.PeekIs(Octet) {
		t.Error("Peek at the end")
	}
	if s.TryFold("") != true || s.Try("") != true {
		t.Error("the empty string does not match at the end")
	}
}

func TestNeedReturnsWhatItReads(t *testing.T) {
	t.Parallel()
	s := New("OKok:12ab")
	if !s.Need("OK") || !s.NeedFold("OK") || !s.NeedByte(':') {
		t.Error("literals")
	}
	if r := s.NeedN(Digit, 2, "two digits"); r != "12" {
		t.Errorf("NeedN: %q", r)
	}
	if b := s.NeedOne(Alpha, "a letter"); b != 'a' {
		t.Errorf("NeedOne: %q", b)
	}
	if r := s.NeedRun(Alpha, "letters"); r != "b" {
		t.Errorf("NeedRun: %q", r)
	}
	if err := s.Err(); err != nil {
		t.Error(err)
	}
}

func TestFirstErrorSticks(t *testing.T) {
	t.Parallel()
	s := New("abc")
	s.NeedByte('a')
	s.NeedByte('x') // The first.
	s.Need("bc")
	s.NeedFold("bc")
	s.Fail("another")
	s.Seek(0)
	if s.Try("b") || s.TryFold("b") || s.TryByte('b') || s.Take(Alpha) != "" || s.TakeN(Alpha, 1) != "" {
		t.Error("something matched after an error")
	}
	if s.NeedRun(Alpha, "letters") != "" || s.NeedOne(Alpha, "letter") != 0 || s.NeedUint(5) != 0 || s.NeedN(Alpha, 1, "x") != "" {
		t.Error("a value after an error")
	}
	if s.OK() || !s.End() || s.NeedEnd() || s.Rest() != "" || s.TakeRest() != "" || s.Pos() != 1 {
		t.Error("state after an error")
	}
	var e *Error
	if err := s.Err(); !errors.As(err, &e) || e.Column != 2 || e.Text != `expected "x"` || e.Production != "" {
		t.Errorf("got %v", s.Err())
	}
	if New("").Err() != nil {
		t.Error("error of a new scanner is not nil")
	}
}

func TestErrorsNameProductionsFromTheOutside(t *testing.T) {
	t.Parallel()
	s := New("x")
	outer := s.In("mail")
	s.In("path")()
	inner := s.In("domain")
	s.NeedByte('<')
	inner()
	outer()
	if got, want := s.Err().Error(), `expected "<" at column 1, in mail/domain`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s = New("abcdef")
	s.Take(Alpha)
	s.FailAt(2, "no such %s", "month")
	if got, want := s.Err().Error(), "no such month at column 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestErrorsHaveNoInput(t *testing.T) {
	t.Parallel()
	s := New("s3cret")
	s.NeedByte(' ')
	if strings.Contains(s.Err().Error(), "s3c") {
		t.Errorf("error shows input: %v", s.Err())
	}
}

func TestNestingIsBounded(t *testing.T) {
	t.Parallel()
	depth := 0
	var list func(s *Scanner)
	list = func(s *Scanner) { // list = "(" *list ")"
		defer s.In("list")()
		if !s.OK() {
			return
		}
		depth++
		s.NeedByte('(')
		for s.PeekIs(Bytes("(")) {
			list(s)
		}
		s.NeedByte(')')
	}
	s := New(strings.Repeat("(", MaxDepth) + strings.Repeat(")", MaxDepth))
	list(s)
	if err := s.Err(); err != nil || depth != MaxDepth {
		t.Errorf("%d levels: %v", depth, err)
	}
	depth = 0
	s = New(strings.Repeat("(", 1_000_000))
	list(s)
	if depth != MaxDepth {
		t.Errorf("went %d levels deep", depth)
	}
	if got, want := s.Err().Error(), "nested more than 100 levels deep at column 101, in list/list/list/.../list/list/list"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	s = New("((()))")
	s.SetMaxDepth(2)
	list(s)
	if s.OK() {
		t.Error("SetMaxDepth has no effect")
	}
}

func TestInputLongerThanTheLimitIsAnError(t *testing.T) {
	t.Parallel()
	if s := NewLimit("abc", 3); !s.Need("abc") || s.Err() != nil {
		t.Error(s.Err())
	}
	s := NewLimit("abcd", 3)
	if s.Try("a") || s.Err() == nil || s.Err().Error() != "input longer than 3 bytes at column 4" {
		t.Error(s.Err())
	}
}

func TestParsedValuesDoNotKeepTheBuffer(t *testing.T) {
	t.Parallel()
	buf := []byte("value")
	s := NewBytes(buf)
	v := s.NeedRun(Alpha, "value")
	copy(buf, "XXXXX")
	if v != "value" {
		t.Errorf("value changed to %q", v)
	}
}

func TestSeekGoesBackWithinTheInput(t *testing.T) {
	t.Parallel()
	s := New("abc")
	pos := s.Pos()
	s.Take(Alpha)
	s.Seek(pos)
	if !s.Try("abc") {
		t.Error("did not go back")
	}
	s.Seek(-5)
	if s.Pos() != 0 {
		t.Error("went before the start")
	}
	s.Seek(100)
	if s.Pos() != 3 || !s.End() {
		t.Error("went beyond the end")
	}
}

func TestNumbersDoNotOverflow(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		max  uint64
		want uint64
		ok   bool
	}{
		{"0", 0, 0, true},
		{"1", 0, 0, false},
		{"0000000000000000000000000000007", 9, 7, true},
		{"18446744073709551615", math.MaxUint64, math.MaxUint64, true},
		{"18446744073709551616", math.MaxUint64, 0, false},
		{"99999999999999999999999999", math.MaxUint64, 0, false},
		{"9223372036854775807", math.MaxInt64, math.MaxInt64, true},
		{"9223372036854775808", math.MaxInt64, 0, false},
	} {
		s := New(tc.in)
		if got := s.NeedUint(tc.max); got != tc.want || s.OK() != tc.ok {
			t.Errorf("%q up to %d: got %d, %v", tc.in, tc.max, got, s.Err())
		}
	}
}

func FuzzScannerStaysInsideItsInput(f *testing.F) {
	f.Add("a1 FETCH 1:* (FLAGS)", []byte{0, 1, 2, 3, 4, 5})
	f.Add("", []byte{9, 8, 7})
	f.Fuzz(func(t *testing.T, in string, ops []byte) {
		s := New(in)
		for _, op := range ops {
			before := s.Pos()
			ok := s.OK()
			arg := string(op >> 4)
			switch op & 15 {
			case 0:
				s.TryByte(op)
			case 1:
				s.Try(arg)
			case 2:
				s.TryFold(arg)
			case 3:
				s.TryRun(AtomChar)
			case 4:
				s.TakeN(Octet, int(op>>4))
			case 5:
				s.TryUint(math.MaxUint32)
			case 6:
				s.NeedN(Octet, int(op>>4), "bytes")
			case 7:
				s.NeedUint(100)
			case 8:
				s.NeedFold(arg)
			case 9:
				defer s.In("x")()
			default:
				s.TryOne(Octet)
			}
			if s.Pos() < before || s.Pos() > len(in) {
				t.Fatalf("position went from %d to %d of %d", before, s.Pos(), len(in))
			}
			if !ok && s.Pos() != before {
				t.Fatal("moved after an error")
			}
			if before+len(s.Since(before)) != s.Pos() {
				t.Fatal("Since does not cover what was read")
			}
		}
		var e *Error
		if errors.As(s.Err(), &e) && (e.Column < 1 || e.Column > len(in)+1) {
			t.Fatalf("column %d of %d", e.Column, len(in))
		}
	})
}
