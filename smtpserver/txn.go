package smtpserver

import (
	"mox/config"
	"mox/smtp"
	"mox/spf"
)

// transaction is a mail transaction: from an accepted MAIL to the end of DATA,
// RSET, EHLO or QUIT.
type transaction struct {
	mail       smtp.MailCommand
	number     int // In the connection.
	traced     traced
	commands   int // RCPT commands, accepted or not.
	recipients []recipient
	accepted   []smtp.Path // For each RCPT that was accepted, also of a recipient named before.
	outcomes   []outcome   // For LMTP, once the message was delivered.
	refused    int         // RCPT commands that failed.
	body       *body       // Nil before DATA or BDAT.
	stranger   bool        // It was accepted for someone who knows nothing of the sender.

	// spf is whether the client may use the reverse-path. Nil until it is needed, and for
	// the null reverse-path.
	spf *spf.Result
}

// recipient is an accepted RCPT.
type recipient struct {
	path smtp.Path
	to   config.Recipient // Zero at a submission listener, and for a bounce.

	// bounce is who has sent the message that one to this address is about, if it is a
	// reverse-path of a message that was forwarded.
	bounce smtp.Address

	// What the client wants to be told, RFC 3461 §4.1 and §4.2.
	notify   smtp.Notify
	original smtp.OriginalRecipient
}

// command returns the recipient as a client gives it.
func (r recipient) command() smtp.RcptCommand {
	return smtp.RcptCommand{ForwardPath: r.path, Notify: r.notify, OriginalRecipient: r.original}
}

// paths returns all addresses of the transaction.
func (t *transaction) paths() []smtp.Path {
	l := []smtp.Path{t.mail.ReversePath}
	for _, r := range t.recipients {
		l = append(l, r.path)
	}
	return l
}

// has reports whether a path is a recipient already.
func (t *transaction) has(p smtp.Path) bool {
	for _, r := range t.recipients {
		if r.path.Equal(p) {
			return true
		}
	}
	return false
}

// members returns how many members the aliases have that are recipients.
func (t *transaction) members() int {
	n := 0
	for _, r := range t.recipients {
		if r.to.Alias != nil {
			n += len(r.to.Alias.Members)
		}
	}
	return n
}

// abandon ends a transaction without a message. It was a bad one if the client
// asked for recipients and got none.
func (s *session) abandon() {
	if s.txn != nil && len(s.txn.recipients) == 0 && s.txn.refused > 0 {
		s.counts.bad++
	}
	s.drop()
	s.skipping = false
}

// drop ends a transaction, and removes what was received of its message.
func (s *session) drop() {
	s.closeBody(s.txn)
	s.txn = nil
}

// finish ends a transaction with a message, which consumes it whatever the outcome
// (RFC 5321 §4.1.1.4). A failure that may pass does not make it a bad one.
func (s *session) finish(err error) {
	s.drop()
	switch {
	case err == nil:
		s.counts.good++
		s.progress()
	case replyError(err).Permanent():
		s.counts.bad++
	}
}
