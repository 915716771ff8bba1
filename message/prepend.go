package message

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
)

// Prepend returns the digest of a message with header fields in front of it, as
// NewDigest on whole would make it, from the digest d of the message alone. Whole
// holds prefix and message. It is for trace fields: where one of the fields says
// something about the message, or the message begins in a way that changes what is
// in front of it, whole is parsed. It fails only when reading fails.
func (d Digest) Prepend(prefix []byte, whole io.ReaderAt) (Digest, error) {
	size := int64(len(prefix)) + d.Size()
	h := ParseHeader(prefix, Limits{})
	plain, err := d.canPrepend(&h, len(prefix), whole)
	if err != nil {
		return nil, err
	}
	if plain {
		if n, ok := d.prepend(&h, hasNonASCII(prefix)); ok {
			return n, nil
		}
	}
	return NewDigest(whole, size, Limits{})
}

// canPrepend says whether the fields of h change no more than what prepend does.
func (d Digest) canPrepend(h *Header, n int, whole io.ReaderAt) (bool, error) {
	if len(d) < digestData || d.flag(flagHeaderCut) || h.Cut || len(h.Raw) != n || n == 0 || h.Raw[n-1] != '\n' || h.HasBlankLine() {
		return false, nil
	}
	end := 0
	for _, f := range h.Fields {
		if f.Start != end || isInterpreted(f.Name) {
			return false, nil
		}
		end = f.End
	}
	if end != n {
		return false, nil // Something that is no field.
	}
	if d.Size() == 0 {
		return true, nil
	}
	var first [1]byte
	if _, err := io.ReadFull(io.NewSectionReader(whole, int64(n), 1), first[:]); err != nil {
		return false, fmt.Errorf("read message: %w", err)
	}
	return !isWSP(first[0]), nil // Otherwise the first line continues the last field.
}

// isInterpreted says whether a field is one that anything but the sections of
// fields is made from.
func isInterpreted(name []byte) bool {
	if hasPrefixFold(name, "content-") {
		return true
	}
	for _, s := range []string{
		"date", "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "message-id", "in-reply-to", "references", "mime-version",
	} {
		if equalFold(name, s) {
			return true
		}
	}
	return false
}

// prepend makes the new digest. It is false if there is no room for all fields.
func (d Digest) prepend(h *Header, nonASCII bool) (Digest, bool) {
	root, err := d.Tree()
	if err != nil {
		return nil, false
	}
	n := int64(len(h.Raw))
	for p := range root.Walk() {
		p.BodyStart += n
		p.BodyEnd += n
		if p != root {
			p.HeaderStart += n
		}
	}
	b := &digestBuilder{b: make([]byte, digestData, len(d)+len(h.Raw)+64), flags: digestFlags(d[1])}
	if nonASCII {
		root.Flags |= PartNonASCII
		b.flags |= flagUTF8 | flag8Bit
	}
	for b.section < sectionCount {
		switch b.section {
		case sectionFields:
			if !b.prependFields(h, d) {
				return nil, false
			}
			continue
		case sectionTree:
			b.b = appendTree(b.b, root)
		default:
			b.b = append(b.b, d.section(b.section)...)
		}
		b.end()
	}
	b.head(root)
	b.trace(h, d.Received())
	copy(b.b[digestDate:digestSizes], d[digestDate:])
	return b.b, true
}

// prependFields writes the usual fields of h and d, and the names of the others.
func (b *digestBuilder) prependFields(h *Header, d Digest) bool {
	start := len(b.b)
	var omitted []uint16
	for _, f := range h.Fields {
		if isUsual(f.Name) {
			b.b = append(b.b, h.Raw[f.Start:f.End]...)
		} else if n := nameHash(f.Name); !slices.Contains(omitted, n) {
			omitted = append(omitted, n)
		}
	}
	b.b = append(b.b, d.Fields()...)
	if len(b.b)-start > MaxDigestFields {
		return false
	}
	b.end()
	for l := d.section(sectionOmitted); len(l) >= 2; l = l[2:] {
		if n := binary.LittleEndian.Uint16(l); !slices.Contains(omitted, n) {
			omitted = append(omitted, n)
		}
	}
	for _, n := range omitted {
		b.b = binary.LittleEndian.AppendUint16(b.b, n)
	}
	b.end()
	return len(omitted) <= maxOmitted
}
