package message

import "io"

// Part is a node of the MIME tree of a message: the message itself, a part of a
// multipart, or a message inside a message. Offsets count from the first byte of
// the outermost message, also for parts of nested messages.
type Part struct {
	HeaderStart int64 // Offset of the first byte of the header.
	BodyStart   int64 // Offset after the blank line that ends the header.
	BodyEnd     int64 // Offset after the body, before the line end of a boundary line.
	Lines       int64 // Number of line ends in the body.
	// DecodedSize is the number of bytes of the body after the transfer encoding
	// was removed and, for text, bare LF made CRLF: what Decoder gives. It is -1
	// for an unknown encoding.
	DecodedSize int64

	Type    string  // Media type in upper case, TEXT by default.
	Subtype string  // Media subtype in upper case, PLAIN by default.
	Params  []Param // Of Content-Type.

	ID                string   // Content-ID as written, empty if absent.
	Description       string   // Content-Description as written, empty if absent.
	Encoding          string   // Content-Transfer-Encoding in upper case, 7BIT by default.
	Disposition       string   // Content-Disposition in upper case, empty if absent.
	DispositionParams []Param  // Of Content-Disposition.
	MD5               string   // Content-MD5, empty if absent.
	Language          []string // Content-Language.
	Location          string   // Content-Location, empty if absent.

	Flags PartFlags

	// Envelope is the ENVELOPE of RFC 9051 §7.5.2, ready to send. Only messages
	// have one: the root of a tree, and each Part.Message.
	Envelope []byte
	// Parts are the parts of a multipart, at least one; nil for other types.
	Parts []*Part
	// Message is the message inside a message/rfc822 or message/global part. It is
	// nil for other types, for one in base64 or quoted-printable, and beyond the
	// limit on depth: such a part is a leaf.
	Message *Part
}

// PartFlags are facts about a part.
type PartFlags uint8

const (
	// PartNoBlankLine: the header is not ended by a blank line.
	PartNoBlankLine PartFlags = 1 << iota
	// PartNonASCII: the header of the part has bytes beyond ASCII.
	PartNonASCII
	// PartCut: a limit was reached in this part. Its header is not complete, or
	// its structure was not looked at.
	PartCut
	// PartTypeGiven: the part has a Content-Type that could be understood.
	PartTypeGiven
)

// Param is a parameter of Content-Type or Content-Disposition, with the
// continuations and charsets of RFC 2231 taken care of.
type Param struct {
	Name     string // In lower case.
	Value    string // Unquoted; UTF-8 if Extended, else as written.
	Extended bool   // The value came with a charset, as in name*=utf-8''x.
}

// Parse reads the structure of a message of size bytes. It fails only when
// reading fails.
func Parse(r io.ReaderAt, size int64, limits Limits) (*Part, error) {
	return nil, io.ErrUnexpectedEOF
}
