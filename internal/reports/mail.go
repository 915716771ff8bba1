package reports

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"mox/dns"
	"mox/internal/safefile"
	"mox/message"
	"mox/queue/queuedb"
	"mox/smtp"
)

// Kind is a kind of report.
type Kind string

// Kinds of reports.
const (
	KindDMARC Kind = "dmarc"
	KindTLS   Kind = "tls"
)

// extraKind is the key of the kind of report in the data that a message in the queue has.
const extraKind = "mox-report"

// KindOf returns which kind of report a message in the queue is, or an empty string for
// other messages.
func KindOf(base queuedb.Base) Kind {
	return Kind(base.Extra[extraKind])
}

// CountFailure counts a message in the queue that could not be delivered to a recipient,
// if it is a report.
func CountFailure(base queuedb.Base) {
	switch KindOf(base) {
	case KindDMARC:
		metricDMARCFailure.Inc()
	case KindTLS:
		metricTLSFailure.Inc()
	}
}

// postmaster is the localpart of the sender of reports.
const postmaster = "postmaster"

// mail is a message with a report.
type mail struct {
	kind    Kind
	id      string // Of the report, as in it.
	from    smtp.Address
	to      []smtp.Address
	subject string
	fields  [][2]string // Further header fields.
	sign    []string    // Names of fields to sign besides the usual ones.

	multipart   []string // Subtype and parameters.
	text        string
	contentType string // Of the file.
	filename    string
	file        []byte

	needSignature bool
	anyTLS        bool // Also without TLS, and whatever is wrong with it.
}

// errUnsigned means that a message that needs a DKIM signature has none.
var errUnsigned = errors.New("message could not be signed with dkim")

// send queues a message, in one transaction for each form that it must have: to addresses
// beyond ASCII, it can only be sent with SMTPUTF8 (RFC 6531), which not all servers of the
// others have.
func (s *Sender) send(ctx context.Context, m mail) error {
	for _, utf8 := range []bool{false, true} {
		var to []smtp.Address
		for _, a := range m.to {
			if a.Localpart.IsInternational() == utf8 {
				to = append(to, a)
			}
		}
		if len(to) == 0 {
			continue
		}
		key := fmt.Sprint(m.kind, " ", m.id, " ", utf8)
		if err := s.once(key, func() error { return s.enqueue(ctx, m, to, utf8) }); err != nil {
			return err
		}
	}
	return nil
}

// enqueue puts a message on stable storage.
func (s *Sender) enqueue(ctx context.Context, m mail, to []smtp.Address, utf8 bool) (rerr error) {
	spool := safefile.NewSpool(safefile.SpoolOptions{Dir: s.opts.TempDir})
	defer func() {
		if err := spool.Close(); err != nil && rerr == nil {
			s.log.ErrorContext(ctx, "removing temporary file of report", slog.Any("err", err))
		}
	}()
	messageID, err := m.compose(spool, to, utf8, time.Now())
	if err != nil {
		return err
	}
	prefix := s.opts.Sign.SignSystem(ctx, m.from.Domain, spool, spool.Size(), m.sign...)
	if len(prefix) == 0 && m.needSignature {
		return errUnsigned
	}
	sub := queuedb.Submission{
		Account: s.opts.Config.Snapshot().Postmaster().Account,
		Spool:   spool,
		Base: queuedb.Base{
			Prefix: prefix, MessageID: messageID, Subject: m.subject, SMTPUTF8: utf8, EightBit: utf8,
			Extra: map[string]string{extraKind: string(m.kind)},
		},
		MaxAttempts: maxAttempts,
		Bulk:        true,
		JumpFloor:   -1,
	}
	if m.anyTLS {
		sub.RequireTLS = new(bool)
	}
	for _, a := range to {
		// Addresses for reports are not read by people, and who operates this server did
		// not write the message.
		sub.Recipients = append(sub.Recipients, queuedb.Recipient{Sender: m.from.Path(), To: a.Path(), Notify: smtp.NotifyNever})
	}
	l, err := s.opts.Queue.Enqueue(ctx, sub)
	if err != nil {
		return fmt.Errorf("%w: queue report: %w", errTemporary, err)
	}
	if m.kind == KindTLS {
		metricTLSQueued.Inc()
	} else {
		metricDMARCQueued.Inc()
	}
	s.log.InfoContext(ctx, "report queued", slog.String("kind", string(m.kind)), slog.String("id", m.id),
		slog.Int64("msgid", l[0].ID), slog.Any("rcptto", to), slog.Int64("size", spool.Size()))
	return nil
}

// compose writes the message and returns its identifier, which is the same each time.
func (m mail) compose(w io.Writer, to []smtp.Address, utf8 bool, now time.Time) (string, error) {
	left, _, _ := strings.Cut(m.id, "@")
	if utf8 {
		left += ".utf8"
	}
	messageID := "<" + left + "@" + m.from.Domain.ASCII + ">"
	c := message.NewComposer(w, message.ComposeOptions{MaxSize: maxMessage, SMTPUTF8: utf8})
	c.Addresses("From", headerAddress(m.from, utf8))
	var l []message.Address
	for _, a := range to {
		l = append(l, headerAddress(a, utf8))
	}
	c.Addresses("To", l...)
	c.Header("Subject", m.subject)
	c.Field("Message-ID", messageID)
	c.Date(now)
	c.Field("Auto-Submitted", "auto-generated") // RFC 3834 §5
	for _, f := range m.fields {
		c.Field(f[0], f[1])
	}
	c.Multipart(m.multipart[0], m.multipart[1:]...)
	c.Part()
	c.Text("plain", m.text)
	c.Part()
	c.Attachment(m.contentType, m.filename, bytes.NewReader(m.file))
	if err := c.Close(); err != nil {
		return "", fmt.Errorf("compose report: %w", err)
	}
	return messageID, nil
}

func headerAddress(a smtp.Address, utf8 bool) message.Address {
	return message.Address{Mailbox: string(a.Localpart), Host: a.Domain.XName(utf8)}
}

// reportID returns an id for a report: a date, and letters that are the same whenever the
// report is made, at a domain. It is a dot-atom-text on both sides (RFC 9990 §3.5.1,
// RFC 8460 §5.3).
func reportID(begin time.Time, domain dns.Domain, about ...any) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%#v", append([]any{domain.ASCII, begin.Unix()}, about...)))
	unique := strings.ToLower(base32.StdEncoding.EncodeToString(sum[:10]))
	return begin.UTC().Format("20060102") + "." + unique + "@" + domain.ASCII
}

// uniqueID returns the letters of an id.
func uniqueID(id string) string {
	_, id, _ = strings.Cut(id, ".")
	id, _, _ = strings.Cut(id, "@")
	return id
}

// addressList collects addresses for a report.
type addressList struct {
	s  *Sender
	db Suppressor
	at time.Time
	l  []smtp.Address
}

// add adds an address, unless it is there, gets no reports, or there are enough.
func (l *addressList) add(ctx context.Context, a smtp.Address) error {
	if slices.Contains(l.l, a) || len(l.l) >= maxAddresses {
		return nil
	}
	// An operator may have written the domain in either form.
	for _, text := range []string{a.XString(true), a.XString(false)} {
		suppressed, err := l.db.IsSuppressed(ctx, text, l.at)
		if err != nil {
			return fmt.Errorf("%w: %w", errTemporary, err)
		}
		if suppressed {
			l.s.log.InfoContext(ctx, "no report to suppressed address", slog.Any("address", a))
			return nil
		}
	}
	l.l = append(l.l, a)
	return nil
}
