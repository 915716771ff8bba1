package dsn

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"mox/internal/lex"
	"mox/message"
	"mox/smtp"
)

// Limits for reports that come in.
const (
	// MaxReport is the size of the part for programs, in octets.
	MaxReport = 1 << 20

	// MaxRecipients is the number of recipients of a report that are kept.
	MaxRecipients = 1000
)

// Errors of Parse.
var (
	// ErrNotDSN says that a message is not a delivery status notification.
	ErrNotDSN = errors.New("dsn: not a delivery status notification")

	// ErrMalformed says that a message is one, and that its report cannot be
	// understood.
	ErrMalformed = errors.New("dsn: malformed report")
)

// Find returns the part of a message with the report: the second part of
// a multipart/report for a delivery status, of two or three parts, in ASCII or in
// UTF-8. It returns nil if the message is not a delivery status notification.
func Find(root *message.Part) *message.Part {
	if !root.Is("multipart/report") || len(root.Parts) < 2 || len(root.Parts) > 3 {
		return nil
	}
	if t := root.Param("report-type"); t != "" && !strings.EqualFold(t, "delivery-status") {
		return nil
	}
	p := root.Parts[1]
	if !p.Is("message/delivery-status") && !p.Is("message/global-delivery-status") {
		return nil
	}
	return p
}

// Parse returns the report of a notification. It takes the tree of the message,
// as made by message.Parse of r. Fields that are not understood are left zero, and
// recipients without an address or action are left out.
func Parse(r io.ReaderAt, root *message.Part) (Report, error) {
	part := Find(root)
	if part == nil {
		return Report{}, ErrNotDSN
	}
	dec, err := part.Decoder(r)
	if err != nil {
		return Report{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	data, err := io.ReadAll(io.LimitReader(dec, MaxReport+1))
	if err != nil {
		return Report{}, fmt.Errorf("reading report: %w", err)
	}
	if len(data) > MaxReport {
		return Report{}, fmt.Errorf("%w: more than %d octets", ErrMalformed, MaxReport)
	}
	return parseReport(data)
}

// parseReport parses groups of fields with blank lines in between, of which the
// first is for the message and each other one for a recipient.
func parseReport(data []byte) (Report, error) {
	var rep Report
	first := true
	for len(data) > 0 {
		h := message.ParseHeader(data, message.Limits{})
		if len(h.Raw) == 0 {
			break
		}
		data = data[len(h.Raw):]
		if len(h.Fields) == 0 {
			continue // More than one blank line.
		}
		if first {
			rep.messageFields(&h)
			first = false
			// Some leave out the blank line after the only field that is required.
			if _, ok := h.Get("Final-Recipient"); !ok {
				continue
			}
		}
		if rcpt, ok := recipientFields(&h); ok && len(rep.Recipients) < MaxRecipients {
			rep.Recipients = append(rep.Recipients, rcpt)
		}
	}
	if len(rep.Recipients) == 0 {
		return Report{}, fmt.Errorf("%w: no recipients", ErrMalformed)
	}
	return rep, nil
}

func (rep *Report) messageFields(h *message.Header) {
	rep.OriginalEnvelopeID = value(h, "Original-Envelope-Id")
	rep.ReportingMTA = parseMTA(value(h, "Reporting-MTA"))
	rep.ReceivedFromMTA = parseMTA(value(h, "Received-From-MTA"))
	rep.ArrivalDate, _ = message.ParseDate(value(h, "Arrival-Date"))
	rep.FutureReleaseRequest = value(h, "Future-Release-Request")
}

func recipientFields(h *message.Header) (Recipient, bool) {
	r := Recipient{
		Original:   parseAddress(value(h, "Original-Recipient")),
		Final:      parseAddress(value(h, "Final-Recipient")),
		Action:     Action(strings.ToLower(uncomment(value(h, "Action")))),
		RemoteMTA:  parseMTA(value(h, "Remote-MTA")),
		FinalLogID: value(h, "Final-Log-ID"),
	}
	r.Status, r.StatusComment = splitComment(value(h, "Status"))
	if !isStatus(r.Status) {
		r.Status = ""
	}
	r.DiagnosticType, r.Diagnostic = splitType(value(h, "Diagnostic-Code"))
	r.LastAttempt, _ = message.ParseDate(value(h, "Last-Attempt-Date"))
	r.WillRetryUntil, _ = message.ParseDate(value(h, "Will-Retry-Until"))
	switch r.Action {
	case Failed, Delayed, Delivered, Relayed, Expanded:
		return r, r.Final.AddrType != "" || r.Original.AddrType != ""
	}
	return Recipient{}, false
}

// value returns the unfolded value of a field without white space around it, and
// with spaces for control characters, such as the tabs of folding. It is empty if
// there is no such field.
func value(h *message.Header, name string) string {
	return strings.TrimSpace(clean(h.Value(name)))
}

// splitType takes "type; value" apart. The type is in lower case, and empty if
// there is none.
func splitType(s string) (typ, value string) {
	typ, value, ok := strings.Cut(s, ";")
	if !ok {
		return "", s
	}
	return strings.ToLower(uncomment(typ)), strings.TrimSpace(value)
}

func parseMTA(s string) MTA {
	typ, value := splitType(s)
	name, comment := splitComment(value)
	if name == "" {
		return MTA{}
	}
	return MTA{Type: typ, Name: name, Comment: comment}
}

// parseAddress parses "type; address". An address of type utf-8 is decoded; one
// that is not what it says is kept as it is, RFC 6533 §3.
func parseAddress(s string) smtp.OriginalRecipient {
	typ, addr := splitType(s)
	if addr == "" {
		return smtp.OriginalRecipient{}
	}
	if typ != "" && !lex.AText.All(typ) {
		return smtp.OriginalRecipient{AddrType: "unknown", Address: s}
	}
	// Not all write the type.
	o := smtp.OriginalRecipient{AddrType: orDefault(typ, "rfc822"), Address: addr}
	if o.AddrType == "utf-8" {
		if decoded, err := smtp.DecodeUTF8Addr(addr); err == nil {
			o.Address = decoded
		}
	}
	return o
}

// splitComment takes a comment at the end off, and returns it without its
// parentheses.
func splitComment(s string) (text, comment string) {
	i := strings.IndexByte(s, '(')
	if i < 0 {
		return s, ""
	}
	text, comment = strings.TrimSpace(s[:i]), strings.TrimSpace(s[i+1:])
	return text, strings.TrimSpace(strings.TrimSuffix(comment, ")"))
}

func uncomment(s string) string {
	s, _ = splitComment(s)
	return strings.TrimSpace(s)
}
