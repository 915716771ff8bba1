package smtpserver

import "time"

// penalize puts a client in slow mode: it has done something that only those do
// who abuse us, and waits for everything from now on.
func (s *session) penalize() {
	if !s.exempt {
		s.conn.slow = true
	}
}

// delay makes the client wait. What it was told before is sent first. The caller
// must not hold anything others need.
func (s *session) delay(d time.Duration) error {
	if s.exempt || d <= 0 {
		return nil
	}
	if err := s.conn.flush(); err != nil {
		return connectionError(err)
	}
	if sleep(s.conn.ctx, d) != nil {
		return errShuttingDown
	}
	return nil
}

// holdBack makes a client wait for the reply to a message of a sender that is not known,
// which those notice who send to millions. The message is stored already, and nothing of
// it is held: who does not wait has sent it all the same, and when the server stops the
// reply comes at once.
func (s *session) holdBack() error {
	if s.exempt || s.lis.FirstTimeSenderDelay <= 0 {
		return nil
	}
	if err := s.conn.hold(s.lis.FirstTimeSenderDelay); err != nil {
		return connectionError(err)
	}
	return nil
}

// unknownRecipientDelay is the delay before the next reply about an unknown
// recipient.
func unknownRecipientDelay(n int) time.Duration {
	return min(time.Duration(n)*unknownDelay, maxUnknownDelay)
}
