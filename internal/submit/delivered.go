package submit

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"mox/config"
	"mox/dsn"
	"mox/internal/safefile"
	"mox/message"
	"mox/smtp"
)

// Delivered is what the sender of a message is told who has asked for it with
// NOTIFY=SUCCESS, RFC 3461 §4.1: that it was delivered here.
type Delivered struct {
	Mail       smtp.MailCommand // The reverse-path must not be null.
	Recipients []DeliveredRecipient
	From       string          // Host that the message came from, or empty.
	Spool      *safefile.Spool // The message.
	Arrived    time.Time
}

// DeliveredRecipient is a recipient that a message was delivered to. Expanded says that
// it is an alias with several members, to which it was delivered (RFC 3461 §5.2.7.3).
type DeliveredRecipient struct {
	smtp.RcptCommand
	Expanded bool
}

// NotifyDelivered queues a notification. It is for the account of the postmaster that
// it is queued, and it has the null reverse-path. Errors are as those of Submit.
func (s *Submitter) NotifyDelivered(ctx context.Context, d Delivered) error {
	conf := s.opts.Config.Snapshot()
	h, err := message.ReadHeader(d.Spool, d.Spool.Size(), message.Limits{Header: noticeHeader})
	if err != nil {
		return queueError(fmt.Errorf("read header: %w", err))
	}
	return s.Notify(ctx, d.message(conf, &h), d.Mail.SMTPUTF8)
}

// message returns the notification.
func (d Delivered) message(conf *config.Snapshot, h *message.Header) dsn.Message {
	text := "Your message was delivered to:\n\n"
	report := dsn.Report{
		OriginalEnvelopeID: d.Mail.EnvID,
		ReportingMTA:       dsn.MTA{Name: conf.Hostname.ASCII},
		ReceivedFromMTA:    dsn.MTA{Name: d.From},
		ArrivalDate:        d.Arrived,
	}
	for _, r := range d.Recipients {
		action, what := dsn.Delivered, ""
		if r.Expanded {
			action, what = dsn.Expanded, " (the members of this address)"
		}
		text += "    " + r.ForwardPath.XString(true) + what + "\n"
		report.Recipients = append(report.Recipients, dsn.Recipient{
			Original: r.OriginalRecipient,
			Final:    dsn.Address(r.ForwardPath),
			Action:   action,
			Status:   "2.0.0",
		})
	}
	if subject := strings.Join(strings.Fields(h.Text("Subject")), " "); subject != "" {
		text += "\nSubject of your message: " + subject + "\n"
	}
	return dsn.Message{
		From:      smtp.NewAddress("postmaster", conf.Hostname),
		To:        d.Mail.ReversePath,
		Subject:   "mail was delivered",
		MessageID: "<" + rand.Text() + "@" + conf.Hostname.ASCII + ">",
		Date:      time.Now(),
		InReplyTo: strings.TrimSpace(h.Value("Message-Id")),
		Text:      text + "\nMail server at " + conf.Hostname.Name() + "\n",
		Report:    report,
		Header:    h.Raw,
	}
}
