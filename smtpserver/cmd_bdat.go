package smtpserver

import (
	"bytes"
	"context"
	"io"
	"math"
	"strconv"
	"time"

	"mox/internal/lex"
	"mox/smtp"
)

// BDAT, RFC 3030. A message comes in chunks of announced sizes, without an end that
// has to be looked for. What follows the line is a chunk whatever becomes of the
// command, so it is always read to its end, for nothing in it may be taken for a
// command. Where that cannot be done, the connection ends.
//
// Chunks go into the spool of the transaction as they are. Without BODY=BINARYMIME
// they must be lines that end in CRLF, as in DATA; a bare LF is not repaired here,
// since the sender has counted octets and not lines (RFC 3030 §2: "text messages
// sent with the BDAT command MUST be sent in the canonical MIME format").

// chunk is the argument of BDAT.
type chunk struct {
	size int64 // In octets.
	last bool
}

// maxChunkDigits is for the size of a chunk. Longer ones are not numbers of octets.
const maxChunkDigits = 20

// parseBDAT parses:
//
//	bdat-cmd   ::= "BDAT" SP chunk-size [ SP end-marker ] CR LF
//	chunk-size ::= 1*DIGIT
//	end-marker ::= "LAST"
//
// The size is valid also with an error, unless it is negative.
func parseBDAT(g grammar, args string) (chunk, error) {
	sc := trimmed(g, args)
	c := chunk{size: -1}
	digits := sc.NeedRun(lex.Digit, "chunk size")
	if sc.OK() && len(digits) > maxChunkDigits {
		sc.Fail("chunk size of more than 20 digits")
	}
	if sc.OK() {
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			n = math.MaxInt64
		}
		c.size = n
	}
	if !sc.End() {
		sc.NeedByte(' ')
		sc.NeedFold("LAST")
		sc.NeedEnd()
		c.last = true
	}
	if err := sc.Err(); err != nil {
		return c, smtp.Errorf(smtp.C501BadParameters, smtp.Se54InvalidArguments, "%s", err)
	}
	return c, nil
}

// handleBDAT runs a BDAT that is allowed now.
func handleBDAT(ctx context.Context, s *session, args string) (smtp.Reply, error) {
	c, err := parseBDAT(s.grammar(), args)
	if err != nil {
		return s.failChunk(ctx, c, err)
	}
	t := s.txn
	if err := s.canChunk(t, c); err != nil {
		return s.failChunk(ctx, c, err)
	}
	if t.body == nil {
		t.body = s.newBody(ctx)
	}
	b := t.body
	b.chunks++
	if err := s.readChunk(c.size, b.until, &b.lines); err != nil {
		return smtp.Reply{}, s.brokenChunk(err)
	}
	switch {
	case c.last:
		return s.complete(ctx, t, b.lines.end())
	case b.lines.err != nil:
		s.skipRest(c)
		s.finish(b.lines.err)
		return smtp.Reply{}, b.lines.err
	}
	return ok(smtp.C250Completed, smtp.Se00Other, strconv.FormatInt(c.size, 10)+" octets received")
}

// canChunk checks whether a chunk can become part of the message.
func (s *session) canChunk(t *transaction, c chunk) error {
	size, chunks := int64(0), 0
	if t.body != nil {
		size, chunks = t.body.spool.Size(), t.body.chunks
	}
	switch {
	case !s.hello.ext.Has(smtp.ExtChunking):
		return smtp.Errorf(smtp.C503BadSequence, smtp.Se51InvalidCommand, "BDAT was not offered")
	case len(t.recipients) == 0:
		return smtp.Errorf(smtp.C503BadSequence, smtp.Se51InvalidCommand, "no valid recipients")
	case c.size > s.lis.MaxMessageSize-size:
		return smtp.ErrTooBig
	case chunks == maxChunks:
		return smtp.Errorf(smtp.C554TransactionFailed, smtp.Se53TooManyRecipients, "more than %d chunks", maxChunks)
	}
	return nil
}

// failChunk ends the transaction because of a chunk that is not taken, and skips
// the chunk.
func (s *session) failChunk(ctx context.Context, c chunk, err error) (smtp.Reply, error) {
	if serr := s.skipChunk(c); serr != nil {
		return smtp.Reply{}, serr
	}
	switch {
	case s.ended || !c.last:
		s.skipRest(c)
		s.finish(err)
		return smtp.Reply{}, err
	case s.lis.Kind == LMTP && len(s.txn.accepted) == 0:
		s.finish(err)
		return smtp.Reply{}, nil // RFC 2033 §4.3: no reply.
	}
	return s.complete(ctx, s.txn, err)
}

