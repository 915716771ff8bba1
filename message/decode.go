package message

import (
	"bytes"
	"errors"
	"io"
	"slices"

	"mox/internal/lex"
)

// ErrUnknownEncoding says that a part has a Content-Transfer-Encoding that is not
// known, for the UNKNOWN-CTE code of RFC 9051 §7.1.
var ErrUnknownEncoding = errors.New("unknown content-transfer-encoding")

// base64Values has the value of each base64 character, 0xff for other bytes.
var base64Values = buildBase64Values()

func buildBase64Values() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	return t
}

// base64State decodes base64 (RFC 2045 §6.8) that comes in pieces. Bytes that are
// not in the alphabet are passed over; padding ends a run, and another may follow,
// because senders concatenate; a missing padding is as good as a present one.
type base64State struct {
	acc uint32
	n   int // Characters in acc, 0 to 3.
}

// decode appends what src decodes to.
func (s *base64State) decode(dst, src []byte) []byte {
	dst = slices.Grow(dst, len(src)/4*3+3)
	for i := 0; i < len(src); {
		if s.n == 0 && i+4 <= len(src) {
			a, b := base64Values[src[i]], base64Values[src[i+1]]
			c, d := base64Values[src[i+2]], base64Values[src[i+3]]
			if a|b|c|d < 0x40 {
				dst = append(dst, a<<2|b>>4, b<<4|c>>2, c<<6|d)
				i += 4
				continue
			}
		}
		v := base64Values[src[i]]
		if v == 0xff {
			if src[i] == '=' {
				dst = s.flush(dst)
			}
			i++
			continue
		}
		s.acc = s.acc<<6 | uint32(v)
		if s.n++; s.n == 4 {
			dst = append(dst, byte(s.acc>>16), byte(s.acc>>8), byte(s.acc))
			s.acc, s.n = 0, 0
		}
		i++
	}
	return dst
}

// flush appends what is left at the end or at padding.
func (s *base64State) flush(dst []byte) []byte {
	switch s.n {
	case 2:
		dst = append(dst, byte(s.acc>>4))
	case 3:
		dst = append(dst, byte(s.acc>>10), byte(s.acc>>2))
	}
	s.acc, s.n = 0, 0
	return dst
}

// maxTrailing is how much white space is held back to see whether a line ends
// after it. Lines have 76 characters; more white space is content.
const maxTrailing = 1000

// qpState decodes quoted-printable (RFC 2045 §6.7) that comes in pieces. White
// space at the end of a line is dropped, an equals sign that begins no escape
// stays as it is, line ends stay what they are.
type qpState struct {
	held []byte // "=" or "=X" and white space not yet known to be content.
}

// decode appends what src decodes to.
func (s *qpState) decode(dst, src []byte) []byte {
	dst = slices.Grow(dst, len(src))
	for i := 0; i < len(src); i++ {
		c := src[i]
		if len(s.held) > 0 {
			dst = s.pending(dst, c)
			continue
		}
		if c == '=' || isWSP(c) || c == '\r' {
			s.held = append(s.held, c)
			continue
		}
		// A run of plain bytes.
		j := i + 1
		for j < len(src) && src[j] != '=' && src[j] != ' ' && src[j] != '\t' && src[j] != '\r' {
			j++
		}
		dst = append(dst, src[i:j]...)
		i = j - 1
	}
	return dst
}

// pending takes the next byte while something is held back: "=" with white space
// after it, "=X", or white space; in each case maybe with a CR at the end.
func (s *qpState) pending(dst []byte, c byte) []byte {
	escape, last := s.held[0] == '=', s.held[len(s.held)-1]
	switch {
	case c == '\n':
		// White space before a line end was added on the way. After "=", the line
		// end itself is one that the encoder added.
		if escape && (len(s.held) == 1 || isWSP(s.held[1]) || s.held[1] == '\r') {
			s.held = s.held[:0]
			return dst
		}
		if escape {
			dst = append(dst, trimWSP(s.held)...)
		}
		if last == '\r' {
			dst = append(dst, '\r')
		}
		s.held = s.held[:0]
		return append(dst, '\n')
	case last == '\r':
		// A bare CR is content.
	case escape && len(s.held) == 1 && (lex.HexDig.Has(c) || isWSP(c) || c == '\r'):
		s.held = append(s.held, c)
		return dst
	case escape && len(s.held) == 2 && lex.HexDig.Has(last) && lex.HexDig.Has(c):
		s.held = s.held[:0]
		return append(dst, unhex(last)<<4|unhex(c))
	case (isWSP(c) || c == '\r') && (isWSP(last) || !escape) && len(s.held) < maxTrailing:
		s.held = append(s.held, c)
		return dst
	}
	dst = append(dst, s.held...)
	s.held = s.held[:0]
	if c == '=' || isWSP(c) || c == '\r' {
		s.held = append(s.held, c)
		return dst
	}
	return append(dst, c)
}

