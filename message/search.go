package message

import (
	"bytes"
	"io"
	"unicode"
	"unicode/utf8"
)

// Fold returns s in the form in which text is compared: each character is made
// upper and then lower case by its simple Unicode mappings, so that also those meet
// that differ only by form, such as the two small sigmas. It does not normalise and
// keeps accents. Text in a Digest and what a Matcher reads are folded in this way;
// invalid UTF-8 becomes U+FFFD.
func Fold(s string) string {
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c >= 'A' && c <= 'Z' {
			return string(AppendFold(make([]byte, 0, len(s)+8), []byte(s)))
		}
	}
	return s
}

// AppendFold appends the folded form of src.
func AppendFold(dst, src []byte) []byte {
	for i := 0; i < len(src); {
		if c := src[i]; c < utf8.RuneSelf {
			dst = append(dst, lower(c))
			i++
			continue
		}
		r, n := utf8.DecodeRune(src[i:])
		dst = utf8.AppendRune(dst, unicode.ToLower(unicode.ToUpper(r)))
		i += n
	}
	return dst
}

// Matcher looks for several substrings at once in text that comes in pieces, without
// regard to case (see Fold). It keeps no more of the text than the longest of them
// is long.
type Matcher struct {
	needles [][]byte // Folded.
	found   []bool
	left    int
	longest int
	buf     []byte // Folded text, of which the last longest-1 bytes were seen before.
	partial []byte // Bytes of a character not complete yet.
}

// NewMatcher returns a Matcher for needles in UTF-8. An empty needle is found at
// once.
func NewMatcher(needles ...string) *Matcher {
	m := &Matcher{found: make([]bool, len(needles))}
	for i, s := range needles {
		n := []byte(Fold(s))
		m.needles = append(m.needles, n)
		m.found[i] = len(n) == 0
		if len(n) > 0 {
			m.left++
		}
		m.longest = max(m.longest, len(n))
	}
	return m
}

// Write takes the next piece of text, in UTF-8. A character may be split between
// pieces. It always takes all and gives no error.
func (m *Matcher) Write(p []byte) (int, error) {
	size := len(p)
	const step = 8 << 10
	for m.left > 0 && len(p) > 0 {
		n := min(step, len(p))
		m.feed(p[:n])
		p = p[n:]
	}
	return size, nil
}

func (m *Matcher) feed(p []byte) {
	for len(m.partial) > 0 {
		for len(p) > 0 && !utf8.FullRune(m.partial) {
			m.partial = append(m.partial, p[0])
			p = p[1:]
		}
		if !utf8.FullRune(m.partial) {
			return
		}
		// What is not UTF-8 is a character of one byte; another may begin after it.
		_, n := utf8.DecodeRune(m.partial)
		m.buf = AppendFold(m.buf, m.partial[:n])
		m.partial = append(m.partial[:0], m.partial[n:]...)
	}
	if n := incomplete(p); n > 0 {
		m.partial = append(m.partial, p[len(p)-n:]...)
		p = p[:len(p)-n]
	}
	m.buf = AppendFold(m.buf, p)
	m.match()
}

// match looks for what is not found yet and drops what need not be seen again.
func (m *Matcher) match() {
	for i, n := range m.needles {
		if !m.found[i] && bytes.Contains(m.buf, n) {
			m.found[i] = true
			m.left--
		}
	}
	if keep := m.longest - 1; len(m.buf) > keep {
		m.buf = m.buf[:copy(m.buf, m.buf[len(m.buf)-keep:])]
	}
}

// incomplete returns how many bytes at the end of p begin a character that is not
// complete.
func incomplete(p []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(p); n++ {
		if c := p[len(p)-n]; utf8.RuneStart(c) {
			if utf8.FullRune(p[len(p)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}

// End ends the text: what comes next is another one, in which no match can begin in
// this one.
func (m *Matcher) End() {
	if len(m.partial) > 0 {
		m.buf = AppendFold(m.buf, m.partial)
		m.match()
	}
	m.buf, m.partial = m.buf[:0], m.partial[:0]
}

// ReadFrom writes all of r, up to the first error or until all needles are found,
// and ends the text.
func (m *Matcher) ReadFrom(r io.Reader) (int64, error) {
	defer m.End()
	buf := make([]byte, 8<<10)
	total := int64(0)
	for m.left > 0 {
		n, err := r.Read(buf)
		total += int64(n)
		m.Write(buf[:n])
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Found says whether needle i was found.
func (m *Matcher) Found(i int) bool { return m.found[i] }

// Done says whether all needles were found, so that more text changes nothing.
func (m *Matcher) Done() bool { return m.left == 0 }
