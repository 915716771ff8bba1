package message

// FilterFields appends to dst the raw lines of those fields in raw, a header
// section or Digest.Fields, that have one of the names, or with not those that
// have none of them, for the HEADER.FIELDS and HEADER.FIELDS.NOT specifiers of
// RFC 9051 §6.4.5.1. Names are matched in ASCII without regard to case. The
// blank line that ends raw is appended too, if raw has one. Lines that are no
// field are left out.
func FilterFields(dst, raw []byte, names [][]byte, not bool) []byte {
	for i := 0; i < len(raw); {
		if n := blankLine(raw[i:]); n > 0 {
			return append(dst, raw[i:i+n]...)
		}
		start := i
		i = fieldEnd(raw, i)
		f, ok := parseField(raw, start, i)
		if ok && hasName(names, f.Name) != not {
			dst = append(dst, raw[start:i]...)
		}
	}
	return dst
}

func hasName(names [][]byte, name []byte) bool {
	for _, n := range names {
		if equalFold(n, name) {
			return true
		}
	}
	return false
}

// FilterMIME appends to dst the Content-* and MIME-Version fields of raw, and
// its blank line: the MIME header of a part whose header is that of a message.
func FilterMIME(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if n := blankLine(raw[i:]); n > 0 {
			return append(dst, raw[i:i+n]...)
		}
		start := i
		i = fieldEnd(raw, i)
		f, ok := parseField(raw, start, i)
		if ok && (hasPrefixFold(f.Name, "content-") || equalFold(f.Name, "mime-version")) {
			dst = append(dst, raw[start:i]...)
		}
	}
	return dst
}
