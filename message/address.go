package message

import "strings"

// Address is an entry of an address list: a mailbox, or the beginning or end of
// a group, in the form that RFC 9051 §7.5.2 gives them.
type Address struct {
	Name    string // Display name without quoting, maybe with encoded words; group name.
	Route   string // Source route of an obsolete route-addr, such as "@a,@b". Empty normally.
	Mailbox string // Local part without quoting.
	Host    string // Domain as written; empty if missing.
	Kind    AddressKind
}

// AddressKind tells mailboxes from the marks around a group.
type AddressKind uint8

const (
	KindMailbox    AddressKind = iota // A mailbox.
	KindGroupStart                    // Begins a group; only Name is set.
	KindGroupEnd                      // Ends a group; nothing is set.
)

// ParseAddressList reads the value of a field that holds addresses, RFC 5322
// §3.4 with the obsolete syntax of §4.4 and the UTF-8 of RFC 6532. It makes the
// best of what is malformed: a missing comma or bracket, a semicolon between
// addresses, an address without a domain, a name after the address. At most
// MaxAddresses entries are returned.
func ParseAddressList(value []byte) []Address {
	return appendAddresses(nil, value)
}

// DisplayName returns the name with encoded words decoded, as UTF-8.
func (a Address) DisplayName() string { return DecodeText(a.Name) }

// AddrSpec returns the address as mailbox@host, the local part quoted if it needs
// to be; empty for marks of a group and for an address without a local part.
func (a Address) AddrSpec() string {
	if a.Kind != KindMailbox || a.Mailbox == "" {
		return ""
	}
	s := a.Mailbox
	if !isDotAtom(s) {
		s = quote(s)
	}
	if a.Host != "" {
		s += "@" + a.Host
	}
	return s
}

// isDotAtom says whether s is a dot-atom-text, RFC 5322 §3.2.3.
func isDotAtom(s string) bool {
	dot := true
	for i := range len(s) {
		if s[i] == '.' {
			if dot {
				return false
			}
			dot = true
			continue
		}
		if !atext.Has(s[i]) {
			return false
		}
		dot = false
	}
	return !dot
}

