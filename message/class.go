package message

import "mox/internal/lex"

// atext is atext of RFC 5322 §3.2.3 with the UTF-8 of RFC 6532 §3.2, whose
// validity nobody can rely on.
var atext = lex.AText.Union(lex.NonASCII)

func isWSP(b byte) bool { return b == ' ' || b == '\t' }

func isSpace[T byte | rune](c T) bool {
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f'
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// equalFold says whether a is b without regard to case, in ASCII.
func equalFold[A, B ~[]byte | ~string](a A, b B) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

// hasPrefixFold says whether s begins with prefix without regard to case, in
// ASCII.
func hasPrefixFold[A, B ~[]byte | ~string](s A, prefix B) bool {
	return len(s) >= len(prefix) && equalFold(s[:len(prefix)], prefix)
}