// skipRest makes the chunks be skipped that follow one that has failed.
func (s *session) skipRest(c chunk) {
	s.skipping, s.skipped = !c.last, len(s.txn.accepted)
}

// refuseChunk is for a BDAT that is not allowed now. Those that a client had sent
// before it could know that its message has failed are expected.
func (s *session) refuseChunk(args string, err error) (smtp.Reply, error) {
	if s.ended || replyError(err).Code == smtp.C421ServiceUnavailable {
		return smtp.Reply{}, err // Nothing is read any more.
	}
	c, perr := parseBDAT(s.grammar(), args)
	if serr := s.skipChunk(c); serr != nil {
		return smtp.Reply{}, serr
	}
	switch {
	case perr != nil:
		err = perr
	case s.skipping:
		s.skipping = !c.last
		if c.last && s.lis.Kind == LMTP && !s.ended {
			return s.repeatSkipped()
		}
		err = errSkipped
	}
	return smtp.Reply{}, err
}

// errSkipped is the reply to chunks of a message that has failed.
var errSkipped = smtp.Errorf(smtp.C503BadSequence, smtp.Se51InvalidCommand, "the message has failed already")

// skipChunk reads a chunk and throws it away. One of unknown size, or with which
// too much would be read for nothing, ends the connection.
func (s *session) skipChunk(c chunk) error {
	s.counts.skipped += min(c.size, maxSkipped(s.lis.MaxMessageSize)+1)
	if c.size < 0 || s.counts.skipped > maxSkipped(s.lis.MaxMessageSize) {
		s.ended = true
		return nil
	}
	if err := s.readChunk(c.size, time.Now().Add(transferTimeout), io.Discard); err != nil {
		return s.brokenChunk(err)
	}
	return nil
}

// brokenChunk returns the error for a chunk that was not received to its end.
func (s *session) brokenChunk(err error) error {
	s.ended = true
	if isTimeout(err) {
		return smtp.Errorf(smtp.C421ServiceUnavailable, smtp.Se42BadConnection, "message not received in time").WithCause(err)
	}
	return connectionError(err)
}

// readChunk reads as many octets as are announced. Errors are those of the
// connection: w must not fail.
func (s *session) readChunk(size int64, until time.Time, w io.Writer) error {
	if size == 0 {
		return nil
	}
	// The client may wait for what it was not told yet before it sends the rest.
	if int64(s.conn.br.Buffered()) < size {
		if err := s.conn.flush(); err != nil {
			return err
		}
	}
	r := io.LimitedReader{R: s.conn.dataReader(until, !s.srv.crowded()), N: size}
	buf := s.srv.bufs.copy.Get().(*[]byte)
	defer s.srv.bufs.copy.Put(buf)
	_, err := io.CopyBuffer(&sink{s: s, w: w}, &r, *buf)
	if err == nil && r.N > 0 {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// lines passes message data on, and checks that it consists of lines that end in
// CRLF, unless it is binary. It takes all that it is given: what went wrong is in
// err.
type lines struct {
	w      io.Writer
	binary bool
	last   byte // Octet before the next; LF at the start, as after a line.
	err    error
}

// Write passes p on.
func (l *lines) Write(p []byte) (int, error) {
	if l.err != nil || len(p) == 0 {
		return len(p), nil
	}
	if !l.binary {
		l.err = checkLines(l.last, p)
	}
	l.last = p[len(p)-1]
	if l.err == nil {
		_, l.err = l.w.Write(p)
	}
	return len(p), nil
}

// checkLines finds a CR or LF that is not part of a CRLF in p, which follows last. A
// CR at the end is not judged yet.
func checkLines(last byte, p []byte) error {
	crlf := bytes.Count(p, []byte("\r\n"))
	lf := bytes.Count(p, []byte("\n"))
	cr := bytes.Count(p, []byte("\r"))
	if last == '\r' {
		if p[0] != '\n' {
			return smtp.ErrBareCR
		}
		lf--
	}
	if p[len(p)-1] == '\r' {
		cr--
	}
	switch {
	case cr != crlf:
		return smtp.ErrBareCR
	case lf != crlf:
		return smtp.ErrBareLF
	}
	return nil
}

// end ends the data. A last line without its end gets one, as DATA always has.
func (l *lines) end() error {
	switch {
	case l.err != nil || l.binary || l.last == '\n':
	case l.last == '\r':
		l.err = smtp.ErrBareCR
	default:
		_, l.err = l.w.Write([]byte("\r\n"))
	}
	return l.err
}
