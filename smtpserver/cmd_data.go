package smtpserver

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"time"

	"mox/internal/inbound"
	"mox/internal/safefile"
	"mox/message"
	"mox/mlog"
	"mox/smtp"
)

// DATA, RFC 5321 §4.1.1.4. The message goes from the connection into a spool, which
// is in memory while it is small. The end of the data is CRLF "." CRLF and nothing
// else; what another server might take for the end makes the message bad (see
// smtp.DataReader), but is read to its true end, so that nothing in it can become a
// command.

// incoming is a message that has been received.
type incoming struct {
	spool  *safefile.Spool
	size   int64
	digest message.Digest // Of what the client sent, less what was removed.
	auth   *inbound.Auth  // Nil if nobody looked.
	facts  inbound.Facts  // For all recipients.
	trace  []byte         // What we put in front, but for the fields of a recipient.
	time   time.Time
}

// body is the content of a transaction while it is received.
type body struct {
	spool  *safefile.Spool
	lines  lines     // For BDAT.
	chunks int       // BDAT commands.
	until  time.Time // When all of it must have been received.
}

// newBody returns a body, and begins what can be done while it is received.
func (s *session) newBody(ctx context.Context) *body {
	s.lookupClientName(ctx)
	spool := s.newSpool()
	return &body{
		spool: spool,
		lines: lines{w: spool, binary: s.txn.mail.Body == smtp.BodyBinaryMIME, last: '\n'},
		until: time.Now().Add(transferTimeout),
	}
}

func (s *session) newSpool() *safefile.Spool {
	return safefile.NewSpool(safefile.SpoolOptions{Dir: s.srv.opts.TempDir, FS: s.srv.opts.FS, Memory: s.srv.spoolMemory()})
}

func runDATA(ctx context.Context, s *session, t *transaction, _ struct{}) (smtp.Reply, error) {
	badSequence := func(text string) error {
		return smtp.Errorf(smtp.C503BadSequence, smtp.Se51InvalidCommand, "%s", text)
	}
	switch {
	case len(t.recipients) == 0:
		return smtp.Reply{}, badSequence("no valid recipients")
	case t.body != nil:
		return smtp.Reply{}, badSequence("DATA cannot follow BDAT in a transaction")
	case t.mail.Body == smtp.BodyBinaryMIME:
		return smtp.Reply{}, badSequence("DATA is not possible with BODY=BINARYMIME, use BDAT")
	}
	start := smtp.Reply{Code: smtp.C354StartMailInput, Text: "continue, end with a line with a dot"}
	if err := s.replyNow(start); err != nil {
		return smtp.Reply{}, err
	}
	t.body = s.newBody(ctx)
	return s.complete(ctx, t, s.readMessage(t.body))
}

// complete gives a message that has been received to who is responsible from then
// on, unless it was received with an error, and ends the transaction.
func (s *session) complete(ctx context.Context, t *transaction, err error) (smtp.Reply, error) {
	if s.lis.Kind == LMTP && len(t.accepted) > 0 {
		return s.completeEach(ctx, t, err)
	}
	if err == nil {
		err = s.process(ctx, t)
	}
	s.closeBody(t)
	if errors.Is(err, errSimulated) {
		err = s.simulateDATA(t)
		if s.lis.Kind == Submission {
			metricSubmission.WithLabelValues("localserveerror").Inc()
		}
	}
	s.traceRefused(ctx, t, err)
	stranger := t.stranger
	s.finish(err)
	if err == nil && stranger {
		err = s.holdBack()
	}
	if err != nil {
		return smtp.Reply{}, err
	}
	return ok(smtp.C250Completed, smtp.Se20MailboxOther, "message accepted ("+s.id+")")
}

// prepare finds out what is known of a message that was received.
func (s *session) prepare(ctx context.Context, t *transaction) (*incoming, error) {
	name := s.lookupClientName(ctx)
	m := &incoming{spool: t.body.spool, size: t.body.spool.Size(), time: time.Now()}
	if s.simulatesDATA(t) {
		return nil, errSimulated // To be done without the spool.
	}
	if err := s.authenticate(ctx, t, m); err != nil {
		return nil, err
	}
	if err := s.inspect(t, m); err != nil {
		return nil, err
	}
	m.trace = s.receivedField(t, m.time, name())
	if m.auth != nil {
		m.trace = append([]byte(m.auth.Header()), m.trace...)
	}
	m.facts = s.commonFacts(t, m)
	s.traceReceived(ctx, t, m, name())
	return m, nil
}

// process gives a message to who is responsible from then on.
func (s *session) process(ctx context.Context, t *transaction) error {
	m, err := s.prepare(ctx, t)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	ctx = s.traceContext(ctx, t)
	if s.lis.Kind == Submission {
		return s.submit(ctx, t, m)
	}
	return s.receive(ctx, t, m)
}

// closeBody removes what has been received of a message.
func (s *session) closeBody(t *transaction) {
	if t == nil || t.body == nil {
		return
	}
	if err := t.body.spool.Close(); err != nil {
		s.log.Error("removing temporary file of message", mlog.Err(err))
	}
	s.srv.receiving.Add(-1)
	t.body = nil
}

// readMessage reads the data to its end. If that is not possible, the connection
// ends.
func (s *session) readMessage(b *body) error {
	dr := smtp.NewDataReader(s.conn.dataReader(b.until, !s.srv.crowded()), s.lis.MaxMessageSize)
	sink := &sink{s: s, w: b.spool}
	buf := s.srv.bufs.copy.Get().(*[]byte)
	_, err := io.CopyBuffer(sink, dr, *buf)
	s.srv.bufs.copy.Put(buf)
	if !dr.Ended() {
		s.ended = true
		switch {
		case errors.Is(err, smtp.ErrTooBig):
			return err
		case isTimeout(err):
			return smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se42BadConnection, "message not received in time").WithCause(err)
		}
		return connectionError(err)
	}
	if err == nil {
		err = sink.err
	}
	return err
}

// sink writes to a spool. After an error it throws away what comes.
type sink struct {
	s   *session
	w   io.Writer
	err error
}

func (k *sink) Write(p []byte) (int, error) {
	mlog.Trace(k.s.conn.ctx, k.s.log, mlog.LevelTracedata, "RC: ", p)
	if k.err == nil {
		_, k.err = k.w.Write(p)
	}
	return len(p), nil
}

// inspect reads the message once, for what is known of it from then on. To the
// letter of the RFCs, what a message has must have been declared.
func (s *session) inspect(t *transaction, m *incoming) error {
	var err error
	m.digest, err = message.NewDigest(m.spool, m.size, message.Limits{})
	if err != nil {
		return err
	}
	s.log.Debug("message received", slog.Int64("size", m.size))
	switch strict := s.srv.opts.Config.Snapshot().Pedantic; {
	case !strict:
	case s.lis.Kind == Submission && m.digest.Needs8BitMIME() && t.mail.Body != smtp.Body8BitMIME && t.mail.Body != smtp.BodyBinaryMIME:
		return smtp.Errorf(smtp.C500BadSyntax, smtp.Se60MediaOther, "message with 8-bit data without BODY=8BITMIME")
	case s.lis.Kind == Delivery && m.digest.NeedsSMTPUTF8() && !t.mail.SMTPUTF8:
		return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se60MediaOther, "message with UTF-8 in its header without SMTPUTF8")
	}
	return nil
}
