package dsn

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"mox/internal/lex"
	"mox/message"
	"mox/smtp"
)

// Message is a notification.
type Message struct {
	From smtp.Address // The postmaster.
	To   smtp.Path    // The reverse-path of the original message.

	Subject   string
	MessageID string // With angle brackets.
	Date      time.Time

	// InReplyTo is the Message-ID of the original message, with angle brackets, or
	// empty.
	InReplyTo string

	// Text explains what has happened, for people. Lines end in "\n".
	Text string

	Report Report

	// Header is the header section of the original message, with CRLF line ends.
	Header []byte

	// Content, if not nil, is the whole original message, to return instead of
	// Header: for failures of messages sent with RET=FULL. It is not closed.
	Content io.Reader

	// Content8Bit says that Content has octets beyond ASCII, and ContentUTF8 that its
	// header has.
	Content8Bit bool
	ContentUTF8 bool
}

// ComposeOptions are for Compose.
type ComposeOptions struct {
	// UTF8 says that the way back supports SMTPUTF8 and 8BITMIME. Without it, only
	// ASCII is written.
	UTF8 bool

	// MaxSize limits the size of the notification in octets, 0 for no limit. Beyond it
	// the error is message.ErrMessageSize.
	MaxSize int64
}

// reportType is the same for all forms, RFC 6533 §4.4.
const reportType = "report-type=delivery-status"

// Compose writes the notification to w, with CRLF line ends. The whole original
// message is returned only if it is given and can be sent the way back without
// being encoded, which RFC 2046 §5.2.1 forbids; else its header is.
func (m Message) Compose(w io.Writer, opts ComposeOptions) error {
	if len(m.Report.Recipients) == 0 || m.Report.ReportingMTA.Name == "" {
		return fmt.Errorf("composing dsn: no recipients or no reporting mta")
	}
	c := message.NewComposer(w, message.ComposeOptions{MaxSize: opts.MaxSize, SMTPUTF8: opts.UTF8})
	c.Field("From", "<"+m.From.XString(opts.UTF8)+">")
	c.Field("To", "<"+asciiUnless(opts.UTF8, m.To.XString(opts.UTF8))+">")
	c.Header("Subject", m.Subject)
	c.Date(m.Date)
	c.Field("Message-ID", m.MessageID)
	if m.InReplyTo != "" {
		id := asciiUnless(opts.UTF8, m.InReplyTo)
		c.Field("In-Reply-To", id)
		c.Field("References", id)
	}
	// RFC 3834 §5: so that no one answers automatically.
	c.Field("Auto-Submitted", "auto-replied")
	c.Multipart("report", reportType)

	c.Part()
	c.Text("plain", m.Text)

	c.Part()
	status, international := m.Report.format(opts.UTF8)
	if international {
		c.Raw("message/global-delivery-status", "8bit", bytes.NewReader(status))
	} else {
		c.Raw("message/delivery-status", "7bit", bytes.NewReader(status))
	}
	m.composeOriginal(c, opts)
	if err := c.Close(); err != nil {
		return fmt.Errorf("composing dsn: %w", err)
	}
	return nil
}

// composeOriginal writes the third part.
func (m Message) composeOriginal(c *message.Composer, opts ComposeOptions) {
	switch {
	case m.Content != nil && m.ContentUTF8 && opts.UTF8:
		c.Part()
		c.Raw("message/global", "8bit", m.Content)
	case m.Content != nil && m.Content8Bit && !m.ContentUTF8 && opts.UTF8:
		c.Part()
		c.Raw("message/rfc822", "8bit", m.Content)
	case m.Content != nil && !m.Content8Bit && !m.ContentUTF8:
		c.Part()
		c.Raw("message/rfc822", "7bit", m.Content)
	case len(m.Header) == 0:
	case lex.NonASCII.Index(string(m.Header)) < 0:
		c.Part()
		c.Raw("text/rfc822-headers", "7bit", bytes.NewReader(m.Header))
	case !utf8.Valid(m.Header):
		// Neither ASCII nor UTF-8: what it is, nobody knows.
		c.Part()
		c.Raw("text/rfc822-headers", "base64", encodeBase64(m.Header))
	case opts.UTF8:
		c.Part()
		c.Raw("message/global-headers", "8bit", bytes.NewReader(m.Header))
	default:
		// RFC 6533 §4.4 allows an encoding for this type.
		c.Part()
		c.Raw("message/global-headers", "base64", encodeBase64(m.Header))
	}
}

