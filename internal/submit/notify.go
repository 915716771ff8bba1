package submit

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"mox/dsn"
	"mox/internal/safefile"
	"mox/message"
	"mox/queue/queuedb"
	"mox/smtp"
)

const (
	// noticeHeader is how much of the header of a message is returned, in octets.
	noticeHeader = 32 << 10

	// noticeMemory is for composing a notification, which does not need a file. With
	// 1000 recipients of the greatest length it has some 700 KB, and one that returns a
	// message a little more than 1 MiB.
	noticeMemory = 4 << 20
)

// Notify queues a notification for the sender of a message elsewhere, signed, with the
// null reverse-path, for the account of the postmaster. When the error is nil, it is on
// stable storage. Errors are as those of Submit.
func (s *Submitter) Notify(ctx context.Context, m dsn.Message, utf8 bool) error {
	var b bytes.Buffer
	if err := m.Compose(&b, dsn.ComposeOptions{UTF8: utf8}); err != nil {
		return queueError(err)
	}
	spool := safefile.NewSpool(safefile.SpoolOptions{Memory: noticeMemory})
	defer spool.Close() // Without a file.
	if _, err := spool.Write(b.Bytes()); err != nil {
		return queueError(err)
	}
	utf8 = utf8 && bytes.ContainsFunc(b.Bytes(), func(r rune) bool { return r > 0x7f })
	l, err := s.opts.Queue.Enqueue(ctx, queuedb.Submission{
		Account:    s.opts.Config.Snapshot().Postmaster().Account,
		Recipients: []queuedb.Recipient{{To: m.To, Notify: smtp.NotifyNever}},
		Spool:      spool,
		JumpFloor:  -1,
		Base: queuedb.Base{
			Prefix:    s.SignSystem(ctx, m.From.Domain, spool, spool.Size()),
			MessageID: m.MessageID, Subject: m.Subject, SMTPUTF8: utf8, EightBit: utf8,
		},
	})
	if err != nil {
		return queueError(err)
	}
	s.log.InfoContext(ctx, "notification queued", slog.Int64("msgid", l[0].ID), slog.Any("rcptto", m.To), slog.String("subject", m.Subject))
	s.kick()
	return nil
}

// Failed is what a sender is told of a message that some of its recipients have got and
// others have not, RFC 5321 §4.2.5.
type Failed struct {
	Mail       smtp.MailCommand  // The reverse-path must not be null.
	Recipients []FailedRecipient // At least one.
	From       string            // Host that the message came from, or empty.
	Spool      *safefile.Spool   // The message.
	Arrived    time.Time
}

// FailedRecipient is a recipient that did not get a message.
type FailedRecipient struct {
	smtp.RcptCommand
	Err *smtp.Error
}

// NotifyFailure queues one notification about all recipients of which the sender wants to
// be told, with the header of the message. Errors are as those of Submit.
func (s *Submitter) NotifyFailure(ctx context.Context, f Failed) error {
	h, err := message.ReadHeader(f.Spool, f.Spool.Size(), message.Limits{Header: noticeHeader})
	if err != nil {
		return queueError(fmt.Errorf("read header: %w", err))
	}
	conf := s.opts.Config.Snapshot()
	text := "Your message could not be delivered to:\n\n"
	report := dsn.Report{
		OriginalEnvelopeID: f.Mail.EnvID,
		ReportingMTA:       dsn.MTA{Name: conf.Hostname.ASCII},
		ReceivedFromMTA:    dsn.MTA{Name: f.From},
		ArrivalDate:        f.Arrived,
	}
	for _, r := range f.Recipients {
		if r.Notify != 0 && r.Notify&smtp.NotifyFailure == 0 {
			continue // RFC 3461 §4.1
		}
		text += "    " + r.ForwardPath.XString(true) + "\n        " + strings.ReplaceAll(r.Err.Error(), "\n", "\n        ") + "\n"
		report.Recipients = append(report.Recipients, dsn.Recipient{
			Original:       r.OriginalRecipient,
			Final:          dsn.Address(r.ForwardPath),
			Action:         dsn.Failed,
			Status:         dsn.Status(true, r.Err.Code, r.Err.Enhanced),
			DiagnosticType: "smtp",
			Diagnostic:     r.Err.Error(),
		})
	}
	if len(report.Recipients) == 0 {
		return nil
	}
	text += "\nThe other recipients have it. No further attempts will be made for these.\n"
	if subject := strings.Join(strings.Fields(h.Text("Subject")), " "); subject != "" {
		text += "\nSubject of your message: " + subject + "\n"
	}
	return s.Notify(ctx, dsn.Message{
		From:      smtp.NewAddress("postmaster", conf.Hostname),
		To:        f.Mail.ReversePath,
		Subject:   "mail delivery failed",
		MessageID: "<" + rand.Text() + "@" + conf.Hostname.ASCII + ">",
		Date:      time.Now(),
		InReplyTo: strings.TrimSpace(h.Value("Message-Id")),
		Text:      text + "\nMail server at " + conf.Hostname.Name() + "\n",
		Report:    report,
		Header:    h.Raw,
	}, f.Mail.SMTPUTF8)
}
