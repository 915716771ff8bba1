package message

// Limits on the members of an ENVELOPE, which together make MaxEnvelope: four
// strings, three lists that are normally one address, three of recipients.
const (
	maxEnvelopeString = 4 << 10
	maxSenderList     = 16 << 10
	maxRecipientList  = 160 << 10
)

// emptyEnvelope is the ENVELOPE of an empty header.
const emptyEnvelope = "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)"

// AppendEnvelope appends the ENVELOPE of RFC 9051 §7.5.2 for a header. Strings are
// unfolded and otherwise as written, with their encoded words. Fields of addresses
// that come more than once count as one, of others the first counts. What would make
// the envelope larger than MaxEnvelope is left out.
func AppendEnvelope(b []byte, h *Header) []byte {
	from := h.Addresses("From")
	b = append(b, '(')
	b = appendEnvelopeString(b, h, "Date")
	b = append(b, ' ')
	b = appendEnvelopeString(b, h, "Subject")
	b = append(b, ' ')
	start := len(b)
	b = appendAddressList(b, from, maxSenderList)
	list := b[start:]
	for _, name := range []string{"Sender", "Reply-To"} {
		b = append(b, ' ')
		if l := h.Addresses(name); len(l) > 0 {
			b = appendAddressList(b, l, maxSenderList)
		} else {
			b = append(b, list...)
		}
	}
	for _, name := range []string{"To", "Cc", "Bcc"} {
		b = append(b, ' ')
		b = appendAddressList(b, h.Addresses(name), maxRecipientList)
	}
	b = append(b, ' ')
	b = appendEnvelopeString(b, h, "In-Reply-To")
	b = append(b, ' ')
	b = appendEnvelopeString(b, h, "Message-ID")
	return append(b, ')')
}

// appendEnvelopeString appends NIL if the field is absent, but an empty string if it
// is empty.
func appendEnvelopeString(b []byte, h *Header, name string) []byte {
	f, ok := h.Get(name)
	if !ok {
		return append(b, "NIL"...)
	}
	return appendString(b, clip(appendUnfolded(nil, f.Value), maxEnvelopeString))
}

// appendAddressList appends a list of addresses, or NIL. Addresses with which the
// list would become longer than limit are left out, but for the ends of groups.
func appendAddressList(b []byte, l []Address, limit int) []byte {
	start := len(b)
	b = append(b, '(')
	dropped := false // The beginning of the group.
	for _, a := range l {
		mark := len(b)
		if a.Kind == KindGroupEnd && dropped {
			dropped = false
			continue
		}
		b = appendAddress(b, a)
		if len(b)-start > limit && a.Kind != KindGroupEnd {
			b = b[:mark]
			dropped = dropped || a.Kind == KindGroupStart
		}
	}
	if len(b) == start+1 {
		return append(b[:start], "NIL"...)
	}
	return append(b, ')')
}

// appendAddress appends an address structure: name, source route, mailbox, host. A
// host that is NIL marks the beginning of a group, with its name for mailbox, or
// with NIL its end; what is missing in an address is thus an empty string.
func appendAddress(b []byte, a Address) []byte {
	b = append(b, '(')
	switch a.Kind {
	case KindGroupStart:
		b = append(b, "NIL NIL "...)
		b = appendString(b, clip(a.Name, maxEnvelopeString))
		b = append(b, " NIL"...)
	case KindGroupEnd:
		b = append(b, "NIL NIL NIL NIL"...)
	default:
		b = appendNString(b, clip(a.Name, maxEnvelopeString))
		b = append(b, ' ')
		b = appendNString(b, clip(a.Route, maxEnvelopeString))
		b = append(b, ' ')
		b = appendString(b, clip(a.Mailbox, maxEnvelopeString))
		b = append(b, ' ')
		b = appendString(b, clip(a.Host, maxEnvelopeString))
	}
	return append(b, ')')
}
