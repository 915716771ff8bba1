package imap

// An NString is a string or NIL. The zero value is NIL. RFC 9051 §4.5
type NString struct {
	Value string
	OK    bool // False for NIL.
}

// Str returns an NString that is not NIL.
func Str(s string) NString {
	return NString{s, true}
}

// An Address is an element of an address list in an envelope. RFC 9051 §7.5.2
//
// An ordinary address has Mailbox and Host. The start of a group has the name of the
// group as Mailbox and NIL as Host; the end of a group has NIL for both.
type Address struct {
	Name    NString // Display name.
	Route   NString // Source route, obsolete.
	Mailbox NString // Local part without quoting.
	Host    NString // Domain.
}

// GroupStart reports whether a group of addresses starts here.
func (a Address) GroupStart() bool {
	return a.Mailbox.OK && !a.Host.OK
}

// GroupEnd reports whether a group of addresses ends here.
func (a Address) GroupEnd() bool {
	return !a.Mailbox.OK && !a.Host.OK
}

// An Envelope is the parsed header of a message. Fields that the message does not have
// are NIL, or empty lists. RFC 9051 §7.5.2
type Envelope struct {
	Date      NString // As in the header field.
	Subject   NString
	From      []Address
	Sender    []Address
	ReplyTo   []Address
	To        []Address
	CC        []Address
	BCC       []Address
	InReplyTo NString
	MessageID NString
}

// A Number is a number that may be absent, or NIL.
type Number struct {
	Value int64
	OK    bool
}
