package message

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// ErrDigest says that bytes are no valid Digest of this version.
var ErrDigest = errors.New("invalid message digest")

// Digest is a compact, versioned form of what IMAP, search and threading ask of a
// message, to be stored beside it. Accessors do not allocate unless they say so; the
// slices they return point into the Digest and must not be changed. On bytes that are
// no Digest they return zero values.
//
// It begins with
//
//	0   version, 1
//	1   flags, below
//	2   number of Received fields, at most 65535, uint16
//	4   day of the Date field, days since 1970-01-01, int32
//	8   instant of the Date field, seconds since 1970-01-01, int64
//	16  size of the message, uint64
//	24  size of the header, uint64
//	32  end of each section, counted from the first, uint32 each
//
// all little-endian, and the sections follow in order.
type Digest []byte

const digestVersion = 1

type digestFlags uint8

const (
	flagSent digestFlags = 1 << iota
	flagReply
	flagDSN
	flagAttachments
	flagUTF8
	flag8Bit
	flagHeaderCut
	flagSearchCut
)

type digestSection int

const (
	sectionEnvelope digestSection = iota
	sectionBodyStructure
	sectionFields
	sectionOmitted // Hashes of the names of fields not in sectionFields, uint16 each.
	sectionSubject
	sectionFrom
	sectionTo
	sectionCc
	sectionBcc
	sectionTree
	sectionMessageID
	sectionReferences // With a line feed after each.
	sectionBaseSubject
	sectionPreview
	sectionCount
)

const (
	digestTrace = 2
	digestDate  = 4
	digestSizes = 16
	digestTable = 32
	digestData  = digestTable + 4*int(sectionCount)
)

// NewDigest reads a message of size bytes once, and the text for its preview, and
// makes its Digest. It fails only when reading fails.
func NewDigest(r io.ReaderAt, size int64, limits Limits) (Digest, error) {
	p := newParser(r, size, limits)
	if err := p.run(); err != nil {
		return nil, err
	}
	preview, err := Preview(r, p.root)
	if err != nil {
		return nil, fmt.Errorf("read text for preview: %w", err)
	}
	return buildDigest(p, preview), nil
}

// section returns the bytes of a section, nil if the digest is not long enough.
func (d Digest) section(s digestSection) []byte {
	if len(d) < digestData || d[0] != digestVersion {
		return nil
	}
	start, end := uint32(0), binary.LittleEndian.Uint32(d[digestTable+4*int(s):])
	if s > 0 {
		start = binary.LittleEndian.Uint32(d[digestTable+4*int(s-1):])
	}
	data := d[digestData:]
	if start > end || uint64(end) > uint64(len(data)) {
		return nil
	}
	return data[start:end:end]
}

func (d Digest) flag(f digestFlags) bool {
	return len(d) >= digestData && d[0] == digestVersion && digestFlags(d[1])&f != 0
}

// number reads an int64 of the head, 0 if the digest is not long enough.
func (d Digest) number(off int) int64 {
	if len(d) < digestData || d[0] != digestVersion {
		return 0
	}
	return int64(binary.LittleEndian.Uint64(d[off:]))
}

// Valid checks the whole digest: version, bounds, the part tree, and that what is
// sent to clients as it is has proper IMAP syntax. It returns nil or an error that is
// ErrDigest.
func (d Digest) Valid() error {
	if len(d) < digestData || d[0] != digestVersion {
		return fmt.Errorf("%w: not version %d", ErrDigest, digestVersion)
	}
	last := uint32(0)
	for s := range sectionCount {
		end := binary.LittleEndian.Uint32(d[digestTable+4*int(s):])
		if end < last || uint64(end) > uint64(len(d)-digestData) {
			return fmt.Errorf("%w: bounds of section %d", ErrDigest, s)
		}
		last = end
	}
	if int(last) != len(d)-digestData {
		return fmt.Errorf("%w: bytes after the end", ErrDigest)
	}
	if n := d.HeaderSize(); n < 0 || d.Size() < n {
		return fmt.Errorf("%w: size of header", ErrDigest)
	}
	if !isWireList(d.Envelope()) || !isWireList(d.BodyStructure()) {
		return fmt.Errorf("%w: envelope or body structure", ErrDigest)
	}
	refs := d.section(sectionReferences)
	if len(refs) > 0 && refs[len(refs)-1] != '\n' || len(d.section(sectionOmitted))%2 != 0 {
		return fmt.Errorf("%w: lists", ErrDigest)
	}
	root, err := d.Tree()
	if err != nil {
		return err
	}
	for p := range root.Walk() {
		if p != root && len(p.Envelope) > 0 && !isWireList(p.Envelope) {
			return fmt.Errorf("%w: nested envelope", ErrDigest)
		}
	}
	return nil
}

// Envelope returns the ENVELOPE of RFC 9051 §7.5.2, ready to send.
func (d Digest) Envelope() []byte { return d.section(sectionEnvelope) }

// BodyStructure returns the BODYSTRUCTURE of RFC 9051 §7.5.2, ready to send.
func (d Digest) BodyStructure() []byte { return d.section(sectionBodyStructure) }

// Body returns the BODY of RFC 9051 §7.5.2, which has no extension data, ready to
// send. It is made from the tree and allocates.
func (d Digest) Body() []byte {
	root, err := d.Tree()
	if err != nil {
		return nil
	}
	return AppendBody(make([]byte, 0, len(d.BodyStructure())), root)
}

// Fields returns the raw lines of the usual header fields in original order, and the
// blank line that ends the header if there is one.
func (d Digest) Fields() []byte { return d.section(sectionFields) }

