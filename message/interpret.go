package message

import (
	"strings"

	"mox/internal/lex"
)

// maxStructured is the number of bytes of a structured field that are looked at.
const maxStructured = 32 << 10

// maxToken is the length of a media type, subtype, encoding or disposition; RFC 6838
// §4.2 allows 127 for types.
const maxToken = 127

// maxLanguages is the number of tags kept of Content-Language.
const maxLanguages = 16

// interpret fills in what the header says about a part, and returns the boundary if
// it is a multipart that names one.
func (p *parser) interpret(part *Part, h *Header, message bool) (boundary string) {
	if h.Cut {
		part.Flags |= PartCut
	}
	if !h.HasBlankLine() {
		part.Flags |= PartNoBlankLine
	}
	if hasNonASCII(h.Raw) {
		part.Flags |= PartNonASCII
	}
	contentType, given := "", false
	for _, f := range h.Fields {
		if !hasPrefixFold(f.Name, "content-") {
			continue
		}
		value := string(appendUnfolded(nil, f.Value[:min(len(f.Value), maxStructured)]))
		switch strings.ToLower(string(f.Name[len("content-"):])) {
		case "type":
			if !given {
				contentType, given = value, true
			}
		case "transfer-encoding":
			setOnce(&part.Encoding, encodingName(value))
		case "disposition":
			if part.Disposition == "" {
				part.Disposition, part.DispositionParams = p.disposition(value)
			}
		case "id":
			setOnce(&part.ID, p.keep(value))
		case "description":
			setOnce(&part.Description, p.keep(value))
		case "md5":
			setOnce(&part.MD5, p.keep(value))
		case "location":
			setOnce(&part.Location, p.keep(location(value)))
		case "language":
			if part.Language == nil {
				part.Language = p.languages(value)
			}
		}
	}
	if part.Encoding == "" {
		part.Encoding = "7BIT"
	}
	boundary = p.contentType(part, contentType, given, p.inDigest() && !message)
	if message {
		part.Envelope = p.envelope(h)
	}
	return boundary
}

// inDigest says whether the innermost open part is a multipart/digest, in which
// parts are messages by default (RFC 2046 §5.1.5).
func (p *parser) inDigest() bool {
	if len(p.stack) == 0 {
		return false
	}
	part := p.stack[len(p.stack)-1].part
	return part.Type == "MULTIPART" && part.Subtype == "DIGEST"
}

func setOnce(dst *string, s string) {
	if *dst == "" {
		*dst = s
	}
}

// keep takes a string into the tree: cut to its limit, and empty when the budget for
// the whole message is spent.
func (p *parser) keep(s string) string {
	s = clip(s, MaxValue)
	if p.metadata -= len(s); p.metadata < 0 {
		p.metadata = 0
		return ""
	}
	return s
}

// keepParams is keep for parameters.
func (p *parser) keepParams(params []Param) []Param {
	kept := params[:0]
	for _, v := range params {
		const overhead = 8 // Quotes and spaces on the wire.
		if p.metadata < len(v.Name)+len(v.Value)+overhead {
			continue
		}
		p.metadata -= len(v.Name) + len(v.Value) + overhead
		kept = append(kept, v)
	}
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// envelope makes the ENVELOPE of a message. That of the root has a limit of its own,
// those of nested messages share the budget.
func (p *parser) envelope(h *Header) []byte {
	env := AppendEnvelope(nil, h)
	if len(p.stack) == 0 {
		return env
	}
	if len(env) > p.metadata {
		return []byte(emptyEnvelope)
	}
	p.metadata -= len(env)
	return env
}

// contentType sets type, subtype and parameters, and returns the boundary.
func (p *parser) contentType(part *Part, value string, given, digest bool) (boundary string) {
	part.Type, part.Subtype = "TEXT", "PLAIN"
	if !given {
		if digest {
			part.Type, part.Subtype = "MESSAGE", "RFC822"
		}
		return ""
	}
	value, params := ParseParams(value)
	typ, sub, ok := mediaType(value)
	if !ok {
		// RFC 2045 §5.2 recommends text/plain; base64 says that it is not.
		if part.Encoding == "BASE64" {
			part.Type, part.Subtype = "APPLICATION", "OCTET-STREAM"
		}
		part.Params = p.keepParams(params)
		return ""
	}
	part.Flags |= PartTypeGiven
	if typ == "MULTIPART" {
		if b, ok := param(params, "boundary"); ok {
			boundary = strings.TrimRight(b.Value, " \t")
		}
		if boundary == "" || len(boundary) > MaxBoundary {
			// Without its parts a multipart is what it looks like.
			part.Params = p.keepParams(params)
			return ""
		}
	}
	part.Type, part.Subtype = typ, sub
	part.Params = p.keepParams(params)
	return boundary
}

// mediaType splits type/subtype, RFC 2045 §5.1.
func mediaType(s string) (typ, sub string, ok bool) {
	typ, sub, found := strings.Cut(strings.Trim(s, "\"'"), "/")
	if !found {
		return "", "", false
	}
	if !lex.Token.All(typ) || !lex.Token.All(sub) || len(typ) > maxToken || len(sub) > maxToken {
		return "", "", false
	}
	return strings.ToUpper(typ), strings.ToUpper(sub), true
}

// disposition reads Content-Disposition, RFC 2183 §2.
func (p *parser) disposition(value string) (string, []Param) {
	value, params := ParseParams(value)
	if !lex.Token.All(value) || len(value) > maxToken {
		if len(params) == 0 {
			return "", nil
		}
		// RFC 2183 §2.8: what is not understood is an attachment.
		value = "attachment"
	}
	return strings.ToUpper(value), p.keepParams(params)
}

// encodingName reads Content-Transfer-Encoding.
func encodingName(value string) string {
	value, _ = ParseParams(value)
	value = strings.ToUpper(clip(strings.Trim(value, "\"'"), maxToken))
	switch value {
	case "7-BIT", "7BITS":
		return "7BIT"
	case "8-BIT", "8BITS":
		return "8BIT"
	case "QUOTED_PRINTABLE", "QUOTEDPRINTABLE":
		return "QUOTED-PRINTABLE"
	}
	return value
}

// location returns the URI of a Content-Location field: without the comments that may
// stand before and behind it (RFC 2557 §4.1), and without the spaces and quotes of one
// that was folded the way of RFC 2017 §3.1, which RFC 2557 §4.4.2 asks for.
func location(value string) string {
	t := tokens{s: value}
	t.skip()
	uri := value[t.pos:]
	for i := 1; i < len(uri); i++ {
		if uri[i] != '(' || !isSpace(uri[i-1]) {
			continue // Parentheses within a URI are a part of it.
		}
		t = tokens{s: uri, pos: i}
		if t.skip(); t.pos == len(uri) {
			uri = uri[:i]
		}
		break
	}
	uri = strings.Join(strings.Fields(uri), "")
	if len(uri) >= 2 && uri[0] == '"' && uri[len(uri)-1] == '"' {
		uri = uri[1 : len(uri)-1]
	}
	return uri
}

// languages reads Content-Language, RFC 3282 §2.
func (p *parser) languages(value string) []string {
	var l []string
	t := tokens{s: value}
	for len(l) < maxLanguages {
		switch tok := t.next(); tok.kind {
		case tokenEnd:
			return l
		case tokenAtom, tokenQuoted:
			if s := p.keep(clip(tok.text, maxToken)); s != "" {
				l = append(l, s)
			}
		}
	}
	return l
}
