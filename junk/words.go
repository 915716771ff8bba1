package junk

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"mox/message"
)

// A wordReader splits text into words: runs of letters, marks and digits, with an
// apostrophe inside kept, in folded form. What is written without spaces, such as
// Chinese and Japanese, gives each two characters that follow one another. Numbers
// alone are no words; amounts of money and percentages are.
type wordReader struct {
	b      *builder
	prefix string
	pairs  bool

	prev token // For pairs; zero if there is none.

	word   []byte // As written.
	runes  int
	lead   rune // The character before the word.
	seen   uint8
	cased  int // Upper-case letters.
	fold   []byte
	cjk    rune // The character before, of a script without spaces.
	shouts int  // Words in capitals,
	total  int  // of all words with letters.
}

// What a word has in it.
const (
	hasLetter uint8 = 1 << iota
	hasDigit
	hasLatin
	hasCyrillic
	hasGreek
	hasOther
	hasNonASCII
)

// bytes reads words from text in memory.
func (w *wordReader) bytes(text []byte) {
	for len(text) > 0 && !w.b.full {
		c, size := utf8.DecodeRune(text)
		text = text[size:]
		var next rune
		if len(text) > 0 {
			next, _ = utf8.DecodeRune(text)
		}
		w.step(c, next)
	}
	w.end(0)
	w.prev, w.cjk = token{}, 0
}

// step takes a character. Next is the one after it, needed after an apostrophe only.
func (w *wordReader) step(c, next rune) {
	switch {
	case c < utf8.RuneSelf:
		switch {
		case 'a' <= c && c <= 'z':
			w.append(c, hasLetter|hasLatin)
		case 'A' <= c && c <= 'Z':
			w.cased++
			w.append(c, hasLetter|hasLatin)
		case '0' <= c && c <= '9':
			w.append(c, hasDigit)
		case c == '\'' && w.runes > 0 && w.seen&hasLetter != 0 && isLetter(next):
			w.append(c, 0)
		case (c == '.' || c == ',') && w.runes > 0 && w.seen&hasLetter == 0 && w.lead != 0:
			// Inside an amount, "$1,000.00": the rest of it says little.
			w.end(c)
		default:
			w.end(c)
			w.lead = c
		}
		return
	case c == '’' && w.runes > 0 && isLetter(next):
		w.append('\'', 0)
	case c == 0x00ad || c >= 0x200b && c <= 0x200f || c == 0xfeff:
		// Soft hyphens and characters without width inside words are not seen.
	case isDense(c):
		w.end(0)
		if w.cjk != 0 {
			w.buf(w.cjk, c)
		} else {
			w.buf(c, 0)
		}
		w.cjk = c
		return
	case unicode.IsLetter(c):
		if unicode.IsUpper(c) {
			w.cased++
		}
		w.append(c, hasLetter|hasNonASCII|script(c))
	case unicode.IsMark(c) && w.runes > 0:
		w.append(c, hasNonASCII)
	case unicode.IsDigit(c):
		w.append(c, hasDigit|hasNonASCII)
	default:
		w.end(c)
		w.lead = c
	}
}

// buf adds a token of one or two characters.
func (w *wordReader) buf(a, c rune) {
	w.fold = utf8.AppendRune(w.fold[:0], a)
	if c != 0 {
		w.fold = utf8.AppendRune(w.fold, c)
	}
	w.b.add(kindWord, w.prefix, w.fold)
}

func (w *wordReader) append(c rune, seen uint8) {
	w.cjk = 0
	w.seen |= seen
	w.runes++
	if w.runes <= MaxWord {
		w.word = utf8.AppendRune(w.word, c)
	}
}

// end ends a word. The character after it may belong to it.
func (w *wordReader) end(after rune) {
	runes, seen, lead, cased := w.runes, w.seen, w.lead, w.cased
	word := w.word
	w.word, w.runes, w.seen, w.lead, w.cased = w.word[:0], 0, 0, 0, 0
	if runes == 0 {
		if after != 0 && !unicode.IsSpace(after) {
			w.cjk = 0
		}
		return
	}
	if seen&hasLetter == 0 {
		w.number(word, lead, after)
		return
	}
	if runes > MaxWord {
		w.b.sign("long word")
		w.prev = token{}
		return
	}
	if scripts := seen & (hasLatin | hasCyrillic | hasGreek); scripts&(scripts-1) != 0 && runes > 2 {
		w.b.sign("mixed scripts in a word")
	}
	w.fold = foldWord(w.fold[:0], word, seen&hasNonASCII != 0)
	if runes < 2 {
		// Letters alone are spaced-out words, or initials.
		w.prev = token{}
		return
	}
	w.total++
	if cased == runes && runes > 2 {
		w.shouts++
	}
	t := w.b.add(kindWord, w.prefix, w.fold)
	if after == '!' {
		w.b.add(kindWord, w.prefix, append(w.fold, '!'))
	}
	if w.pairs {
		if w.prev.len > 0 {
			w.b.pair(w.prev, t)
		}
		w.prev = t
	}
}

// number adds amounts: of money, and percentages.
func (w *wordReader) number(word []byte, lead, after rune) {
	switch {
	case lead == '$' || lead == '€' || lead == '£' || lead == '¥':
		w.fold = utf8.AppendRune(w.fold[:0], lead)
		w.fold = append(w.fold, word...)
	case after == '%':
		w.fold = append(append(w.fold[:0], word...), '%')
	default:
		return
	}
	w.b.add(kindWord, w.prefix, w.fold)
}

// foldWord appends a word in the form in which it is stored.
func foldWord(dst, word []byte, nonASCII bool) []byte {
	if nonASCII {
		word = norm.NFKC.Bytes(word)
	}
	return message.AppendFold(dst, word)
}

func isLetter(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c >= utf8.RuneSelf && unicode.IsLetter(c)
}

// isDense says whether a character is of a script that is written without spaces.
func isDense(c rune) bool {
	return c >= 0x0e00 && unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}

// script returns the script of a letter, of those that are mixed to deceive.
func script(c rune) uint8 {
	switch {
	case c < 0x0250 || c >= 0xff00:
		return hasLatin
	case c >= 0x0370 && c < 0x0400:
		return hasGreek
	case c >= 0x0400 && c < 0x0530:
		return hasCyrillic
	}
	return hasOther
}
