package message

// foldColumn is the line length at which HeaderWriter folds, below the 78
// characters that RFC 5322 §2.1.1 recommends.
const foldColumn = 76

// HeaderWriter builds header fields that go before a message, such as Received
// and Authentication-Results, folded with CRLF and a tab so that lines stay
// within 76 characters where the words allow it. The zero value is ready.
//
// Line ends and NULs in words are replaced by spaces: a value from the network
// cannot add a field.
type HeaderWriter struct {
	b    []byte
	col  int  // Characters in the current line.
	some bool // Whether the current line has a word after its name or tab.
	// text is set for text that people read: a fold then keeps the space that was
	// there, and adds no tab.
	text bool
}

// Field ends the field before, if any, and begins a new one.
func (w *HeaderWriter) Field(name string) {
	w.end()
	w.raw(name)
	w.raw(":")
}

// Add appends words, each kept in one line, with a space before each.
func (w *HeaderWriter) Add(words ...string) {
	w.AddSep("", words...)
}

// AddSep appends words with sep after each but the last, and a space between
// them.
func (w *HeaderWriter) AddSep(sep string, words ...string) {
	for i, s := range words {
		if i < len(words)-1 {
			s += sep
		}
		w.space(len(s))
		w.raw(s)
		w.some = true
	}
}

// AddText appends text that may be folded at its spaces.
func (w *HeaderWriter) AddText(text string) {
	for text != "" {
		// A space before a word is where it may be folded; more belong to the word.
		n := 0
		for n < len(text) && text[n] == ' ' {
			n++
		}
		for n < len(text) && text[n] != ' ' {
			n++
		}
		w.Add(text[:n])
		text = text[min(n+1, len(text)):]
	}
}

// AddWrap appends prefix and data as one word that may be folded anywhere inside
// data, for base64 values whose white space means nothing, such as those of
// DKIM-Signature.
func (w *HeaderWriter) AddWrap(prefix, data, suffix string) {
	w.space(len(prefix) + min(len(data), 8))
	w.raw(prefix)
	w.some = true
	for len(data) > 0 {
		n := min(len(data), foldColumn-w.col)
		if n <= 0 {
			w.fold()
			continue
		}
		w.raw(data[:n])
		w.some = true
		data = data[n:]
	}
	w.raw(suffix)
}

// Bytes returns the fields written, each ended by CRLF.
func (w *HeaderWriter) Bytes() []byte {
	w.end()
	return w.b
}

// String returns Bytes as a string.
func (w *HeaderWriter) String() string { return string(w.Bytes()) }

// space makes room for a word of n characters: a space, or a fold.
func (w *HeaderWriter) space(n int) {
	if w.some && w.col+1+n > foldColumn {
		w.fold()
		return
	}
	if w.col > 1 {
		w.raw(" ")
	}
}

func (w *HeaderWriter) fold() {
	if w.text {
		w.b = append(w.b, "\r\n "...)
	} else {
		w.b = append(w.b, "\r\n\t"...)
	}
	w.col, w.some = 1, false
}

func (w *HeaderWriter) end() {
	if w.col > 0 {
		w.b = append(w.b, '\r', '\n')
	}
	w.col, w.some = 0, false
}

func (w *HeaderWriter) raw(s string) {
	for i := range len(s) {
		c := s[i]
		if c == '\r' || c == '\n' || c == 0 {
			c = ' '
		}
		w.b = append(w.b, c)
	}
	w.col += len(s)
}
