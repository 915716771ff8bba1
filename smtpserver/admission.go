package smtpserver

import (
	"net/netip"
	"time"

	"mox/internal/safefile"
	"mox/smtp"
)

// exempt reports whether an address has no limits and delays at this listener.
func (l *listener) exempt(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range l.Limits.Exempt {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// admit decides whether a new connection is served, before any work is done for
// it, the TLS handshake included. If it returns nil, leave must be called when the
// connection is closed.
func (s *Server) admit(ss *session) *smtp.Error {
	reason, err := s.refusal(ss)
	if err != nil {
		metricRefused.WithLabelValues(ss.lis.Kind.String(), reason).Inc()
	}
	return err
}

// refusal is admit, with a reason for the metric.
func (s *Server) refusal(ss *session) (reason string, err *smtp.Error) {
	l, ip := ss.lis, ss.remoteIP
	refuse := func(format string) *smtp.Error {
		return smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se70SecurityOther, "%s", format)
	}
	if l.rate != nil && !l.rate.Add(ip, time.Now(), 1) {
		return "rate", refuse("too many connections in a short time from your network, try again later")
	}
	if l.Kind == Submission && !l.Auth.Allowed(ip) {
		return "auth", refuse("too many failed logins from your network, try again later")
	}
	if l.open != nil && !l.open.Acquire(ip) {
		return "open", refuse("too many open connections from your network")
	}
	if !ss.exempt && s.conns.Add(1) > int64(s.opts.MaxConnections) {
		s.leave(ss)
		return "full", smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se32NotAccepting, "too many open connections, try again later")
	}
	return "", nil
}

// leave takes back what admit counted.
func (s *Server) leave(ss *session) {
	if ss.lis.open != nil {
		ss.lis.open.Release(ss.remoteIP)
	}
	if !ss.exempt {
		s.conns.Add(-1)
	}
}

// commandTimeout is the time that clients have for the next command. It is long, as
// RFC 5321 §4.5.3.2.7 wants, unless the server is nearly full.
func (s *Server) commandTimeout() time.Duration {
	if s.conns.Load() > int64(s.opts.MaxConnections)*3/4 {
		return busyCommandTimeout
	}
	return commandTimeout
}

// spoolMemory returns how much of one more message is kept in memory, and counts the
// message until closeBody.
func (s *Server) spoolMemory() int {
	if s.receiving.Add(1) > fullSpools {
		return smallSpoolMemory
	}
	return safefile.SpoolMemory
}
