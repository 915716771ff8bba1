package message

import "mox/internal/lex"

// isWireList says whether b is one parenthesized list of IMAP strings, numbers, NILs
// and lists, as ENVELOPE and BODYSTRUCTURE are, with nothing after it.
func isWireList(b []byte) bool {
	depth := 0
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '(':
			depth++
			i++
		case c == ')':
			if depth--; depth == 0 {
				return i+1 == len(b)
			}
			i++
		case c == ' ':
			i++
		default:
			n := wireItem(b[i:])
			if n == 0 || depth == 0 {
				return false
			}
			i += n
		}
		if depth == 0 {
			return false
		}
	}
	return false
}

// wireItem returns the length of the string, number or NIL at the beginning of b, 0
// if there is none.
func wireItem(b []byte) int {
	switch {
	case b[0] == '"':
		for i := 1; i < len(b); i++ {
			switch c := b[i]; {
			case c == '"':
				return i + 1
			case c == '\\' && i+1 < len(b) && (b[i+1] == '"' || b[i+1] == '\\'):
				i++
			case c == '\\' || c == 0 || c >= 0x80 || c == '\r' || c == '\n':
				return 0
			}
		}
		return 0
	case b[0] == '{':
		return wireLiteral(b)
	case lex.Digit.Has(b[0]):
		n := 1
		for n < len(b) && lex.Digit.Has(b[n]) {
			n++
		}
		return n
	case len(b) >= 3 && string(b[:3]) == "NIL":
		return 3
	}
	return 0
}

func wireLiteral(b []byte) int {
	size, i := 0, 1
	for ; i < len(b) && lex.Digit.Has(b[i]) && size <= len(b); i++ {
		size = size*10 + int(b[i]-'0')
	}
	if i == 1 || len(b)-i < 3 || string(b[i:i+3]) != "}\r\n" || size > len(b)-i-3 {
		return 0
	}
	data := b[i+3 : i+3+size]
	for _, c := range data {
		if c == 0 {
			return 0
		}
	}
	return i + 3 + size
}
