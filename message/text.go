package message

import (
	"io"
	"unicode/utf8"

	"golang.org/x/text/transform"
)

// TextReader returns a reader of the text of a leaf, as UTF-8: its transfer encoding
// and charset are decoded, and HTML is turned into text. Where the charset is not
// known or not right, bytes that are not UTF-8 are taken as windows-1252. With an
// unknown transfer encoding the text is read as it is.
func (p *Part) TextReader(r io.ReaderAt) io.Reader {
	text := p.charsetReader(r, decoderBuffer)
	if p.Type == "TEXT" && p.Subtype == "HTML" {
		return newHTMLReader(text, false)
	}
	return text
}

// charsetReader is TextReader without the conversion of HTML. It reads the body in
// pieces of so many bytes.
func (p *Part) charsetReader(r io.ReaderAt, piece int64) io.Reader {
	body, err := p.decoder(r, piece)
	if err != nil {
		body = io.NewSectionReader(r, p.BodyStart, p.Size())
	}
	if enc, kind := lookupCharset(p.Param("charset")); kind == charsetOther {
		return transform.NewReader(body, enc.NewDecoder())
	}
	return &lenientReader{r: body, buf: make([]byte, max(min(textBuffer, piece, p.Size()), utf8.UTFMax))}
}

// textBuffer is the size of the pieces in which text is read.
const textBuffer = 4 << 10

// lenientReader is validUTF8 as a reader.
type lenientReader struct {
	r    io.Reader
	buf  []byte
	held int    // Bytes at the beginning of buf of a character that is not complete.
	out  []byte // Not yet read.
	next []byte // To be held once out was read.
	err  error
}

// Read implements io.Reader.
func (l *lenientReader) Read(p []byte) (int, error) {
	for len(l.out) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		l.held = copy(l.buf, l.next)
		n, err := l.r.Read(l.buf[l.held:])
		l.err = err
		b := l.buf[:l.held+n]
		keep := 0
		if err == nil {
			keep = incomplete(b)
		}
		l.out, l.next = validUTF8(b[:len(b)-keep]), b[len(b)-keep:]
	}
	n := copy(p, l.out)
	l.out = l.out[n:]
	return n, nil
}
