package trace

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"mox/internal/lex"
	"mox/message"
	"mox/smtp"
)

// Header returns the header field, folded, with CRLF at the end of each line.
func (a AuthResults) Header() string {
	var w message.HeaderWriter
	w.Field(FieldName)
	a.Write(&w)
	return w.String()
}

// String returns the value of the field in one line.
func (a AuthResults) String() string {
	return strings.Join(a.words(), " ")
}

// Write adds the value to a field that w has begun, for ARC-Authentication-Results,
// which has an instance tag first.
//
// Names that are not keywords lose the characters that do not fit, other texts are
// quoted where they need to be, and all are cut at [MaxText] or [MaxKeyword].
func (a AuthResults) Write(w *message.HeaderWriter) {
	for _, word := range a.words() {
		if strings.HasPrefix(word, "(") {
			w.AddText(word)
		} else {
			w.Add(word)
		}
	}
}

// words returns the parts of the value between which it can be folded.
func (a AuthResults) words() []string {
	l := []string{formatValue(a.AuthservID)}
	if a.Version != 0 {
		l = append(l, strconv.Itoa(a.Version))
	}
	l[len(l)-1] += ";"
	if len(a.Results) == 0 {
		return append(l, "none")
	}
	for i, r := range a.Results {
		l = r.appendWords(l)
		if i < len(a.Results)-1 {
			l[len(l)-1] += ";"
		}
	}
	return l
}

func (r Result) appendWords(l []string) []string {
	method := formatKeyword(r.Method)
	if r.Version != 0 {
		method += "/" + strconv.Itoa(r.Version)
	}
	l = append(l, method+"="+formatKeyword(r.Result))
	l = appendComment(l, r.Comment)
	if r.Reason != "" {
		l = append(l, "reason="+formatValue(r.Reason))
	}
	for _, p := range r.Props {
		name := formatKeyword(p.Property)
		if p.Type != "" {
			name = formatKeyword(p.Type) + "." + name
		}
		l = append(l, name+"="+formatPropValue(p.Value))
		l = appendComment(l, p.Comment)
	}
	return l
}

func appendComment(l []string, text string) []string {
	text = strings.Join(strings.Fields(clean(text)), " ")
	if text == "" {
		return l
	}
	return append(l, "("+escape(text, `()\`)+")")
}

// formatKeyword returns s without what cannot be in a keyword.
func formatKeyword(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 0x80 && keyword.Has(byte(r)) {
			return r
		}
		return -1
	}, s)
	if s == "" {
		return "x-unknown"
	}
	return s[:min(len(s), MaxKeyword)]
}

// formatValue returns s as token or quoted string.
func formatValue(s string) string {
	s = clean(s)
	if lex.Token.All(s) {
		return s
	}
	return `"` + escape(s, `"\`) + `"`
}

// formatPropValue returns s as address or domain, as RFC 8601 §2.2 wants for what
// is one, or else as token or quoted string.
func formatPropValue(s string) string {
	s = clean(s)
	if isAddress(s) {
		return s
	}
	return formatValue(s)
}

// isAddress reports whether s is [ [ local-part ] "@" ] domain-name, and can be
// written without quoting. It is clean.
func isAddress(s string) bool {
	i := strings.LastIndexByte(s, '@')
	if i < 0 {
		return false
	}
	domain := s[i+1:]
	if !domainBytes.All(domain) {
		return false
	}
	if i == 0 {
		return true
	}
	local, err := smtp.ParseLocalpart(s[:i], smtp.Strict)
	return err == nil && local.String() == s[:i]
}

// domainBytes are the bytes of domain names, also with U-labels (RFC 8616 §5).
var domainBytes = lex.LDH.Union(lex.Bytes("._"), lex.NonASCII)

// clean returns s as valid UTF-8 without control characters, cut at MaxText.
func clean(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText]
		for i := 1; i < utf8.UTFMax && len(s) > i; i++ { // Not inside a character.
			if utf8.RuneStart(s[len(s)-i]) {
				if !utf8.FullRuneInString(s[len(s)-i:]) {
					s = s[:len(s)-i]
				}
				break
			}
		}
	}
	s = strings.ToValidUTF8(s, "?")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// escape returns s with a backslash before each byte that is in special.
func escape(s, special string) string {
	if !strings.ContainsAny(s, special) {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte(special, s[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
