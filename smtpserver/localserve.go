package smtpserver

import (
	"context"
	"strconv"
	"strings"

	"mox/smtp"
)

// Addresses that simulate failures, for trying out how a program handles them, with
// Options.Localserve. The end of the local-part says which: "temperror" 451,
// "permerror" 550, "timeout" no reply for an hour, and three digits the reply with
// that code. Its start says when: "mailfrom" at MAIL, "rcptto" at RCPT, otherwise
// after the message. "queue" is for the queue to act on.

const (
	stageMail  = "mailfrom"
	stageRcpt  = "rcptto"
	stageQueue = "queue"
)

func (s *session) simulateMAIL(ctx context.Context, c smtp.MailCommand) error {
	return s.simulate(ctx, stageMail, c.ReversePath)
}

func (s *session) simulateRCPT(ctx context.Context, t *transaction, rcpt smtp.Path) error {
	return s.simulate(ctx, stageRcpt, rcpt, t.mail.ReversePath)
}

func (s *session) simulateDATA(ctx context.Context, t *transaction) error {
	paths := make([]smtp.Path, 0, len(t.recipients)+1)
	for _, r := range t.recipients {
		paths = append(paths, r.path)
	}
	return s.simulate(ctx, "", append(paths, t.mail.ReversePath)...)
}

// simulate fails as the first of paths says that is for this stage.
func (s *session) simulate(ctx context.Context, stage string, paths ...smtp.Path) error {
	if !s.srv.opts.Localserve {
		return nil
	}
	for _, p := range paths {
		at, code := simulation(string(p.Localpart))
		if code == 0 || at != stage {
			continue
		}
		if code == codeHang {
			if sleep(s.conn.ctx, hangTime) != nil || ctx.Err() != nil {
				return errShuttingDown
			}
			return smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se42BadConnection, "simulated timeout")
		}
		return smtp.Errorf(code, smtp.Se00Other, "simulated failure, as the address asks for")
	}
	return nil
}

// codeHang stands for no reply.
const codeHang = -1

// simulation returns what a local-part asks for: when, and the code of a reply. The
// code is zero for none.
func simulation(localpart string) (stage string, code int) {
	l := strings.ToLower(localpart)
	for _, s := range []string{stageMail, stageRcpt, stageQueue} {
		if strings.HasPrefix(l, s) {
			stage = s
		}
	}
	switch {
	case strings.HasSuffix(l, "temperror"):
		return stage, smtp.C451LocalError
	case strings.HasSuffix(l, "permerror"):
		return stage, smtp.C550MailboxUnavailable
	case strings.HasSuffix(l, "timeout"):
		return stage, codeHang
	case len(l) < 3:
		return "", 0
	}
	code, err := strconv.Atoi(l[len(l)-3:])
	if err != nil || code < 400 || code > 599 {
		return "", 0
	}
	return stage, code
}
