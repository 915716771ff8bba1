package spf

import (
	"net/netip"
	"strings"
	"unicode/utf8"

	"mox/internal/lex"
	"mox/message"
	"mox/smtp"
)

// ReceivedSPF returns a Received-SPF header field, RFC 7208 §9.1, with CRLF at its
// end, for the arguments that r is the result of. Nothing that a sender has chosen
// can break its syntax. It is ASCII, except for an internationalised local-part,
// which only a message with SMTPUTF8 can have (RFC 6532 §3).
func (r Result) ReceivedSPF(args Args) string {
	client := args.RemoteIP.String()
	if ip, ok := netip.AddrFromSlice(args.RemoteIP); ok {
		client = ip.Unmap().String()
	}
	pairs := [][2]string{{"client-ip", client}}
	if !args.MailFrom.IsZero() {
		pairs = append(pairs, [2]string{"envelope-from", args.MailFrom.XString(false)})
	}
	if !args.HELO.IsZero() {
		pairs = append(pairs, [2]string{"helo", smtp.FormatDomain(args.HELO, false)})
	}
	if !args.LocalHostname.IsZero() {
		pairs = append(pairs, [2]string{"receiver", args.LocalHostname.ASCII})
	}
	pairs = append(pairs, [2]string{"identity", string(r.Identity)})
	if r.Mechanism != "" {
		pairs = append(pairs, [2]string{"mechanism", r.Mechanism})
	}
	if r.Problem != "" {
		pairs = append(pairs, [2]string{"problem", r.Problem})
	}

	var w message.HeaderWriter
	w.Field("Received-SPF")
	w.Add(string(r.Status))
	w.AddText("(" + quoteComment(r.comment(client)) + ")")
	words := make([]string, len(pairs))
	for i, p := range pairs {
		words[i] = p[0] + "=" + quoteValue(p[1])
	}
	w.AddSep(";", words...)
	return w.String()
}

// comment says in words what the result means.
func (r Result) comment(client string) string {
	domain := r.Domain.ASCII
	if domain == "" {
		domain = "no domain"
	}
	switch r.Status {
	case StatusPass:
		return domain + " permits " + client
	case StatusFail:
		return domain + " does not permit " + client
	case StatusSoftfail:
		return domain + " discourages use of " + client
	case StatusNeutral:
		return domain + " says nothing about " + client
	case StatusNone:
		return domain + " has no policy"
	}
	return domain + " could not be evaluated for " + client
}

// quoteComment returns text for a comment, RFC 5322 §3.2.2.
func quoteComment(s string) string {
	s = toASCII(s)
	if len(s) > maxValue {
		s = s[:maxValue]
	}
	return strings.NewReplacer(`\`, `\\`, `(`, `\(`, `)`, `\)`).Replace(s)
}

// quoteValue returns a dot-atom, or a quoted-string, RFC 7208 §9.1.
func quoteValue(s string) string {
	if len(s) > maxValue {
		s = s[:maxValue]
	}
	if isDotAtom(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for len(s) > 0 {
		c, n := utf8.DecodeRuneInString(s)
		switch {
		case c == utf8.RuneError && n == 1, c < ' ', c >= 0x7f && c < 0xa0:
			b.WriteByte('?')
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		default:
			b.WriteRune(c)
		}
		s = s[n:]
	}
	b.WriteByte('"')
	return b.String()
}

// isDotAtom reports whether s matches dot-atom-text, RFC 5322 §3.2.3.
func isDotAtom(s string) bool {
	for atom := range strings.SplitSeq(s, ".") {
		if !lex.AText.All(atom) {
			return false
		}
	}
	return true
}
