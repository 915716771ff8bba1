package lex

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// MaxDepth is how deep productions entered with [Scanner.In] may nest, unless
// [Scanner.SetMaxDepth] says otherwise. It bounds the recursion of every parser
// that names its recursive productions.
const MaxDepth = 100

// An Error says where and in what an input is malformed. It never has text of
// the input in it, so it can be logged and sent when the input may hold a
// password.
type Error struct {
	Production string // Productions from the outermost to the innermost, joined by "/". May be empty.
	Column     int    // Position in the input in bytes, from 1.
	Text       string // What was wanted or what is wrong, such as `expected "<"`.
}

// Error returns for example `expected "<" at column 12, in mail/path`.
func (e *Error) Error() string {
	s := e.Text + " at column " + strconv.Itoa(e.Column)
	if e.Production != "" {
		s += ", in " + e.Production
	}
	return s
}

// A Scanner reads one string from left to right. See the package comment for its
// rules. Make one with [New].
type Scanner struct {
	s        string
	pos      int
	err      *Error
	prods    []string
	maxDepth int
}

// New returns a scanner at the start of s. Strings it returns share the memory of
// s.
func New(s string) *Scanner {
	return &Scanner{s: s, maxDepth: MaxDepth}
}

// NewLimit returns a scanner over s that is in error from the start if s has more
// than max bytes.
func NewLimit(s string, max int) *Scanner {
	sc := New(s)
	if len(s) > max {
		sc.pos = max
		sc.Fail("input longer than %d bytes", max)
	}
	return sc
}

// NewBytes returns a scanner over a copy of b, so that parsed values never keep
// the buffer that b is part of.
func NewBytes(b []byte) *Scanner {
	return New(string(b))
}

// SetMaxDepth sets how many productions may be open at a time.
func (s *Scanner) SetMaxDepth(n int) {
	s.maxDepth = n
}

// In enters a production, for error texts and as the bound on recursion. The
// function it returns leaves it:
//
//	defer s.In("mailbox")()
//
// A parser that recurses must enter a production at each level and must return
// when [Scanner.OK] is false.
func (s *Scanner) In(production string) func() {
	s.prods = append(s.prods, production)
	if len(s.prods) > s.maxDepth {
		s.Fail("nested more than %d levels deep", s.maxDepth)
	}
	return s.leave
}

func (s *Scanner) leave() {
	s.prods = s.prods[:len(s.prods)-1]
}

// maxShownProductions keeps an error text short when a recursive production is
// open many times: only the outermost and innermost ones are shown.
const maxShownProductions = 6

func (s *Scanner) production() string {
	p := s.prods
	if len(p) > maxShownProductions {
		head := maxShownProductions / 2
		return strings.Join(p[:head], "/") + "/.../" + strings.Join(p[len(p)-head:], "/")
	}
	return strings.Join(p, "/")
}

// Fail records an error at the current position, unless there is one already.
func (s *Scanner) Fail(format string, args ...any) {
	s.FailAt(s.pos, format, args...)
}

// FailAt records an error at position pos, as returned by [Scanner.Pos], unless
// there is one already. It is for values that are syntactically fine and wrong.
func (s *Scanner) FailAt(pos int, format string, args ...any) {
	if s.err == nil {
		s.err = &Error{Production: s.production(), Column: pos + 1, Text: fmt.Sprintf(format, args...)}
	}
}

// Err returns the first error, an *[Error], or nil.
func (s *Scanner) Err() error {
	if s.err == nil {
		return nil // Not a nil *Error in an interface.
	}
	return s.err
}

// OK reports whether there has been no error.
func (s *Scanner) OK() bool {
	return s.err == nil
}

// Pos returns the number of bytes consumed.
func (s *Scanner) Pos() int {
	return s.pos
}

// Seek goes back, or forward, to a position that Pos returned. It is how a
// parser with alternatives backtracks. It does not clear an error.
func (s *Scanner) Seek(pos int) {
	if s.err == nil {
		s.pos = min(max(pos, 0), len(s.s))
	}
}

// Since returns the input from pos, as returned by [Scanner.Pos], to the current
// position.
func (s *Scanner) Since(pos int) string {
	return s.s[pos:s.pos]
}

// End reports whether nothing is left to read. It is true after an error, so that
// loops end.
func (s *Scanner) End() bool {
	return s.err != nil || s.pos >= len(s.s)
}

// Rest returns what has not been consumed, without consuming it. It is empty
// after an error.
func (s *Scanner) Rest() string {
	if s.err != nil {
		return ""
	}
	return s.s[s.pos:]
}

// TakeRest consumes and returns all that is left.
func (s *Scanner) TakeRest() string {
	r := s.Rest()
	s.pos += len(r)
	return r
}

// Peek returns the next byte without consuming it. At the end it returns 0,
// false.
func (s *Scanner) Peek() (byte, bool) {
	if s.End() {
		return 0, false
	}
	return s.s[s.pos], true
}

