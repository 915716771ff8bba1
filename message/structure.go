package message

import "strconv"

// AppendBodyStructure appends the BODYSTRUCTURE of RFC 9051 §7.5.2 for a part, with
// the extension data.
func AppendBodyStructure(b []byte, p *Part) []byte { return appendBody(b, p, true) }

// AppendBody appends the BODY of RFC 9051 §7.5.2 for a part: BODYSTRUCTURE without
// extension data.
func AppendBody(b []byte, p *Part) []byte { return appendBody(b, p, false) }

// appendBody recurses no deeper than the limit on depth.
func appendBody(b []byte, p *Part, extended bool) []byte {
	b = append(b, '(')
	if len(p.Parts) > 0 {
		for _, sub := range p.Parts {
			b = appendBody(b, sub, extended)
		}
		b = append(b, ' ')
		b = appendString(b, p.Subtype)
		if extended {
			b = append(b, ' ')
			b = appendParams(b, p.Params)
			b = appendExtension(b, p)
		}
		return append(b, ')')
	}
	b = appendFields(b, p)
	switch {
	case p.Message != nil:
		b = append(b, ' ')
		if len(p.Message.Envelope) > 0 {
			b = append(b, p.Message.Envelope...)
		} else {
			b = append(b, emptyEnvelope...)
		}
		b = append(b, ' ')
		b = appendBody(b, p.Message, extended)
		b = append(b, ' ')
		b = strconv.AppendInt(b, p.Lines, 10)
	case p.Type == "TEXT":
		b = append(b, ' ')
		b = strconv.AppendInt(b, p.Lines, 10)
	}
	if extended {
		b = append(b, ' ')
		b = appendNString(b, p.MD5)
		b = appendExtension(b, p)
	}
	return append(b, ')')
}

// appendFields appends media type and body-fields. A multipart or message that is a
// leaf is sent as application/octet-stream: the grammar has no other form for it, and
// a client may then fetch it whole and decoded.
func appendFields(b []byte, p *Part) []byte {
	typ, sub := p.Type, p.Subtype
	if typ == "MULTIPART" || p.Message == nil && typ == "MESSAGE" && (sub == "RFC822" || sub == "GLOBAL") {
		typ, sub = "APPLICATION", "OCTET-STREAM"
	}
	b = appendString(b, typ)
	b = append(b, ' ')
	b = appendString(b, sub)
	b = append(b, ' ')
	if typ == "TEXT" && p.Flags&PartTypeGiven == 0 && len(p.Params) == 0 {
		// The default of RFC 2045 §5.2.
		b = append(b, `("CHARSET" "US-ASCII")`...)
	} else {
		b = appendParams(b, p.Params)
	}
	b = append(b, ' ')
	b = appendNString(b, p.ID)
	b = append(b, ' ')
	b = appendNString(b, p.Description)
	b = append(b, ' ')
	b = appendString(b, p.Encoding)
	b = append(b, ' ')
	return strconv.AppendInt(b, p.Size(), 10)
}

// appendParams appends body-fld-param. An extended parameter is sent in UTF-8 under
// its name with "*", as RFC 9051 §7.5.2 has it.
func appendParams(b []byte, params []Param) []byte {
	if len(params) == 0 {
		return append(b, "NIL"...)
	}
	for i, v := range params {
		if i == 0 {
			b = append(b, '(')
		} else {
			b = append(b, ' ')
		}
		name := v.Name
		if v.Extended {
			name += "*"
		}
		b = appendString(b, name)
		b = append(b, ' ')
		b = appendString(b, v.Value)
	}
	return append(b, ')')
}

// appendExtension appends body-fld-dsp, body-fld-lang and body-fld-loc, each with a
// space before it.
func appendExtension(b []byte, p *Part) []byte {
	b = append(b, ' ')
	if p.Disposition == "" {
		b = append(b, "NIL"...)
	} else {
		b = append(b, '(')
		b = appendString(b, p.Disposition)
		b = append(b, ' ')
		b = appendParams(b, p.DispositionParams)
		b = append(b, ')')
	}
	b = append(b, ' ')
	switch len(p.Language) {
	case 0:
		b = append(b, "NIL"...)
	case 1:
		b = appendString(b, p.Language[0])
	default:
		for i, s := range p.Language {
			if i == 0 {
				b = append(b, '(')
			} else {
				b = append(b, ' ')
			}
			b = appendString(b, s)
		}
		b = append(b, ')')
	}
	b = append(b, ' ')
	return appendNString(b, p.Location)
}
