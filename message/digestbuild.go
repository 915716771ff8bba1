package message

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	// maxBaseSubject is the length of a kept base subject: it becomes an index key.
	maxBaseSubject = 1000
	// maxOmitted is the number of names of omitted fields that are remembered; with
	// more, nothing is said about absent fields.
	maxOmitted = 512
)

// isUsual says whether a header field is one that clients ask for in lists of
// messages or that filters look at.
func isUsual(name []byte) bool {
	var buf [32]byte
	switch name := string(appendLower(buf[:0], name)); name {
	case "date", "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "message-id", "in-reply-to",
		"references", "mime-version", "precedence", "auto-submitted", "importance", "x-priority", "priority",
		"disposition-notification-to", "return-path", "delivered-to", "x-original-to", "x-mailer", "user-agent",
		"newsgroups", "mail-followup-to", "mail-reply-to", "organization", "chat-version":
		return true
	}
	return hasPrefixFold(name, "content-") || hasPrefixFold(name, "list-")
}

// nameHash is a hash of a field name in lower case.
func nameHash(name []byte) uint16 {
	const offset, prime = 2166136261, 16777619
	h := uint32(offset)
	for _, c := range name {
		h = (h ^ uint32(lower(c))) * prime
	}
	return uint16(h>>16) ^ uint16(h)
}

// digestBuilder writes sections one after another.
type digestBuilder struct {
	b       []byte
	section digestSection
	flags   digestFlags
	dst     [sectionCount]uint32
}

func (b *digestBuilder) end() {
	b.dst[b.section] = uint32(len(b.b) - digestData)
	b.section++
}

// set sets a flag if cond.
func (b *digestBuilder) set(f digestFlags, cond bool) {
	if cond {
		b.flags |= f
	}
}

// buildDigest makes the digest of a parsed message.
func buildDigest(p *parser, preview string) Digest {
	h, root := &p.header, p.root
	b := &digestBuilder{b: make([]byte, digestData, digestData+2*len(root.Envelope)+len(h.Raw)+1024)}
	b.b = append(b.b, root.Envelope...)
	b.end()
	b.b = AppendBodyStructure(b.b, root)
	b.end()
	b.fields(h)
	subject := h.Text("Subject")
	b.search([]byte(subject))
	for _, name := range []string{"From", "To", "Cc", "Bcc"} {
		b.searchAddresses(h.Addresses(name))
	}
	b.b = appendTree(b.b, root)
	b.end()
	b.b = append(b.b, CanonicalMessageID(h.Value("Message-ID"))...)
	b.end()
	for _, id := range ParseReferences(h.Value("References"), h.Value("In-Reply-To")) {
		b.b = append(append(b.b, strings.ReplaceAll(id, "\n", "")...), '\n')
	}
	b.end()
	base, reply := BaseSubject(subject)
	b.set(flagReply, reply)
	b.b = append(b.b, clip(base, maxBaseSubject)...)
	b.end()
	b.b = append(b.b, preview...)
	b.end()
	b.set(flagDSN, isDSN(root))
	b.set(flagAttachments, hasAttachment(root))
	b.set(flag8Bit, p.nonASCII)
	b.set(flagHeaderCut, h.Cut)
	for part := range root.Walk() {
		b.set(flagUTF8, part.Flags&PartNonASCII != 0)
	}
	b.date(h)
	b.trace(h, 0)
	b.head(root)
	return b.b
}

// date fills in the date.
func (b *digestBuilder) date(h *Header) {
	if t, ok := ParseDate(h.Value("Date")); ok {
		b.flags |= flagSent
		date := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
		day := int32(date.Unix() / (24 * 60 * 60))
		binary.LittleEndian.PutUint32(b.b[4:], uint32(day))
		binary.LittleEndian.PutUint64(b.b[8:], uint64(t.Unix()))
	}
}

// trace fills in the number of Received fields, of which so many are not in h.
func (b *digestBuilder) trace(h *Header, n int) {
	for range h.All("Received") {
		n++
	}
	binary.LittleEndian.PutUint16(b.b[digestTrace:], uint16(min(n, math.MaxUint16)))
}