// PeekIs reports whether there is a next byte and it is in c.
func (s *Scanner) PeekIs(c Class) bool {
	b, ok := s.Peek()
	return ok && c.Has(b)
}

// TryByte consumes b if it is next.
func (s *Scanner) TryByte(b byte) bool {
	if c, ok := s.Peek(); !ok || c != b {
		return false
	}
	s.pos++
	return true
}

// Try consumes lit if it is next. The empty string always matches, except after
// an error.
func (s *Scanner) Try(lit string) bool {
	if s.err != nil || !strings.HasPrefix(s.s[s.pos:], lit) {
		return false
	}
	s.pos += len(lit)
	return true
}

// TryFold consumes lit if it is next, ignoring the case of ASCII letters, as
// strings in ABNF match (RFC 5234 §2.3).
func (s *Scanner) TryFold(lit string) bool {
	if s.err != nil || !hasPrefixFold(s.s[s.pos:], lit) {
		return false
	}
	s.pos += len(lit)
	return true
}

func hasPrefixFold(s, prefix string) bool {
	if len(s) < len(prefix) {
		return false
	}
	for i := 0; i < len(prefix); i++ {
		if lower(s[i]) != lower(prefix[i]) {
			return false
		}
	}
	return true
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// TryOne consumes one byte of c.
func (s *Scanner) TryOne(c Class) (byte, bool) {
	b, ok := s.Peek()
	if !ok || !c.Has(b) {
		return 0, false
	}
	s.pos++
	return b, true
}

// TryRun consumes one or more bytes of c: 1*c.
func (s *Scanner) TryRun(c Class) (string, bool) {
	r := s.Take(c)
	return r, r != ""
}

// Take consumes zero or more bytes of c: *c.
func (s *Scanner) Take(c Class) string {
	r := s.Rest()
	r = r[:c.Span(r)]
	s.pos += len(r)
	return r
}

// TakeN consumes zero to max bytes of c.
func (s *Scanner) TakeN(c Class, max int) string {
	r := s.Rest()
	r = r[:min(max, len(r))]
	r = r[:c.Span(r)]
	s.pos += len(r)
	return r
}

// NeedByte consumes b, or records an error.
func (s *Scanner) NeedByte(b byte) bool {
	if s.TryByte(b) {
		return true
	}
	s.Fail("expected %q", string(rune(b)))
	return false
}

// Need consumes lit, or records an error.
func (s *Scanner) Need(lit string) bool {
	if s.Try(lit) {
		return true
	}
	s.Fail("expected %q", lit)
	return false
}

// NeedFold consumes lit in any ASCII case, or records an error.
func (s *Scanner) NeedFold(lit string) bool {
	if s.TryFold(lit) {
		return true
	}
	s.Fail("expected %q", lit)
	return false
}

// NeedOne consumes one byte of c, or records the error that what was expected.
func (s *Scanner) NeedOne(c Class, what string) byte {
	b, ok := s.TryOne(c)
	if !ok {
		s.Fail("expected %s", what)
	}
	return b
}

// NeedRun consumes one or more bytes of c, or records the error that what was
// expected.
func (s *Scanner) NeedRun(c Class, what string) string {
	r, ok := s.TryRun(c)
	if !ok {
		s.Fail("expected %s", what)
	}
	return r
}

// NeedN consumes exactly n bytes of c, or records the error that what was
// expected.
func (s *Scanner) NeedN(c Class, n int, what string) string {
	pos := s.pos
	r := s.TakeN(c, n)
	if len(r) != n {
		s.FailAt(pos+len(r), "expected %s", what)
		return ""
	}
	return r
}

// NeedEnd records an error unless all has been consumed.
func (s *Scanner) NeedEnd() bool {
	if s.err == nil && s.pos < len(s.s) {
		s.Fail("unexpected data after the end")
	}
	return s.err == nil
}

// TryUint consumes a decimal number, 1*DIGIT, of at most max. It consumes nothing
// and returns false when there is no digit; a number that is too large is an
// error, recorded at its first digit.
func (s *Scanner) TryUint(max uint64) (uint64, bool) {
	pos := s.pos
	digits, ok := s.TryRun(Digit)
	if !ok {
		return 0, false
	}
	var v uint64
	for i := 0; i < len(digits); i++ {
		d := uint64(digits[i] - '0')
		if v > (math.MaxUint64-d)/10 || v*10+d > max {
			s.pos = pos
			s.Fail("number larger than %d", max)
			return 0, false
		}
		v = v*10 + d
	}
	return v, true
}

// NeedUint consumes a decimal number of at most max, or records an error.
func (s *Scanner) NeedUint(max uint64) uint64 {
	v, ok := s.TryUint(max)
	if !ok {
		s.Fail("expected a number")
	}
	return v
}

// NeedUint32 consumes a decimal number that fits in 32 bits, or records an error.
func (s *Scanner) NeedUint32() uint32 {
	return uint32(s.NeedUint(math.MaxUint32))
}
