package smtpserver

import (
	"context"
	"errors"
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

func (s *session) simulateMAIL(_ context.Context, c smtp.MailCommand) error {
	return s.simulate(stageMail, c.ReversePath)
}

func (s *session) simulateRCPT(t *transaction, rcpt smtp.Path) error {
	return s.simulate(stageRcpt, rcpt, t.mail.ReversePath)
}

// errSimulated says that a message is not to be delivered, because of simulateDATA.
var errSimulated = errors.New("simulated failure")

func (s *session) simulatesDATA(t *transaction) bool {
	return s.simulated("", t.paths()...) != 0
}

func (s *session) simulateDATA(t *transaction) error {
	return s.simulate("", t.paths()...)
}

// simulated returns the code that the first of paths asks for at this stage, zero
// for none.
func (s *session) simulated(stage string, paths ...smtp.Path) int {
	if !s.srv.opts.Localserve {
		return 0
	}
	for _, p := range paths {
		if at, code := simulation(string(p.Localpart)); code != 0 && at == stage {
			return code
		}
	}
	return 0
}

// simulate fails as the first of paths asks for at this stage.
func (s *session) simulate(stage string, paths ...smtp.Path) error {
	switch code := s.simulated(stage, paths...); code {
	case 0:
		return nil
	case codeHang:
		if sleep(s.conn.ctx, hangTime) != nil {
			return errShuttingDown
		}
		return smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se42BadConnection, "simulated timeout")
	default:
		return smtp.Errorf(code, smtp.Se00Other, "simulated failure, as the address asks for")
	}
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
