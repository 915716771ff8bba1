package imap

import "strings"

// MaxBodyDepth is how many parts inside each other a body structure may have.
const MaxBodyDepth = 100

// A Param is a parameter of a MIME header field.
type Param struct {
	Name, Value string
}

// A BodyStructure describes a part of a message and the parts in it. Parts is set for
// multiparts; Envelope and Body for message/rfc822 and message/global, and then Lines is
// too, as it is for text parts. Ext is nil for the data item BODY, and in responses that
// leave it out. RFC 9051 §7.5.2
type BodyStructure struct {
	Type, Subtype string // In any case. Type is "multipart" for a multipart.
	Params        []Param

	Parts []BodyStructure // Only for multiparts, which have none of the following but Ext.

	ID          NString
	Description NString
	Encoding    string // Content-Transfer-Encoding.
	Octets      int64  // Size in its transfer encoding.
	Lines       int64
	Envelope    *Envelope
	Body        *BodyStructure

	Ext *BodyExt
}

// A BodyExt is the extension data of a body structure. RFC 9051 §7.5.2
type BodyExt struct {
	MD5         NString // Not for multiparts.
	Disposition *Disposition
	Language    []string
	Location    NString
}

// A Disposition is a parsed Content-Disposition. RFC 2183 §2
type Disposition struct {
	Type   string
	Params []Param
}

// IsMultipart reports whether b has parts.
func (b *BodyStructure) IsMultipart() bool {
	return strings.EqualFold(b.Type, "multipart")
}

// IsText reports whether b is a text part, for which Lines is sent.
func (b *BodyStructure) IsText() bool {
	return strings.EqualFold(b.Type, "text")
}

// IsMessageType reports whether the type is message/rfc822 or message/global.
func (b *BodyStructure) IsMessageType() bool {
	return strings.EqualFold(b.Type, "message") &&
		(strings.EqualFold(b.Subtype, "rfc822") || strings.EqualFold(b.Subtype, "global"))
}

// IsMessage reports whether b is a message in a message, with envelope and structure.
func (b *BodyStructure) IsMessage() bool {
	return b.IsMessageType() && b.Body != nil && b.Envelope != nil
}
