package message

import (
	"errors"
	"io"
	"iter"
	"time"
)

// ErrDigest says that bytes are no valid Digest.
var ErrDigest = errors.New("invalid message digest")

// Digest is a compact, versioned form of what IMAP, search and threading ask of
// a message. Accessors do not allocate; the slices they return point into the
// Digest and must not be changed. On invalid bytes, accessors return zero values.
type Digest []byte

// NewDigest reads a message of size bytes once and makes its Digest. It fails
// only when reading fails.
func NewDigest(r io.ReaderAt, size int64, limits Limits) (Digest, error) {
	return nil, io.ErrUnexpectedEOF
}

// Valid checks the whole digest.
func (d Digest) Valid() error { return ErrDigest }

// Envelope returns the ENVELOPE of RFC 9051 §7.5.2, ready to send.
func (d Digest) Envelope() []byte { return nil }

// BodyStructure returns the BODYSTRUCTURE of RFC 9051 §7.5.2, ready to send.
func (d Digest) BodyStructure() []byte { return nil }

// Body returns the BODY of RFC 9051 §7.5.2 (no extension data), ready to send.
// It is made from the tree and allocates.
func (d Digest) Body() []byte { return nil }

// Fields returns the raw usual header fields in original order, and the blank
// line that ends the header if there is one.
func (d Digest) Fields() []byte { return nil }

// HasField says whether Fields has all fields of a name that the message has,
// also when that is none.
func (d Digest) HasField(name []byte) bool { return false }

// FilterFields is the function FilterFields on Fields.
func (d Digest) FilterFields(dst []byte, names [][]byte, not bool) []byte {
	return FilterFields(dst, d.Fields(), names, not)
}

// SearchSubject returns the decoded and folded (see Fold) subject.
func (d Digest) SearchSubject() []byte { return nil }

// SearchFrom returns the decoded and folded addresses of From, a line each, as
// "name <address>".
func (d Digest) SearchFrom() []byte { return nil }

// SearchTo is SearchFrom for To.
func (d Digest) SearchTo() []byte { return nil }

// SearchCc is SearchFrom for Cc.
func (d Digest) SearchCc() []byte { return nil }

// SearchBcc is SearchFrom for Bcc.
func (d Digest) SearchBcc() []byte { return nil }

// Tree returns the part tree. It allocates.
func (d Digest) Tree() (*Part, error) { return nil, ErrDigest }

// SentDay returns the date in the Date field, without its time and zone, as days
// since 1970-01-01; false if there is no valid Date.
func (d Digest) SentDay() (day int, ok bool) { return 0, false }

// SentTime returns the instant in the Date field, in UTC; false if there is no
// valid Date.
func (d Digest) SentTime() (t time.Time, ok bool) { return time.Time{}, false }

// MessageID returns the canonical message identifier, empty if there is none.
func (d Digest) MessageID() []byte { return nil }

// References iterates over the canonical message identifiers of References, or
// else the first of In-Reply-To, from the root of the thread on.
func (d Digest) References() iter.Seq[[]byte] { return func(func([]byte) bool) {} }

// BaseSubject returns the base subject of RFC 5256 §2.1.
func (d Digest) BaseSubject() []byte { return nil }

// Preview returns text from the beginning of the message, at most MaxPreview
// characters; empty if there is none.
func (d Digest) Preview() []byte { return nil }

// HeaderSize returns the size of the header in bytes, with its blank line.
func (d Digest) HeaderSize() int64 { return 0 }

// Size returns the size of the message in bytes.
func (d Digest) Size() int64 { return 0 }

// IsReply says whether the subject is that of a reply or forward.
func (d Digest) IsReply() bool { return false }

// IsDSN says whether the message is a delivery status notification.
func (d Digest) IsDSN() bool { return false }

// HasAttachments says whether the message has attachments.
func (d Digest) HasAttachments() bool { return false }

// NeedsSMTPUTF8 says whether a header has bytes beyond ASCII, nested ones too.
func (d Digest) NeedsSMTPUTF8() bool { return false }

// Needs8BitMIME says whether the body has bytes beyond ASCII.
func (d Digest) Needs8BitMIME() bool { return false }