// HasField says whether Fields has all that the message has of a field, also when the
// message does not have it at all. False means that the message must be read.
func (d Digest) HasField(name []byte) bool {
	if len(d) < digestData || d[0] != digestVersion || d.flag(flagHeaderCut) {
		return false
	}
	want := nameHash(name)
	for l := d.section(sectionOmitted); len(l) >= 2; l = l[2:] {
		if binary.LittleEndian.Uint16(l) == want {
			return false
		}
	}
	return true
}

// FilterFields is the function FilterFields on Fields. For the fields of the names
// given, it is right if HasField is true for each; for all others (not) it never is.
func (d Digest) FilterFields(dst []byte, names [][]byte, not bool) []byte {
	return FilterFields(dst, d.Fields(), names, not)
}

// SearchSubject returns the decoded and folded (see Fold) Subject.
func (d Digest) SearchSubject() []byte { return d.section(sectionSubject) }

// SearchFrom returns the decoded and folded addresses of From, each with a line feed
// after it: "name <address>", "<address>", or "name:" for a group. SplitAddress takes
// the first apart.
func (d Digest) SearchFrom() []byte { return d.section(sectionFrom) }

// SearchTo is SearchFrom for To.
func (d Digest) SearchTo() []byte { return d.section(sectionTo) }

// SearchCc is SearchFrom for Cc.
func (d Digest) SearchCc() []byte { return d.section(sectionCc) }

// SearchBcc is SearchFrom for Bcc.
func (d Digest) SearchBcc() []byte { return d.section(sectionBcc) }

// SearchCut says that one of the search texts is not complete, because of a limit:
// what is not found in it may be in the message.
func (d Digest) SearchCut() bool { return d.flag(flagSearchCut) || d.flag(flagHeaderCut) }

// SplitAddress takes the first line of a search text of addresses apart: the display
// name, maybe empty, and the address without brackets. For a group, the name is that
// of the group and the address is empty. These are the keys of SORT for addresses
// (RFC 5256 §3, RFC 5957 §3).
func SplitAddress(text []byte) (name, addr []byte) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if group, ok := bytes.CutSuffix(line, []byte(":")); ok {
		return group, nil
	}
	n := bytes.LastIndexByte(line, '<')
	if n < 0 {
		return line, nil
	}
	return bytes.TrimRight(line[:n], " "), bytes.TrimSuffix(line[n+1:], []byte(">"))
}

// Tree returns the part tree. It allocates. The envelopes in it point into the
// Digest. The error is ErrDigest.
func (d Digest) Tree() (*Part, error) {
	size := d.Size()
	if size < 0 || size > 1<<61 {
		return nil, fmt.Errorf("%w: size", ErrDigest)
	}
	root, err := readTree(d.section(sectionTree), size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDigest, err)
	}
	root.Envelope = d.Envelope()
	return root, nil
}

// SentDay returns the date in the Date field as it is written there, without regard
// to time and zone, as days since 1970-01-01, for SENTON and the like (RFC 9051
// §6.4.4). It is false if there is no valid Date.
func (d Digest) SentDay() (day int, ok bool) {
	if !d.flag(flagSent) {
		return 0, false
	}
	return int(int32(binary.LittleEndian.Uint32(d[4:]))), true
}

// SentTime returns the instant in the Date field, in UTC, for sorting (RFC 5256 §2.2).
// It is false if there is no valid Date.
func (d Digest) SentTime() (t time.Time, ok bool) {
	if !d.flag(flagSent) {
		return time.Time{}, false
	}
	return time.Unix(d.number(8), 0).UTC(), true
}

// MessageID returns the canonical message identifier (see CanonicalMessageID), empty
// if there is none.
func (d Digest) MessageID() []byte { return d.section(sectionMessageID) }

// References iterates over the message identifiers of ParseReferences, from the root
// of the thread on.
func (d Digest) References() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { d.references(yield) }
}

func (d Digest) references(yield func([]byte) bool) {
	for l := d.section(sectionReferences); len(l) > 0; {
		id, rest, _ := bytes.Cut(l, []byte("\n"))
		if !yield(id) {
			return
		}
		l = rest
	}
}

// BaseSubject returns the base subject (see BaseSubject).
func (d Digest) BaseSubject() []byte { return d.section(sectionBaseSubject) }

// Preview returns the text of Preview.
func (d Digest) Preview() []byte { return d.section(sectionPreview) }

// Size returns the size of the message in bytes.
func (d Digest) Size() int64 { return d.number(digestSizes) }

// HeaderSize returns the size of the header in bytes, with its blank line.
func (d Digest) HeaderSize() int64 { return d.number(24) }

// Received returns the number of Received fields in the header, as far as it was
// read: those of the last servers come first. It is at most 65535.
func (d Digest) Received() int {
	if len(d) < digestData || d[0] != digestVersion {
		return 0
	}
	return int(binary.LittleEndian.Uint16(d[digestTrace:]))
}

// IsReply says whether the subject is that of a reply or forward.
func (d Digest) IsReply() bool { return d.flag(flagReply) }

// IsDSN says whether the message is a delivery status notification (RFC 3464 §2).
func (d Digest) IsDSN() bool { return d.flag(flagDSN) }

// HasAttachments says whether a part of the message is an attachment (see
// Part.IsAttachment).
func (d Digest) HasAttachments() bool { return d.flag(flagAttachments) }

// NeedsSMTPUTF8 says whether a header of the message or of a part has bytes beyond
// ASCII, so that it can only be sent with SMTPUTF8 (RFC 6531).
func (d Digest) NeedsSMTPUTF8() bool { return d.flag(flagUTF8) }

// Needs8BitMIME says whether the message has bytes beyond ASCII anywhere, so that it
// can only be sent with 8BITMIME (RFC 6152).
func (d Digest) Needs8BitMIME() bool { return d.flag(flag8Bit) }