// head fills in what is before the sections, but for the date and trace.
func (b *digestBuilder) head(root *Part) {
	b.b[0] = digestVersion
	b.b[1] = byte(b.flags)
	binary.LittleEndian.PutUint64(b.b[digestSizes:], uint64(root.BodyEnd))
	binary.LittleEndian.PutUint64(b.b[24:], uint64(root.BodyStart))
	for i, end := range b.dst {
		binary.LittleEndian.PutUint32(b.b[digestTable+4*i:], end)
	}
}

// fields writes the usual fields and the names of the others. Where there is not
// room for all, smaller ones go first.
func (b *digestBuilder) fields(h *Header) {
	keep := make([]bool, len(h.Fields))
	var usual []int
	for i, f := range h.Fields {
		if isUsual(f.Name) {
			usual = append(usual, i)
		}
	}
	slices.SortStableFunc(usual, func(i, j int) int {
		return cmp.Compare(h.Fields[i].End-h.Fields[i].Start, h.Fields[j].End-h.Fields[j].Start)
	})
	room := MaxDigestFields
	for _, i := range usual {
		if room -= h.Fields[i].End - h.Fields[i].Start; room < 0 {
			break
		}
		keep[i] = true
	}
	var omitted []uint16
	for i, f := range h.Fields {
		if keep[i] {
			b.b = append(b.b, h.Raw[f.Start:f.End]...)
		} else if n := nameHash(f.Name); !slices.Contains(omitted, n) {
			if len(omitted) == maxOmitted {
				b.flags |= flagHeaderCut
				break
			}
			omitted = append(omitted, n)
		}
	}
	if h.HasBlankLine() {
		b.b = append(b.b, h.Raw[len(h.Raw)-lastLineEnd(h.Raw):]...)
	}
	b.end()
	for _, n := range omitted {
		b.b = binary.LittleEndian.AppendUint16(b.b, n)
	}
	b.end()
}

func appendLower(dst, src []byte) []byte {
	for _, c := range src {
		dst = append(dst, lower(c))
	}
	return dst
}

// lastLineEnd returns the length of the line end at the end of b, 1 or 2.
func lastLineEnd(b []byte) int {
	if n := len(b); n >= 2 && b[n-2] == '\r' {
		return 2
	}
	return 1
}

// search writes a search text.
func (b *digestBuilder) search(text []byte) {
	start := len(b.b)
	b.b = AppendFold(b.b, clip(text, MaxSearchText))
	if len(text) > MaxSearchText || len(b.b)-start > MaxSearchText {
		b.b = b.b[:start+len(clip(b.b[start:], MaxSearchText))]
		b.flags |= flagSearchCut
	}
	b.end()
}

// searchAddresses writes the search text of addresses.
func (b *digestBuilder) searchAddresses(l []Address) {
	var text []byte
	for _, a := range l {
		if len(text) > MaxSearchText {
			break
		}
		name := strings.ReplaceAll(a.DisplayName(), "\n", " ")
		switch a.Kind {
		case KindGroupStart:
			text = append(append(text, name...), ":\n"...)
		case KindMailbox:
			text = append(text, name...)
			if name != "" {
				text = append(text, ' ')
			}
			text = append(text, '<')
			text = append(text, DecodeText(a.AddrSpec())...)
			text = append(text, ">\n"...)
		}
	}
	b.set(flagSearchCut, len(l) >= MaxAddresses)
	b.search(text)
}

// isDSN says whether a message is a delivery status notification, RFC 3464 §2.
func isDSN(root *Part) bool {
	if !root.Is("multipart/report") || len(root.Parts) < 2 {
		return false
	}
	return root.Parts[1].Is("message/delivery-status") || root.Parts[1].Is("message/global-delivery-status")
}

// hasAttachment looks for an attachment. The message that a report returns is none.
func hasAttachment(p *Part) bool {
	for _, sub := range p.Parts {
		if p.Subtype == "REPORT" && sub.Message != nil {
			continue
		}
		if hasAttachment(sub) {
			return true
		}
	}
	return p.IsAttachment()
}
