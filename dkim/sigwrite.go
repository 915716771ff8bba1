package dkim

import (
	"encoding/base64"
	"strconv"
	"strings"

	"mox/message"
)

// Header returns the field of a signature, folded and with CRLF at the end of each
// line. Domains are written with A-labels, or with U-labels if utf8 is set, as
// RFC 8616 §5 wants for messages with internationalised header fields. Tags with
// their default value are left out, and so is z=.
func (s *Sig) Header(utf8 bool) string {
	return SignedField(s.UnsignedField(FieldName, "v=1;", utf8), s.Signature)
}

// UnsignedField returns the field of a signature, or one like it with another name,
// folded, up to and including "b=", its last tag: what is hashed. First is what comes
// first, such as "v=1;". Tag c= is left out if HeaderCanon is empty.
func (s *Sig) UnsignedField(name, first string, utf8 bool) string {
	var w message.HeaderWriter
	w.Field(name)
	w.Add(first, "a="+s.Algorithm.String()+";")
	if s.HeaderCanon != "" && (s.HeaderCanon != Simple || s.BodyCanon != Simple) {
		w.Add("c=" + string(s.HeaderCanon) + "/" + string(s.BodyCanon) + ";")
	}
	w.Add("d="+s.Domain.XName(utf8)+";", "s="+s.Selector.XName(utf8)+";")
	if s.Identity != nil {
		w.Add("i=" + encodeIdentity(s.Identity.format(utf8), utf8) + ";")
	}
	if s.Length >= 0 {
		w.Add("l=" + strconv.FormatInt(s.Length, 10) + ";")
	}
	if s.QueryMethods != nil {
		w.Add("q=" + strings.Join(s.QueryMethods, ":") + ";")
	}
	if s.SignTime >= 0 {
		w.Add("t=" + strconv.FormatInt(s.SignTime, 10) + ";")
	}
	if s.ExpireTime >= 0 {
		w.Add("x=" + strconv.FormatInt(s.ExpireTime, 10) + ";")
	}
	addNames(&w, s.SignedHeaders)
	if s.BodyHash != nil {
		w.AddWrap("bh=", base64.StdEncoding.EncodeToString(s.BodyHash), ";")
	}
	w.Add("b=")
	return strings.TrimSuffix(w.String(), "\r\n")
}

// encodeIdentity encodes the value of i=, in which UTF-8 may stay as it is if the
// header has some anyway.
func encodeIdentity(s string, utf8 bool) string {
	if !utf8 {
		return encodeQP(s, "", false)
	}
	var b strings.Builder
	for _, r := range s {
		if r < 0x80 {
			b.WriteString(encodeQP(string(r), "", false))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// addNames adds tag h=, which may be folded at its colons.
func addNames(w *message.HeaderWriter, names []string) {
	const width = 70
	word := "h="
	for i, name := range names {
		if i > 0 {
			word += ":"
			if len(word)+len(name) > width {
				w.Add(word)
				word = ""
			}
		}
		word += name
	}
	if len(names) > 0 {
		w.Add(word + ";")
	}
}

// SignedField returns a field that ends in "b=" with a signature, folded, and CRLF.
// White space in and around the value of b= is not part of what is signed.
func SignedField(field string, sig []byte) string {
	const width = 74
	b64 := base64.StdEncoding.EncodeToString(sig)
	var b strings.Builder
	b.WriteString(field)
	col := len(field) - strings.LastIndexByte(field, '\n') - 1
	for b64 != "" {
		n := min(len(b64), width-col)
		if n <= 0 {
			b.WriteString("\r\n\t")
			col = 1
			continue
		}
		b.WriteString(b64[:n])
		b64 = b64[n:]
		col += n
	}
	b.WriteString("\r\n")
	return b.String()
}
