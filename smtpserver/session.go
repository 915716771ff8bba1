package smtpserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"mox/internal/metrics"
	"mox/internal/ratelimit"
	"mox/mlog"
	"mox/smtp"
)

// session is the service of one connection.
type session struct {
	// For as long as the connection.
	srv      *Server
	lis      *listener
	conn     *conn
	cid      int64
	id       string // The connection id for the remote, encrypted.
	log      *slog.Logger
	remoteIP netip.Addr // Not valid for a connection without IP.
	localIP  netip.Addr
	exempt   bool // From limits and delays.
	entered  bool // Counts for the limit of the server.
	acquired bool // Counts as an open connection of its network.
	start    time.Time
	tls      *tls.ConnectionState // Nil without TLS.
	login    *login               // Nil if the client has not logged in.
	counts   counts

	// clientName waits for the name of the client's address. Nil until needed.
	clientName func() string

	// Since the last EHLO or HELO; zero before it.
	hello hello

	// Nil outside of a mail transaction.
	txn *transaction

	// After a BDAT that has failed: those that the client had sent already are skipped.
	skipping bool
	skipped  int // RCPT commands that the message had, for LMTP.

	transactions int // How many there were.

	// For the current command.
	utf8  bool       // The reply can have UTF-8.
	last  smtp.Reply // As written.
	ended bool       // The connection is closed after the reply.
}

// counts is what a client is judged by.
type counts struct {
	commands     int   // All, for the log and to know the first.
	junk         int   // Commands that led nowhere, see maxJunkCommands.
	errors       int   // See maxErrors.
	skipped      int64 // Octets of chunks that were read for nothing.
	authFailures int
	unknown      int // Unknown recipients.
	known        int // Known recipients.
	good, bad    int // Transactions.
}

// newSession returns nil if the connection is not to be served, and has closed it
// then.
func (s *Server) newSession(lis *listener, nc net.Conn) *session {
	ss := &session{
		srv:      s,
		lis:      lis,
		cid:      s.opts.Cids.Next(),
		remoteIP: ratelimit.RemoteIP(nc.RemoteAddr()),
		localIP:  ratelimit.RemoteIP(nc.LocalAddr()),
		start:    time.Now(),
	}
	ss.id = s.opts.CidCipher.Encode(ss.cid)
	ss.exempt = lis.Kind == LMTP || contains(lis.Limits.Exempt, ss.remoteIP)
	ss.log = mlog.WithCidLogger(s.log, ss.cid)
	ss.conn = newConn(mlog.WithCid(s.waitCtx, ss.cid), ss.log, s.bufs, nc)
	if tc := ss.conn.tls; tc != nil {
		cs := tc.ConnectionState()
		if lis.noClientCert {
			cs.PeerCertificates, cs.VerifiedChains = nil, nil
		}
		ss.tls = &cs
	}
	if !s.addSession(ss) {
		ss.refuse(errShuttingDown)
		return nil
	}
	return ss
}

// refuse closes a connection that is not served. The client is told why, unless
// that would take a handshake.
func (s *session) refuse(err *smtp.Error) {
	s.log.Debug("connection refused", mlog.Err(err), mlog.IP("remote", s.remoteIP), slog.String("listener", s.lis.Name))
	if s.tls != nil || !s.lis.ImmediateTLS {
		_ = s.conn.raw.SetWriteDeadline(time.Now().Add(closeTimeout))
		_, _ = s.conn.c.Write(s.errorReply(err).Append(nil, false))
	}
	s.conn.close(false)
}

// begin decides whether a connection is served, before any work is done for it. If it
// returns true, serve must be called; otherwise the connection is closed. Who connects
// through a proxy is not known yet.
func (s *session) begin() bool {
	err := s.srv.enter(s)
	if err == nil && !contains(s.lis.Proxies, s.remoteIP) {
		err = s.srv.admit(s)
	}
	if err == nil {
		return true
	}
	s.refuse(err)
	s.srv.leave(s)
	s.srv.removeSession(s)
	return false
}

// serve serves the connection until it is closed. A panic ends the connection and
// nothing else.
func (s *session) serve() {
	defer s.srv.removeSession(s)
	defer s.recovered()
	defer s.srv.leave(s)
	if contains(s.lis.Proxies, s.remoteIP) && !s.beginProxied() {
		return
	}
	metricConnection.WithLabelValues(s.lis.Kind.String()).Inc()
	metrics.ConnectionOpened(s.lis.Kind.String(), s.lis.Name)
	defer metrics.ConnectionClosed(s.lis.Kind.String(), s.lis.Name)
	s.log.Info("new connection", mlog.IP("remote", s.remoteIP), mlog.IP("local", s.localIP),
		slog.String("listener", s.lis.Name), slog.String("kind", s.lis.Kind.String()), slog.Bool("tls", s.lis.ImmediateTLS))
	defer s.drop()
	defer func() {
		if s.login != nil && s.login.unwatch != nil {
			s.login.unwatch()
		}
	}()
	err := s.run(mlog.WithCid(s.srv.ctx, s.cid))
	s.conn.close(err == nil)
	// What goes wrong with a connection is nothing that an operator must look at.
	s.log.Log(s.conn.ctx, min(mlog.ErrLevel(err), slog.LevelInfo), "connection closed", mlog.Err(err),
		slog.Int("commands", s.counts.commands), slog.Int("messages", s.counts.good), slog.Duration("duration", time.Since(s.start)))
}

// recovered ends the connection after a panic.
func (s *session) recovered() {
	x := recover()
	if x == nil {
		return
	}
	metrics.Panic(pkg)
	s.log.Error("unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
	if s.close(smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se30SystemOther, "local error in processing")) == nil {
		_ = s.conn.flush() // It may be beyond help.
	}
	s.conn.close(false)
}

