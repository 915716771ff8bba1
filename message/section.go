package message

import (
	"errors"
)

// ErrNoSection says that a message has no such section.
var ErrNoSection = errors.New("no such message section")

// Specifier is what a section names of a part, RFC 9051 §6.4.5.1.
type Specifier uint8

const (
	SectionAll    Specifier = iota // The whole message, or the body of a part.
	SectionHeader                  // HEADER, also for HEADER.FIELDS: the header of a message.
	SectionText                    // TEXT: the body of a message.
	SectionMIME                    // MIME: the header of a part.
)

// Range is a byte range of the message.
type Range struct {
	Start, End int64
	// MIMEOnly says that the range is the header of a message and the section is its
	// MIME header: FilterMIME gives it.
	MIMEOnly bool
}

// Len returns the number of bytes of the range.
func (r Range) Len() int64 { return r.End - r.Start }

// Section returns the bytes of a section. The part is the root of a tree, the path
// has the numbers of the section in their order, none for the message itself.
func (p *Part) Section(path []uint32, spec Specifier) (Range, error) {
	if len(path) == 0 {
		return p.messageRange(spec)
	}
	part, body, err := p.find(path)
	if err != nil {
		return Range{}, err
	}
	switch spec {
	case SectionAll:
		return Range{Start: part.BodyStart, End: part.BodyEnd}, nil
	case SectionMIME:
		return Range{part.HeaderStart, part.BodyStart, body}, nil
	}
	if part.Message == nil {
		return Range{}, ErrNoSection
	}
	return part.Message.messageRange(spec)
}

// messageRange returns a section of a message.
func (p *Part) messageRange(spec Specifier) (Range, error) {
	switch spec {
	case SectionAll:
		return Range{Start: p.HeaderStart, End: p.BodyEnd}, nil
	case SectionHeader:
		return Range{Start: p.HeaderStart, End: p.BodyStart}, nil
	case SectionText:
		return Range{Start: p.BodyStart, End: p.BodyEnd}, nil
	}
	return Range{}, ErrNoSection
}

// Find returns the part that a path names, for BINARY: the numbers of a section in
// their order. The body of a message that is no multipart is its part 1, and is given
// as the message itself. Without a path it is the message.
func (p *Part) Find(path []uint32) (*Part, error) {
	if len(path) == 0 {
		return p, nil
	}
	part, _, err := p.find(path)
	return part, err
}

// find also says whether the part is the body of a message.
func (p *Part) find(path []uint32) (part *Part, body bool, err error) {
	part, message := p, true
	for _, n := range path {
		if !message && part.Message != nil {
			part, message = part.Message, true
		}
		switch {
		case len(part.Parts) > 0:
			if n == 0 || uint64(n) > uint64(len(part.Parts)) {
				return nil, false, ErrNoSection
			}
			part, message, body = part.Parts[n-1], false, false
		case message && n == 1:
			// The body, of which further numbers are parts if it is a message.
			message, body = false, true
		default:
			return nil, false, ErrNoSection
		}
	}
	return part, body, nil
}
