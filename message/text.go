package message

import (
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/transform"
)

// TextReader returns a reader of the text of a leaf, as UTF-8: its transfer encoding
// and charset are decoded, and HTML is turned into text. Where the charset is not
// known or not right, bytes that are not UTF-8 are taken as windows-1252. With an
// unknown transfer encoding the text is read as it is.
func (p *Part) TextReader(r io.ReaderAt) io.Reader {
	text := p.charsetReader(r)
	if p.Type == "TEXT" && p.Subtype == "HTML" {
		return newHTMLReader(text, false)
	}
	return text
}

// charsetReader is TextReader without the conversion of HTML.
func (p *Part) charsetReader(r io.ReaderAt) io.Reader {
	body, err := p.Decoder(r)
	if err != nil {
		body = io.NewSectionReader(r, p.BodyStart, p.Size())
	}
	if enc, kind := lookupCharset(p.Param("charset")); kind == charsetOther {
		return transform.NewReader(body, enc.NewDecoder())
	}
	return transform.NewReader(body, lenientUTF8{})
}

// lenientUTF8 is validUTF8 as a Transformer.
type lenientUTF8 struct{ transform.NopResetter }

// Transform implements transform.Transformer.
func (lenientUTF8) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		if c := src[nSrc]; c < utf8.RuneSelf {
			if nDst == len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst] = c
			nDst++
			nSrc++
			continue
		}
		if !atEOF && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		r, n := utf8.DecodeRune(src[nSrc:])
		if r == utf8.RuneError && n == 1 {
			r = charmap.Windows1252.DecodeByte(src[nSrc])
		}
		if nDst+utf8.RuneLen(r) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc += n
	}
	return nDst, nSrc, nil
}
