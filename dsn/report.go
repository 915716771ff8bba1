package dsn

import (
	"fmt"
	"strings"
	"time"

	"mox/internal/lex"
	"mox/smtp"
)

// Action is what was done about a recipient, RFC 3464 §2.3.3.
type Action string

// Actions.
const (
	Failed    Action = "failed"    // Given up.
	Delayed   Action = "delayed"   // Will be tried again.
	Delivered Action = "delivered" // Delivered, on request only.
	Relayed   Action = "relayed"   // Passed on to a server that will not notify.
	Expanded  Action = "expanded"  // Delivered to an alias with several addresses.
)

// Report is the part of a notification for programs, RFC 3464 §2.
type Report struct {
	// OriginalEnvelopeID is the ENVID of the original transaction, empty if it had none.
	OriginalEnvelopeID string

	// ReportingMTA is the server that did, or did not, deliver. It is required.
	ReportingMTA MTA

	// ReceivedFromMTA is the server the message came from, if known.
	ReceivedFromMTA MTA

	// ArrivalDate is when the message came in, zero if not known.
	ArrivalDate time.Time

	// FutureReleaseRequest is the value of the field of that name, RFC 4865 §5.1.2, as
	// smtp.MailCommand.FutureReleaseRequest returns it. Empty if none was made.
	FutureReleaseRequest string

	// Recipients are those that the report is about, at least one.
	Recipients []Recipient
}

// MTA is the name of a server.
type MTA struct {
	Type string // "dns" if empty.
	Name string // Empty for none.

	// Comment, such as an address, is written in parentheses.
	Comment string
}

// Recipient is what became of a message for one recipient, RFC 3464 §2.3.
type Recipient struct {
	// Original is the address that the sender had used, from ORCPT. The zero value is
	// for none.
	Original smtp.OriginalRecipient

	// Final is the address of the envelope, see [Address].
	Final smtp.OriginalRecipient

	Action Action

	// Status is an enhanced status code, e.g. "5.1.1", and StatusComment some words
	// about it, which may be empty.
	Status        string
	StatusComment string

	// RemoteMTA is the server that reported the status, if it was another.
	RemoteMTA MTA

	// DiagnosticType is "smtp" for replies; Diagnostic is the reply with all its lines,
	// separated by "\n" or spaces. Both may be empty.
	DiagnosticType string
	Diagnostic     string

	// LastAttempt is when delivery was tried last, zero if not known.
	LastAttempt time.Time

	// FinalLogID finds the delivery in the logs of the final server, if not empty.
	FinalLogID string

	// WillRetryUntil is when delivery will be given up, for action Delayed only.
	WillRetryUntil time.Time
}

// Address returns a path as an address for Recipient: of type rfc822 if it can be
// written in ASCII, else of type utf-8, RFC 6533 §3.
func Address(p smtp.Path) smtp.OriginalRecipient {
	if p.IsInternational() {
		return smtp.OriginalRecipient{AddrType: "utf-8", Address: p.XString(true)}
	}
	return smtp.OriginalRecipient{AddrType: "rfc822", Address: p.XString(false)}
}

// Path returns an address of a report as a path, and whether it is one.
func Path(a smtp.OriginalRecipient) (smtp.Path, bool) {
	if a.AddrType != "rfc822" && a.AddrType != "utf-8" {
		return smtp.Path{}, false
	}
	s := strings.TrimSpace(a.Address)
	if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
		s = s[1 : len(s)-1]
	}
	p, err := smtp.ParseMailbox(s, smtp.Lenient)
	return p, err == nil
}

// Status returns the status code for a reply: its enhanced status code if it has
// one, else one that only tells the class. Without a reply, code 0, the class is
// that of permanent.
func Status(permanent bool, code int, enhanced string) string {
	switch {
	case isStatus(enhanced):
		return enhanced
	case code/100 == 2 || code/100 == 4 || code/100 == 5:
		return fmt.Sprintf("%d.0.0", code/100)
	case permanent:
		return "5.0.0"
	}
	return "4.0.0"
}

// isStatus reports whether s matches:
//
//	status-code = DIGIT "." 1*3DIGIT "." 1*3DIGIT
func isStatus(s string) bool {
	sc := lex.New(s)
	sc.NeedOne(lex.Bytes("245"), "class")
	for range 2 {
		sc.NeedByte('.')
		if len(sc.NeedRun(lex.Digit, "digits")) > 3 {
			return false
		}
	}
	sc.NeedEnd()
	return sc.OK()
}

// SMTPCode returns the reply code of the diagnostic, 0 if it has none, and the
// enhanced status code, which comes from the diagnostic, or else from the status.
func (r Recipient) SMTPCode() (code int, enhanced string) {
	enhanced = r.Status
	if !strings.EqualFold(r.DiagnosticType, "smtp") {
		return 0, enhanced
	}
	sc := lex.New(r.Diagnostic)
	digits, ok := sc.TryRun(lex.Digit)
	if !ok || len(digits) != 3 || digits[0] < '2' || digits[0] > '5' {
		return 0, enhanced
	}
	for _, c := range []byte(digits) {
		code = 10*code + int(c-'0')
	}
	sc.TryOne(lex.Bytes(" -"))
	if s := sc.Take(lex.Digit.Union(lex.Bytes("."))); isStatus(s) && s[0] == digits[0] {
		enhanced = s
	}
	return code, enhanced
}
