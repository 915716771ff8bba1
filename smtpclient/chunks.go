package smtpclient

import (
	"fmt"
	"io"
	"time"

	"mox/mlog"
	"mox/smtp"
)

// chunks sends the content with BDAT after the recipients are answered, RFC 3030 §2:
//
//	bdat-cmd   ::= "BDAT" SP chunk-size [ SP end-marker ] CR LF
//	chunk-size ::= 1*DIGIT
//	end-marker ::= "LAST"
func (t *transaction) chunks() *Error {
	switch {
	case t.refusedMail != nil && t.accepted > 0:
		// As with DATA, the server is confused.
		t.c.close()
		return t.refusedMail
	case t.refusedMail != nil:
		return t.refusedMail
	case t.accepted == 0:
		return nil
	}
	src, err := t.env.Open()
	if err != nil {
		return t.c.fail("content", fmt.Errorf("%w: %w", ErrContent, err))
	}
	defer src.Close()
	s := &chunkSender{t: t, src: src, start: time.Now(), window: 1}
	if t.c.caps.Extensions.Has(smtp.ExtPipelining) {
		s.window = maxChunksAhead
	}
	if t.need.mail.Body != smtp.BodyBinaryMIME {
		s.check = smtp.NewDataWriter(io.Discard)
	}
	return s.run()
}

// A chunkSender sends the chunks of a message.
type chunkSender struct {
	t     *transaction
	src   io.Reader
	start time.Time

	// check is for content that is lines of text. With BDAT no line can be taken for
	// the end, but servers further on may get it with DATA, so what cannot be sent that
	// way is not sent this way either.
	check *smtp.DataWriter
	open  bool // What it was given so far does not end with a line end.

	window int // How many chunks may be under way.
	ahead  int // How many are.
}

// run sends all chunks and returns what came of the last one. A server that refuses
// one refuses those after it too.
func (s *chunkSender) run() *Error {
	buf := make([]byte, chunkSize, chunkSize+len("\r\n"))
	for {
		data, last, err := s.fill(buf)
		if err != nil {
			return s.t.sendFailed(err)
		}
		if err := s.send(data, last); err != nil {
			return s.t.sendFailed(err)
		}
		s.ahead++
		for s.ahead >= s.window || last {
			r, err := s.read()
			switch {
			case err != nil:
				err.Unanswered = last
				return err
			case last && s.ahead == 0:
				return s.t.finish(r)
			case !r.ok():
				return s.refused(r)
			}
		}
	}
}

// read reads the reply to a chunk.
func (s *chunkSender) read() (Reply, *Error) {
	r, err := s.t.c.read("content", DataFinishTimeout)
	s.t.c.observe("content", r, s.start)
	s.ahead--
	return r, err
}

// fill reads a chunk, and reports whether the content ends with it. A line end that
// is missing at the end of a text is added, as for DATA.
func (s *chunkSender) fill(buf []byte) (data []byte, last bool, err error) {
	n, err := io.ReadFull(s.src, buf)
	data = buf[:n]
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF:
		last = true
	case err != nil:
		return nil, false, fmt.Errorf("%w: %w", ErrContent, err)
	}
	if s.check == nil {
		return data, last, nil
	}
	if n > 0 {
		s.open = data[n-1] != '\n'
	}
	if _, err := s.check.Write(data); err != nil {
		return nil, last, err
	}
	if !last {
		return data, last, nil
	}
	if s.open {
		data = append(data, "\r\n"...)
	}
	return data, last, s.check.Close()
}

// send writes a chunk.
func (s *chunkSender) send(data []byte, last bool) error {
	c := s.t.c
	marker := ""
	if last {
		marker = " LAST"
	}
	if _, err := fmt.Fprintf(c.bw, "BDAT %d%s\r\n", len(data), marker); err != nil {
		return err
	}
	if err := c.bw.Flush(); err != nil { // For the transcript, which has levels.
		return err
	}
	defer c.writeT.SetLevel(mlog.LevelTracedata)()
	if _, err := c.bw.Write(data); err != nil {
		return err
	}
	return c.bw.Flush()
}

// refused reads the replies to the chunks under way, so that the connection can be
// used for a next message, which starts with RSET.
func (s *chunkSender) refused(r Reply) *Error {
	e := replyError("content", r)
	for s.ahead > 0 {
		if _, err := s.read(); err != nil {
			break // The connection is closed, and the refusal stands.
		}
	}
	return e
}
