package sasl

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"
)

// This file has the grammar of SCRAM messages, RFC 5802 §7. All of them are
// attributes "x=value" with commas in between, and values have no commas. The
// parsers keep the parts over which the proofs are computed as they were sent.

// fields reads the attributes of a message from left to right. The first error
// sticks and names the message and the column.
type fields struct {
	message string // For errors, e.g. "client-first-message".
	all     string
	rest    string
	done    bool // After the last field.
	err     error
}

func newFields(message string, msg []byte) *fields {
	f := &fields{message: message, all: string(msg), rest: string(msg)}
	if err := checkSize(msg); err != nil {
		f.err = err
	} else if !utf8.Valid(msg) || strings.IndexByte(f.all, 0) >= 0 {
		f.fail(ErrProtocol, "not UTF-8, or NUL")
	}
	return f
}

func (f *fields) fail(sentinel error, format string, args ...any) {
	if f.err == nil {
		args = append([]any{f.message, f.column()}, args...)
		f.err = failf(sentinel, "%s, column %d: "+format, args...)
	}
}

// column is where the next field starts, counted from 1.
func (f *fields) column() int {
	return len(f.all) - len(f.rest) + 1
}

// next returns the next field, up to a comma or the end.
func (f *fields) next() string {
	if f.err != nil {
		return ""
	}
	if f.done {
		f.fail(ErrProtocol, "unexpected end")
		return ""
	}
	field, rest, more := strings.Cut(f.rest, ",")
	f.rest, f.done = rest, !more
	return field
}

// peek reports whether the next field is the attribute name.
func (f *fields) peek(name byte) bool {
	return f.err == nil && !f.done && len(f.rest) >= 2 && f.rest[0] == name && f.rest[1] == '='
}

// attr returns the value of the next field, which must be the attribute name
// and have a value.
func (f *fields) attr(name byte) string {
	if f.err == nil && !f.peek(name) {
		f.fail(ErrProtocol, "expected attribute %q", name)
		return ""
	}
	field := f.next()
	if f.err == nil && len(field) < 3 {
		f.fail(ErrProtocol, "attribute %q without value", name)
	}
	if f.err != nil {
		return ""
	}
	return field[2:]
}

// noMandatory refuses the reserved attribute "m", which announces an extension
// that must be understood.
func (f *fields) noMandatory() {
	if f.peek('m') {
		f.fail(ErrExtension, "mandatory extension")
	}
}

// extension skips one optional extension, which must be an attribute.
func (f *fields) extension() {
	field := f.next()
	if f.err == nil && (len(field) < 3 || !isAlpha(field[0]) || field[1] != '=') {
		f.fail(ErrProtocol, "malformed extension")
	}
}

// extensions skips the rest.
func (f *fields) extensions() {
	for f.err == nil && !f.done {
		f.extension()
	}
}

// nonce returns the value of the attribute "r".
func (f *fields) nonce() string {
	s := f.attr('r')
	for i := 0; i < len(s) && f.err == nil; i++ {
		if s[i] < 0x21 || s[i] > 0x7e {
			f.fail(ErrProtocol, "nonce not printable")
		}
	}
	if len(s) > 2*SCRAMMaxNonce {
		f.fail(ErrProtocol, "nonce of %d octets", len(s))
	}
	return s
}

// base64 returns the decoded value of an attribute.
func (f *fields) base64(name byte) []byte {
	s := f.attr(name)
	if f.err != nil {
		return nil
	}
	// Strict, because lax decoders would skip line ends and ignore trailing bits.
	if strings.ContainsAny(s, "\r\n") {
		f.fail(ErrEncoding, "line end in attribute %q", name)
		return nil
	}
	buf, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil {
		f.fail(ErrEncoding, "attribute %q: %v", name, err)
	}
	return buf
}

// clientFirst is a parsed client-first-message.
type clientFirst struct {
	gs2Header string // Through its last comma.
	bare      string // The rest.
	flag      byte   // 'p', 'y' or 'n'.
	cbName    string // For flag 'p'.
	authzid   string
	username  string
	nonce     string
}

