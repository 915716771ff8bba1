package imap

// ErrorType says how a failed command is answered. RFC 9051 §7.1
type ErrorType string

// The answers that are errors.
const (
	TypeNO  ErrorType = "NO"  // The command is understood and cannot be done. RFC 9051 §7.1.2
	TypeBAD ErrorType = "BAD" // The command breaks the protocol. RFC 9051 §7.1.3
	TypeBYE ErrorType = "BYE" // The connection is closed. RFC 9051 §7.1.5
)

// An Error is a failed command as the protocol sees it. Text is written for the
// remote party and has no local detail in it. Cause is for our log; it may be nil.
type Error struct {
	Type  ErrorType
	Code  Code   // Without brackets. Empty for none.
	Text  string // One line, ASCII.
	Cause error
}

// No returns an error that is answered with NO. An empty code is left out.
func No(code Code, text string) *Error {
	return &Error{Type: TypeNO, Code: code, Text: text}
}

// Bad returns an error that is answered with BAD. An empty code is left out.
func Bad(code Code, text string) *Error {
	return &Error{Type: TypeBAD, Code: code, Text: text}
}

// Bye returns an error after which the connection is closed with an untagged BYE.
// An empty code is left out.
func Bye(code Code, text string) *Error {
	return &Error{Type: TypeBYE, Code: code, Text: text}
}

// With returns a copy of e with the given cause.
func (e *Error) With(cause error) *Error {
	c := *e
	c.Cause = cause
	return &c
}

// Error returns the answer and the cause. It is for logs, not for the remote
// party.
func (e *Error) Error() string {
	s := string(e.Type)
	if e.Code != "" {
		s += " [" + string(e.Code) + "]"
	}
	if e.Text != "" {
		s += " " + e.Text
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error {
	return e.Cause
}