// flush appends what is left at the end.
func (s *qpState) flush(dst []byte) []byte {
	if len(s.held) > 1 && s.held[0] == '=' && !isWSP(s.held[1]) && s.held[1] != '\r' {
		dst = append(dst, trimWSP(s.held)...)
	} else if len(s.held) > 0 && s.held[0] != '=' && s.held[len(s.held)-1] == '\r' {
		dst = append(dst, '\r')
	}
	s.held = s.held[:0]
	return dst
}

// trimWSP returns b without the white space and CR at its end.
func trimWSP(b []byte) []byte {
	for len(b) > 0 && (isWSP(b[len(b)-1]) || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	return b
}

// crlfState makes line ends CRLF in text that comes in pieces.
type crlfState struct{ cr bool }

func (s *crlfState) convert(dst, src []byte) []byte {
	dst = slices.Grow(dst, len(src))
	for len(src) > 0 {
		n := bytes.IndexByte(src, '\n')
		if n < 0 {
			n = len(src)
		}
		if n > 0 {
			dst = append(dst, src[:n]...)
			s.cr = src[n-1] == '\r'
		}
		if n == len(src) {
			break
		}
		if !s.cr {
			dst = append(dst, '\r')
		}
		dst = append(dst, '\n')
		s.cr = false
		src = src[n+1:]
	}
	return dst
}

// decodeState removes a transfer encoding and makes line ends of text CRLF, in
// pieces. It is used for reading and, with the output thrown away, for the decoded
// size, so that the two cannot differ.
type decodeState struct {
	enc  encodingKind
	text bool
	b64  base64State
	qp   qpState
	crlf crlfState
	tmp  []byte
}

type encodingKind uint8

const (
	encodingUnknown encodingKind = iota
	encodingIdentity
	encodingBase64
	encodingQP
)

// encodingOf returns the kind of a Content-Transfer-Encoding in upper case.
func encodingOf(s string) encodingKind {
	switch s {
	case "", "7BIT", "8BIT", "BINARY":
		return encodingIdentity
	case "BASE64":
		return encodingBase64
	case "QUOTED-PRINTABLE":
		return encodingQP
	}
	return encodingUnknown
}

// decode appends what src decodes to; at the end of the body, end is set.
func (s *decodeState) decode(dst, src []byte, end bool) []byte {
	if s.enc == encodingIdentity {
		if s.text {
			return s.crlf.convert(dst, src)
		}
		return append(dst, src...)
	}
	out := dst
	if s.text {
		out = s.tmp[:0]
	}
	if s.enc == encodingBase64 {
		out = s.b64.decode(out, src)
		if end {
			out = s.b64.flush(out)
		}
	} else {
		out = s.qp.decode(out, src)
		if end {
			out = s.qp.flush(out)
		}
	}
	if !s.text {
		return out
	}
	s.tmp = out
	return s.crlf.convert(dst, out)
}

// decoderBuffer is the size of the pieces that a decoder reads.
const decoderBuffer = 16 << 10

// decoder is an io.Reader over a decodeState.
type decoder struct {
	r     io.Reader
	state decodeState
	in    []byte
	out   []byte // Decoded, not yet read.
	buf   []byte
	err   error
}

func (d *decoder) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		n, err := d.r.Read(d.in)
		d.err = err
		d.buf = d.state.decode(d.buf[:0], d.in[:n], err == io.EOF)
		d.out = d.buf
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// Decoder returns a reader of the body without its transfer encoding, for
// BINARY[...] of RFC 9051 §6.4.5. Bare LF in text is made CRLF. What cannot be
// decoded is passed over. The error is ErrUnknownEncoding.
func (p *Part) Decoder(r io.ReaderAt) (io.Reader, error) {
	return p.decoder(r, decoderBuffer)
}

// decoder is Decoder, reading the body in pieces of so many bytes.
func (p *Part) decoder(r io.ReaderAt, piece int64) (io.Reader, error) {
	state, ok := p.decodeState()
	if !ok {
		return nil, ErrUnknownEncoding
	}
	size := p.BodyEnd - p.BodyStart
	in := make([]byte, max(min(piece, size), 1))
	return &decoder{r: io.NewSectionReader(r, p.BodyStart, size), state: state, in: in}, nil
}

// decodeState returns the state to decode the body with.
func (p *Part) decodeState() (decodeState, bool) {
	kind := encodingOf(p.Encoding)
	if p.Parts != nil || p.Message != nil {
		// RFC 2045 §6.4: composite types are not encoded, whatever they say.
		kind = encodingIdentity
	}
	if kind == encodingUnknown {
		return decodeState{}, false
	}
	return decodeState{enc: kind, text: p.Type == "TEXT" && !isWide(p.Param("charset"))}, true
}
