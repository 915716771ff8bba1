package report

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/runes"
	"golang.org/x/text/transform"
)

// declarationLen is how much of the beginning is looked at for a declaration.
const declarationLen = 256

// textReader returns XML in UTF-8 that is valid, and has only characters that can
// be in XML.
func textReader(r io.Reader) io.Reader {
	br := bufio.NewReader(r)
	start, _ := br.Peek(declarationLen) // The error comes again when reading.
	var l []transform.Transformer
	if enc := declaredEncoding(start); enc != nil {
		l = append(l, enc.NewDecoder())
	}
	l = append(l, runes.ReplaceIllFormed(), runes.Map(xmlChar))
	return transform.NewReader(br, transform.Chain(l...))
}

// declaredEncoding returns the encoding of XML by its first bytes (XML 1.0,
// appendix F), or nil for UTF-8 and for what is not known.
func declaredEncoding(start []byte) encoding.Encoding {
	switch {
	case bytes.HasPrefix(start, []byte{0xef, 0xbb, 0xbf}):
		return unicode.UTF8BOM
	case bytes.HasPrefix(start, []byte{0xff, 0xfe}), bytes.HasPrefix(start, []byte{'<', 0, '?', 0}):
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case bytes.HasPrefix(start, []byte{0xfe, 0xff}), bytes.HasPrefix(start, []byte{0, '<', 0, '?'}):
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	}
	decl, _, ok := bytes.Cut(start, []byte("?>"))
	if !ok {
		return nil
	}
	_, value, ok := strings.Cut(string(decl), "encoding")
	if !ok {
		return nil
	}
	name := strings.TrimLeft(value, " \t\r\n=")
	if name == "" || name[0] != '"' && name[0] != '\'' {
		return nil
	}
	name, _, _ = strings.Cut(name[1:], name[:1])
	enc, err := htmlindex.Get(name)
	if err != nil {
		return nil
	}
	switch canonical, err := htmlindex.Name(enc); {
	case err != nil, canonical == "utf-8", strings.HasPrefix(canonical, "utf-16"):
		// The declaration could be read as ASCII, so it is not UTF-16.
		return nil
	}
	return enc
}

// xmlChar replaces characters that cannot be in XML 1.0.
func xmlChar(r rune) rune {
	switch {
	case r == '\t', r == '\n', r == '\r', r >= 0x20 && r <= 0xd7ff, r >= 0xe000 && r <= 0xfffd, r >= 0x10000:
		return r
	}
	return utf8.RuneError
}