// parseClientFirst parses:
//
//	client-first-message      = gs2-header client-first-message-bare
//	gs2-header                = gs2-cbind-flag "," [ authzid ] ","
//	client-first-message-bare = [reserved-mext ","] username "," nonce ["," extensions]
func parseClientFirst(msg []byte) (clientFirst, error) {
	f := newFields("client-first-message", msg)
	var m clientFirst
	switch {
	case f.peek('p'):
		m.flag = 'p'
		m.cbName = f.attr('p')
		if f.err == nil && !isCBName(m.cbName) {
			f.fail(ErrProtocol, "channel binding name")
		}
	default:
		flag := f.next()
		if f.err == nil && flag != "y" && flag != "n" {
			f.fail(ErrProtocol, "gs2-cbind-flag")
			break
		}
		if f.err == nil {
			m.flag = flag[0]
		}
	}
	if f.peek('a') {
		m.authzid = f.saslname('a')
	} else if s := f.next(); f.err == nil && s != "" {
		f.fail(ErrProtocol, "expected authzid")
	}
	if f.err == nil && f.done {
		f.fail(ErrProtocol, "unexpected end")
	}
	if f.err != nil {
		return clientFirst{}, f.err
	}
	n := len(f.all) - len(f.rest)
	m.gs2Header, m.bare = f.all[:n], f.all[n:]

	f.noMandatory()
	m.username = f.saslname('n')
	m.nonce = f.nonce()
	f.extensions()
	if f.err != nil {
		return clientFirst{}, f.err
	}
	return m, nil
}

// serverFirst is a parsed server-first-message.
type serverFirst struct {
	nonce      string
	salt       []byte
	iterations int
}

// parseServerFirst parses:
//
//	server-first-message = [reserved-mext ","] nonce "," salt "," iteration-count ["," extensions]
func parseServerFirst(msg []byte) (serverFirst, error) {
	f := newFields("server-first-message", msg)
	f.noMandatory()
	var m serverFirst
	m.nonce = f.nonce()
	m.salt = f.base64('s')
	count := f.attr('i')
	f.extensions()
	if f.err != nil {
		return serverFirst{}, f.err
	}
	// posit-number = %x31-39 *DIGIT; nine digits fit any int.
	if len(count) > 9 || count[0] == '0' || strings.Trim(count, "0123456789") != "" {
		f.fail(ErrProtocol, "iteration count %q", count)
		return serverFirst{}, f.err
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		f.fail(ErrProtocol, "iteration count: %v", err)
	}
	m.iterations = n
	return m, f.err
}

// clientFinal is a parsed client-final-message.
type clientFinal struct {
	withoutProof string
	cbind        []byte // cbind-input, decoded.
	nonce        string
	proof        []byte
}

// parseClientFinal parses:
//
//	client-final-message               = client-final-message-without-proof "," proof
//	client-final-message-without-proof = channel-binding "," nonce ["," extensions]
func parseClientFinal(msg []byte) (clientFinal, error) {
	f := newFields("client-final-message", msg)
	f.noMandatory()
	var m clientFinal
	m.cbind = f.base64('c')
	m.nonce = f.nonce()
	for f.err == nil && !f.done && !f.peek('p') {
		f.extension()
	}
	if f.err == nil && f.done {
		f.fail(ErrProtocol, "expected proof")
	}
	if f.err == nil {
		m.withoutProof = f.all[:len(f.all)-len(f.rest)-1]
	}
	m.proof = f.base64('p')
	if f.err == nil && !f.done {
		f.fail(ErrProtocol, "attribute after proof")
	}
	if f.err != nil {
		return clientFinal{}, f.err
	}
	return m, nil
}

// parseServerFinal parses the message below. It returns the signature, or the
// error value of the server.
//
//	server-final-message = (server-error / verifier) ["," extensions]
func parseServerFinal(msg []byte) (verifier []byte, serverError string, err error) {
	f := newFields("server-final-message", msg)
	if f.peek('e') {
		serverError = f.attr('e')
	} else {
		verifier = f.base64('v')
	}
	f.extensions()
	if f.err != nil {
		return nil, "", f.err
	}
	return verifier, serverError, nil
}

// saslname returns the value of an attribute with its escapes undone:
//
//	saslname = 1*(value-safe-char / "=2C" / "=3D")
func (f *fields) saslname(name byte) string {
	s := f.attr(name)
	if strings.IndexByte(s, '=') < 0 {
		return s
	}
	var b strings.Builder
	for s != "" {
		switch {
		case strings.HasPrefix(s, "=2C"):
			b.WriteByte(',')
			s = s[3:]
		case strings.HasPrefix(s, "=3D"):
			b.WriteByte('=')
			s = s[3:]
		case s[0] == '=':
			f.fail(ErrUsername, "invalid escape in name")
			return ""
		default:
			b.WriteByte(s[0])
			s = s[1:]
		}
	}
	return b.String()
}

// escapeSASLName is the reverse of saslname.
func escapeSASLName(s string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s)
}

func isAlpha(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// isCBName reports whether s is a cb-name, less the empty string:
//
//	cb-name = 1*(ALPHA / DIGIT / "." / "-")
func isCBName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !isAlpha(c) && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return true
}
