package smtpserver

import (
	"log/slog"
	"net/netip"
	"time"

	"mox/internal/identity"
	"mox/internal/safefile"
	"mox/mlog"
	"mox/smtp"
)

// contains reports whether an address is in one of the networks.
func contains(networks []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range networks {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// enter counts a connection against the limit of the server, unless it is from an
// exempt network. leave must be called when the connection is closed, also after an
// error.
func (s *Server) enter(ss *session) *smtp.Error {
	if ss.exempt && ss.lis.Kind != LMTP {
		return nil
	}
	ss.entered = true
	if n := s.conns.Add(1); s.opts.MaxConnections > 0 && n > int64(s.opts.MaxConnections) {
		metricRefused.WithLabelValues(ss.lis.Kind.String(), "full").Inc()
		return smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se32NotAccepting, "too many open connections, try again later")
	}
	return nil
}

// admit decides whether a new connection is served, by what its network does, before
// any work is done for it, the TLS handshake included.
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
		identity.CountRefused(l.Kind.String())
		return "auth", refuse("too many failed logins from your network, try again later")
	}
	if l.open != nil && !l.open.Acquire(ip) {
		return "open", refuse("too many open connections from your network")
	}
	ss.acquired = true
	return "", nil
}

// leave takes back what enter and admit counted.
func (s *Server) leave(ss *session) {
	if ss.acquired && ss.lis.open != nil {
		ss.lis.open.Release(ss.remoteIP)
	}
	if ss.entered {
		s.conns.Add(-1)
	}
	ss.acquired, ss.entered = false, false
}

// beginProxied learns from the proxy who the client is, and decides whether it is
// served. If it returns false, the connection is closed.
func (s *session) beginProxied() bool {
	h, err := s.conn.readProxyHeader()
	if err != nil {
		metricRefused.WithLabelValues(s.lis.Kind.String(), "proxy").Inc()
		s.log.Info("connection without proxy header", mlog.Err(err), mlog.IP("remote", s.remoteIP), slog.String("listener", s.lis.Name))
		s.conn.close(false)
		return false
	}
	if !h.Local {
		s.remoteIP, s.localIP = h.Source.Addr(), h.Destination.Addr()
		s.exempt = contains(s.lis.Limits.Exempt, s.remoteIP)
	}
	if s.exempt && s.entered {
		s.entered = false
		s.srv.conns.Add(-1)
	}
	rerr := s.srv.admit(s)
	if rerr == nil && !s.exempt && !s.entered { // Only the proxy is exempt.
		rerr = s.srv.enter(s)
	}
	if rerr != nil {
		s.refuse(rerr)
		return false
	}
	return true
}

// commandTimeout is the time that clients have for the next command. It is long, as
// RFC 5321 §4.5.3.2.7 wants, unless the server is nearly full.
func (s *Server) commandTimeout() time.Duration {
	if n := int64(s.opts.MaxConnections); n > 0 && s.conns.Load() > n*3/4 {
		return busyCommandTimeout
	}
	return commandTimeout
}

// spoolMemory returns how much of one more message is kept in memory, and counts the
// message until closeBody.
func (s *Server) spoolMemory() int {
	if s.receiving.Add(1); s.crowded() {
		return smallSpoolMemory
	}
	return safefile.SpoolMemory
}

// crowded reports whether so many messages are being received that each further one
// has little memory.
func (s *Server) crowded() bool {
	return s.receiving.Load() > fullSpools
}