// run greets the client and executes commands. It returns an error if the
// connection was not closed in an orderly way.
func (s *session) run(ctx context.Context) error {
	if s.lis.ImmediateTLS {
		if err := s.handshake(); err != nil {
			return fmt.Errorf("tls handshake: %w", err)
		}
	}
	greeting := smtp.Reply{Code: smtp.C220ServiceReady, Text: s.lis.Hostname.ASCII + " " + s.lis.Kind.greeting() + " mox"}
	if err := s.reply(greeting); err != nil {
		return err
	}
	for !s.ended {
		if err := s.next(ctx); err != nil {
			return err
		}
	}
	return s.conn.flush()
}

// stop ends a session that was interrupted.
func (s *session) stop() error {
	if s.conn.isRevoked() {
		return s.close(errRevoked)
	}
	return s.close(errShuttingDown)
}

// next reads one command and executes it. Only errors of the connection are
// returned.
func (s *session) next(ctx context.Context) error {
	line, err := s.conn.readLine(maxCommandLine, s.srv.commandTimeout())
	switch {
	case errors.Is(err, errStopping):
		return s.stop()
	case errors.Is(err, errLineTooLong):
		return s.close(smtp.Errorf(smtp.C500BadSyntax, smtp.Se52Syntax, "line longer than %d octets", maxCommandLine))
	case isTimeout(err):
		return s.close(smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se42BadConnection, "no command received in time"))
	case err != nil && !errors.Is(err, errBareLF):
		return err
	}
	if s.conn.stopping() {
		return s.stop()
	}
	s.counts.commands++
	start := time.Now()
	s.last = smtp.Reply{}
	cmd, reply := s.dispatch(ctx, line, err)
	err = nil
	if reply.Code != 0 { // Otherwise it has replied itself, or the connection is gone.
		err = s.reply(reply)
	}
	metricCommands.WithLabelValues(s.lis.Kind.String(), cmd.name, codeLabel(s.last.Code), s.last.Enhanced).Observe(time.Since(start).Seconds())
	if err == nil && cmd.flags&lastInPipeline != 0 {
		err = s.conn.flush()
	}
	return err
}

// dispatch checks a line, executes its command, and returns the command and the
// reply. Here alone an error becomes a reply.
func (s *session) dispatch(ctx context.Context, line []byte, lineErr error) (*command, smtp.Reply) {
	s.utf8 = s.txn != nil && s.txn.mail.SMTPUTF8
	cmd, args, err := s.lookup(line, lineErr)
	s.trace(cmd, line)
	if e := s.affordable(cmd); e != nil {
		err = e
	}
	if err == nil {
		err = s.allowed(cmd)
	}
	var reply smtp.Reply
	switch {
	case err == nil:
		reply, err = cmd.run(ctx, s, args)
	case cmd.flags&hasChunk != 0:
		reply, err = s.refuseChunk(args, err)
	}
	s.count(cmd, err)
	if err == nil {
		return cmd, reply
	}
	e := replyError(err)
	if e.Code == smtp.C421ServiceUnavailable {
		s.ended = true
	}
	s.logError(cmd, e, err)
	if errors.Is(err, errConnection) {
		s.ended = true
		return cmd, smtp.Reply{}
	}
	return cmd, s.errorReply(e)
}

// close makes an error the last reply.
func (s *session) close(e *smtp.Error) error {
	s.ended = true
	return s.reply(s.errorReply(e))
}

// errorReply returns the reply for an error, with the connection id that a user
// can give to the operator.
func (s *session) errorReply(e *smtp.Error) smtp.Reply {
	r := e.Reply()
	r.Text += " (" + s.id + ")"
	return r
}

// reply is the only place where replies are written. They are sent when the client
// has to wait for them.
func (s *session) reply(r smtp.Reply) error {
	s.last = r
	return s.conn.write(r.Append(nil, s.utf8))
}

// replyNow writes a reply that the client waits for in the middle of a command.
func (s *session) replyNow(r smtp.Reply) error {
	if err := s.reply(r); err != nil {
		return connectionError(err)
	}
	if err := s.conn.flush(); err != nil {
		return connectionError(err)
	}
	return nil
}

// trace writes a command to the transcript, without what must not be in a log.
func (s *session) trace(cmd *command, line []byte) {
	if cmd.flags&noLogArgs == 0 || len(line) <= len(cmd.name) {
		mlog.Trace(s.conn.ctx, s.log, mlog.LevelTrace, "RC: ", line)
		return
	}
	mlog.Trace(s.conn.ctx, s.log, mlog.LevelTrace, "RC: ", line[:len(cmd.name)])
	mlog.Trace(s.conn.ctx, s.log, mlog.LevelTraceauth, "RC: ", line[len(cmd.name):])
}

func (s *session) logError(cmd *command, e *smtp.Error, err error) {
	level := slog.LevelDebug
	switch {
	case errors.Is(err, errUnknownRecipient): // Has a line of its own.
	case e.Cause != nil && (e.Code == smtp.C451LocalError || e.Code == smtp.C454TempAuthFailure):
		level = mlog.ErrLevel(e.Cause)
	case cmd.flags&budgeted == 0:
		level = slog.LevelInfo
	}
	s.log.Log(s.conn.ctx, level, "command failed", slog.String("cmd", cmd.name), slog.Int("code", e.Code),
		slog.String("ecode", e.Enhanced), mlog.Err(err))
}

// isTimeout reports whether a deadline has passed.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}