// quote makes s a quoted-string.
func quote(s string) string {
	b := make([]byte, 0, len(s)+2)
	b = append(b, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return string(append(b, '"'))
}

// maxPiece is the number of tokens after which a separator is taken to be missing.
const maxPiece = 512

// addressParser reads a list in pieces, each ended by a separator, and takes each
// piece for what it looks most like.
type addressParser struct {
	toks  tokens
	piece []token
	list  []Address
	group bool
}

func appendAddresses(l []Address, value []byte) []Address {
	p := addressParser{toks: tokens{s: string(appendUnfolded(nil, value))}, list: l}
	for len(p.list) < MaxAddresses {
		sep := p.next()
		switch sep.kind {
		case tokenEnd:
			p.mailboxes(p.piece)
			if p.group {
				p.list = append(p.list, Address{Kind: KindGroupEnd})
			}
			return p.list
		case tokenSpecial:
			p.separated(sep)
		}
	}
	return p.closed(l)
}

// closed ends the group that the limit cut off. The list given, from fields
// before, stays as it is.
func (p *addressParser) closed(before []Address) []Address {
	p.list = p.list[:max(len(before), MaxAddresses)]
	if p.group && len(p.list) > len(before) {
		p.list[len(p.list)-1] = Address{Kind: KindGroupEnd}
	}
	return p.list
}

// separated handles the piece before a comma, colon or semicolon.
func (p *addressParser) separated(sep token) {
	switch sep.text[0] {
	case ':':
		p.list = append(p.list, Address{Kind: KindGroupStart, Name: phrase(p.piece)})
		p.group = true
	case ',':
		p.mailboxes(p.piece)
	case ';':
		p.mailboxes(p.piece)
		if p.group {
			p.list = append(p.list, Address{Kind: KindGroupEnd})
			p.group = false
		}
	}
}

// next collects tokens up to a separator, which it returns.
func (p *addressParser) next() token {
	p.piece = p.piece[:0]
	p.toks.comment = ""
	angle, at := false, false
	for {
		if len(p.piece) == maxPiece {
			return token{kind: tokenSpecial, text: ","}
		}
		t := p.toks.next()
		if t.kind == tokenEnd {
			return t
		}
		if t.kind == tokenSpecial {
			switch t.text[0] {
			case '<':
				angle = true
			case '>':
				angle = false
			case '@':
				at = true
			case ';':
				return t
			case ',':
				// A comma inside brackets is one of a source route, or the closing
				// bracket is missing.
				if !angle || !p.beforeAt() {
					return t
				}
			case ':':
				if !angle && !at && !p.group {
					return t
				}
			}
		}
		p.piece = append(p.piece, t)
	}
}

func (p *addressParser) beforeAt() bool {
	rest := strings.TrimLeft(p.toks.s[p.toks.pos:min(p.toks.pos+8, len(p.toks.s))], " \t,")
	return rest != "" && rest[0] == '@'
}

// mailboxes adds the addresses in a piece: one, or more if a comma is missing.
func (p *addressParser) mailboxes(piece []token) {
	for len(piece) > 0 && len(p.list) < MaxAddresses {
		if i := indexSpecial(piece, '<'); i >= 0 {
			piece = p.angle(piece, i)
		} else if i := indexSpecial(piece, '@'); i >= 0 {
			piece = p.bare(piece, i)
		} else {
			// No address at all, but something to show.
			if s := phrase(piece); s != "" {
				p.add(Address{Mailbox: s})
			}
			return
		}
	}
}

func (p *addressParser) add(a Address) {
	if a.Name == "" {
		a.Name = strings.TrimSpace(p.toks.comment)
	}
	if a.Name != "" || a.Mailbox != "" || a.Host != "" {
		p.list = append(p.list, a)
	}
}

// angle reads a name-addr whose "<" is at i. It returns what follows.
func (p *addressParser) angle(piece []token, i int) []token {
	a := Address{Name: phrase(piece[:i])}
	rest := piece[i+1:]
	addr := rest
	if n := indexSpecial(rest, '>'); n >= 0 {
		addr, rest = rest[:n], rest[n+1:]
	} else {
		rest = nil
	}
	for len(addr) > 0 && addr[0].isSpecial('<') {
		addr = addr[1:]
	}
	if len(addr) > 0 && addr[0].isSpecial('@') {
		if n := indexSpecial(addr, ':'); n > 0 {
			a.Route, addr = join(addr[:n]), addr[n+1:]
		}
	}
	a.Mailbox, a.Host = splitAddr(addr)
	for len(rest) > 0 && rest[0].isSpecial('>') {
		rest = rest[1:]
	}
	p.add(a)
	if indexSpecial(rest, '<') < 0 && indexSpecial(rest, '@') < 0 {
		return nil
	}
	return rest
}

// bare reads an addr-spec without brackets whose "@" is at i. Words before and
// after that are not connected with it are its name, or the next address.
func (p *addressParser) bare(piece []token, i int) []token {
	start := max(i-1, 0)
	for start > 0 && connected(piece[start-1], piece[start]) {
		start--
	}
	end := min(i+2, len(piece))
	for end < len(piece) && connected(piece[end-1], piece[end]) {
		end++
	}
	a := Address{Name: phrase(piece[:start])}
	a.Mailbox, a.Host = splitAddr(piece[start:end])
	rest := piece[end:]
	if indexSpecial(rest, '@') < 0 {
		if a.Name == "" {
			a.Name = phrase(rest)
		}
		rest = nil
	}
	p.add(a)
	return rest
}

// connected says whether two tokens are parts of one local part or domain: there
// is nothing between them, or a dot, maybe with white space (RFC 5322 §4.4).
func connected(a, b token) bool {
	return !b.space || a.text != "" && a.text[len(a.text)-1] == '.' && a.kind == tokenAtom ||
		b.kind == tokenAtom && b.text[0] == '.' || a.isSpecial('@') || b.isSpecial('@')
}

// splitAddr splits the tokens of an addr-spec at the last at sign.
func splitAddr(toks []token) (mailbox, host string) {
	for i := len(toks) - 1; i >= 0; i-- {
		if toks[i].isSpecial('@') {
			return join(toks[:i]), join(toks[i+1:])
		}
	}
	return phrase(toks), ""
}

func indexSpecial(toks []token, c byte) int {
	for i, t := range toks {
		if t.isSpecial(c) {
			return i
		}
	}
	return -1
}

// join returns the text of tokens with the spaces gone that obsolete syntax allows
// around dots and the at sign.
func join(toks []token) string {
	if len(toks) == 1 {
		return toks[0].text
	}
	var b []byte
	for i, t := range toks {
		if i > 0 && !connected(toks[i-1], t) {
			b = append(b, ' ')
		}
		b = append(b, t.text...)
	}
	return string(b)
}

// phrase returns the text of tokens with a space where white space was.
func phrase(toks []token) string {
	if len(toks) == 1 {
		return toks[0].text
	}
	var b []byte
	for i, t := range toks {
		if i > 0 && t.space {
			b = append(b, ' ')
		}
		b = append(b, t.text...)
	}
	return string(b)
}

// String returns the address for a header field: encoded words for a name beyond
// ASCII, the name quoted if it needs to be. Marks of a group give "name:" and ";".
func (a Address) String() string { return a.format(false) }

// format returns the address for a header field, in UTF-8 if utf8 is set.
func (a Address) format(utf8 bool) string {
	name := formatPhrase(a.Name, utf8)
	switch a.Kind {
	case KindGroupStart:
		return name + ":"
	case KindGroupEnd:
		return ";"
	}
	if name == "" {
		if s := a.AddrSpec(); s != "" {
			return s
		}
	} else {
		name += " "
	}
	return name + "<" + a.AddrSpec() + ">"
}

// formatPhrase writes a display name. Encoded words in it stay as they are.
func formatPhrase(s string, utf8 bool) string {
	s = cleanText(s)
	if !utf8 && !isASCII(s) || hasLongWord(s) {
		return EncodeText(s)
	}
	for i := range len(s) {
		if c := s[i]; !atext.Has(c) && c != ' ' {
			return quote(s)
		}
	}
	return s
}
