package message

import (
	"iter"
	"strings"
)

// Part is a node of the MIME tree of a message: the message itself, a part of a
// multipart, or a message inside a message. Offsets count from the first byte of
// the outermost message, also for parts of nested messages.
//
// A multipart or message that is encoded, or that lies beyond a limit, is a leaf:
// it keeps its type, and Parts and Message are nil. So is a multipart that names no
// boundary, which has the type text/plain instead. A multipart whose boundary never
// comes has one text/plain part that spans its body, so that nothing is lost.
type Part struct {
	HeaderStart int64 // Offset of the first byte of the header.
	BodyStart   int64 // Offset after the blank line that ends the header.
	BodyEnd     int64 // Offset after the body, before the line end that belongs to a boundary line.
	Lines       int64 // Number of line ends in the body.
	// DecodedSize is the number of bytes that Decoder gives: of the body without its
	// transfer encoding and, for text, with CRLF for bare LF. It is -1 for an unknown
	// encoding.
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
	// Message is the message inside a message/rfc822 or message/global part.
	Message *Part
}

// PartFlags are facts about a part.
type PartFlags uint8

const (
	// PartNoBlankLine says that the header is not ended by a blank line.
	PartNoBlankLine PartFlags = 1 << iota
	// PartNonASCII says that the header of the part has bytes beyond ASCII.
	PartNonASCII
	// PartCut says that a limit was reached: the header is known in part only, or
	// the structure was not looked at.
	PartCut
	// PartTypeGiven says that the part has a Content-Type that could be understood.
	PartTypeGiven

	partFlagsEnd
)

// IsMultipart says whether the part has parts.
func (p *Part) IsMultipart() bool { return p.Parts != nil }

// Is says whether the media type is the one given, in any case, as "text/html".
func (p *Part) Is(mediaType string) bool {
	typ, sub, _ := strings.Cut(mediaType, "/")
	return equalFold(p.Type, typ) && equalFold(p.Subtype, sub)
}

// Size returns the size of the body in bytes, in its transfer encoding.
func (p *Part) Size() int64 { return p.BodyEnd - p.BodyStart }

// Param returns the value of a parameter of Content-Type, empty if there is none.
func (p *Part) Param(name string) string {
	v, _ := param(p.Params, name)
	return v.Value
}

// Filename returns the name for the part as a file, as UTF-8: filename of
// Content-Disposition, else name of Content-Type. Both RFC 2231 and the encoded
// words that RFC 2047 §5 forbids here are decoded. The name is what the sender
// wrote: it may have slashes in it.
func (p *Part) Filename() string {
	for _, f := range []struct {
		params []Param
		name   string
	}{{p.DispositionParams, "filename"}, {p.Params, "name"}} {
		if v, ok := param(f.params, f.name); ok && v.Value != "" {
			if v.Extended {
				return cleanText(v.Value)
			}
			return DecodeText(v.Value)
		}
	}
	return ""
}

// Walk iterates over the part and all parts in it, also those of nested messages,
// in the order of the message.
func (p *Part) Walk() iter.Seq[*Part] {
	return func(yield func(*Part) bool) { p.walk(yield) }
}

// walk recurses no deeper than the limit on depth.
func (p *Part) walk(yield func(*Part) bool) bool {
	if !yield(p) {
		return false
	}
	for _, sub := range p.Parts {
		if !sub.walk(yield) {
			return false
		}
	}
	return p.Message == nil || p.Message.walk(yield)
}

// IsAttachment says whether a user would see a leaf as an attachment: it has the
// disposition attachment, or it is text with a file name, or something that is neither
// text nor an image that the text shows. Signatures and the parts of reports are none.
func (p *Part) IsAttachment() bool {
	switch p.Subtype {
	case "PGP-SIGNATURE", "PKCS7-SIGNATURE", "X-PKCS7-SIGNATURE", "PGP-ENCRYPTED":
		return false
	}
	switch {
	case p.Parts != nil:
		return false
	case p.Disposition == "ATTACHMENT":
		return true
	case p.Type == "TEXT":
		return p.Disposition != "INLINE" && p.Filename() != ""
	case p.Type == "MESSAGE":
		// Others are delivery-status, disposition-notification, feedback-report.
		return p.Subtype == "RFC822" || p.Subtype == "GLOBAL"
	}
	return p.Type != "IMAGE" || p.ID == ""
}