// encodeBase64 encodes in lines of 76 characters, RFC 2045 §6.8.
func encodeBase64(data []byte) io.Reader {
	const line = 76
	s := base64.StdEncoding.EncodeToString(data)
	var b bytes.Buffer
	for s != "" {
		n := min(line, len(s))
		b.WriteString(s[:n] + "\r\n")
		s = s[n:]
	}
	return &b
}

// Limits for what servers say, in octets.
const (
	// maxDiagnostic is how much is kept of a diagnostic.
	maxDiagnostic = 16 * 1024

	// maxWord is the longest word in a field. Longer ones are broken, for the limit of
	// 998 characters of RFC 5322 §2.1.1.
	maxWord = 900
)

// format returns the content of the delivery-status part, and whether it has
// characters beyond ASCII, which it never has unless international is set.
//
//	delivery-status-content = per-message-fields 1*( CRLF per-recipient-fields )
func (r Report) format(international bool) ([]byte, bool) {
	b := fieldWriter{international: international}
	b.text("Original-Envelope-Id", r.OriginalEnvelopeID)
	b.mta("Reporting-MTA", r.ReportingMTA)
	b.mta("Received-From-MTA", r.ReceivedFromMTA)
	b.date("Arrival-Date", r.ArrivalDate)
	b.text("Future-Release-Request", r.FutureReleaseRequest)
	out := bytes.Clone(b.h.Bytes())
	for _, rcpt := range r.Recipients {
		out = append(out, "\r\n"...)
		out = append(out, rcpt.format(international)...)
	}
	return out, lex.NonASCII.Index(string(out)) >= 0
}

func (r Recipient) format(international bool) []byte {
	b := fieldWriter{international: international}
	b.address("Original-Recipient", r.Original)
	b.address("Final-Recipient", r.Final)
	b.text("Action", string(r.Action))
	status := r.Status
	if !isStatus(status) {
		status = map[Action]string{Failed: "5.0.0", Delayed: "4.0.0"}[r.Action]
	}
	b.text("Status", orDefault(status, "2.0.0")+comment(r.StatusComment))
	b.mta("Remote-MTA", r.RemoteMTA)
	if r.Diagnostic != "" {
		text := strings.ToValidUTF8(r.Diagnostic[:min(len(r.Diagnostic), maxDiagnostic)], "?")
		b.text("Diagnostic-Code", orDefault(r.DiagnosticType, "smtp")+"; "+text)
	}
	b.date("Last-Attempt-Date", r.LastAttempt)
	b.text("Final-Log-ID", r.FinalLogID)
	if r.Action == Delayed {
		b.date("Will-Retry-Until", r.WillRetryUntil)
	}
	return b.h.Bytes()
}

// fieldWriter writes the fields of a report. Fields without a value are left out.
type fieldWriter struct {
	h             message.HeaderWriter
	international bool
}

func (b *fieldWriter) text(name, value string) {
	if value == "" {
		return
	}
	b.h.Field(name)
	for word := range strings.FieldsSeq(asciiUnless(b.international, clean(value))) {
		for len(word) > maxWord {
			cut := maxWord
			for !utf8.RuneStart(word[cut]) {
				cut--
			}
			b.h.Add(word[:cut])
			word = word[cut:]
		}
		b.h.Add(word)
	}
}

func (b *fieldWriter) mta(name string, m MTA) {
	if m.Name != "" {
		b.text(name, orDefault(m.Type, "dns")+"; "+m.Name+comment(m.Comment))
	}
}

func (b *fieldWriter) date(name string, t time.Time) {
	if !t.IsZero() {
		b.text(name, message.FormatDate(t))
	}
}

// address writes an address of type utf-8 as it is, or as utf-8-addr-xtext where
// only ASCII can go, RFC 6533 §3.
func (b *fieldWriter) address(name string, a smtp.OriginalRecipient) {
	if a.AddrType == "" {
		return
	}
	addr := clean(a.Address)
	if a.AddrType == "utf-8" && !b.international {
		addr = smtp.EncodeUTF8Addr(addr, false)
	}
	b.h.Field(name)
	b.h.Add(a.AddrType+";", asciiUnless(b.international, addr))
}

// clean makes text of one line that is UTF-8.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// asciiUnless writes characters beyond ASCII like \x{E9}, unless international is
// set.
func asciiUnless(international bool, s string) string {
	if international || lex.NonASCII.Index(s) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if r < utf8.RuneSelf {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\x{%02X}`, r)
		}
	}
	return b.String()
}

// comment returns text as a comment with a space before it, without what could end
// it.
func comment(s string) string {
	if s == "" {
		return ""
	}
	return " (" + strings.NewReplacer("(", "[", ")", "]", `\`, "/").Replace(s) + ")"
}

func orDefault(s, def string) string {
	if s == "" {
		return def
	}
	return s
}
