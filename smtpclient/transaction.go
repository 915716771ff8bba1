package smtpclient

import (
	"errors"
	"fmt"
	"io"
	"time"

	"mox/mlog"
	"mox/smtp"
)

// transaction is one mail transaction, RFC 5321 §3.3.
type transaction struct {
	c       *Client
	env     Envelope
	need    need
	rcpts   []int    // Indexes of recipients.
	results []Result // For all recipients.

	refusedMail *Error
	accepted    int   // Recipients that were accepted.
	taken       []int // Their indexes.
	retry       []int // Recipients that were refused because there are too many.
}

// run does the transaction. It sets the results of recipients that are refused, and
// of those for which the message was taken. Its error is for all other recipients.
func (t *transaction) run() *Error {
	if t.c.needReset {
		if err := t.c.reset(); err != nil {
			return err
		}
	}
	t.c.mails++
	t.c.needReset = true
	var data Reply
	var err *Error
	if t.c.caps.Extensions.Has(smtp.ExtPipelining) {
		data, err = t.pipelined()
	} else {
		data, err = t.stepwise()
	}
	if err != nil {
		// A server that refuses and hangs up has said what there is to say. The
		// connection is closed for those who come next.
		if t.refusedMail == nil && t.c.botched && t.accepted == 0 && t.refused() == len(t.rcpts) {
			return nil
		}
		if t.refusedMail != nil {
			return t.refusedMail
		}
		return err
	}
	if t.need.chunked {
		return t.chunks()
	}
	return t.data(data)
}

// refused returns how many recipients have a refusal of their own.
func (t *transaction) refused() int {
	n := 0
	for _, i := range t.rcpts {
		if t.results[i].Err != nil {
			n++
		}
	}
	return n
}

// stepwise sends commands one at a time, for servers without PIPELINING. It returns
// the reply to DATA, or a zero reply if it was not sent, as with BDAT.
func (t *transaction) stepwise() (Reply, *Error) {
	r, err := t.c.command("mail", t.need.mail.String(), CommandTimeout)
	if err != nil {
		return Reply{}, err
	}
	if t.mailReply(r); t.refusedMail != nil {
		return Reply{}, nil
	}
	for k, i := range t.rcpts {
		r, err := t.c.command("rcpt", t.need.rcptLine(t.env.Recipients[i]), CommandTimeout)
		if err != nil {
			return Reply{}, err
		}
		t.rcptReply(i, r)
		if len(t.retry) > 0 {
			// The rest would be refused too.
			t.retry = append(t.retry, t.rcpts[k+1:]...)
			break
		}
	}
	if t.accepted == 0 || t.need.chunked {
		return Reply{}, nil
	}
	return t.c.command("data", "DATA", DataTimeout)
}

// pipelined sends all commands up to DATA at once, RFC 2920 §3.1, and reads the
// replies while they are sent: neither side may wait for the other with full
// buffers. It returns the reply to DATA.
func (t *transaction) pipelined() (Reply, *Error) {
	start := time.Now()
	written := make(chan error, 1)
	go func() { written <- t.writeCommands() }()

	data, err := t.readReplies(start)
	if err == nil {
		// All is answered, so all was written, or is about to have been.
		if werr := <-written; werr != nil {
			return Reply{}, t.c.fail("data", werr)
		}
		return data, nil
	}
	// The connection is closed, which ends the writing.
	if werr := <-written; werr != nil && errors.Is(err, io.ErrUnexpectedEOF) {
		err.Err = fmt.Errorf("%w (and writing: %w)", err.Err, werr)
	}
	return Reply{}, err
}

func (t *transaction) writeCommands() error {
	write := func(line string) error {
		_, err := t.c.bw.WriteString(line + "\r\n")
		return err
	}
	if err := write(t.need.mail.String()); err != nil {
		return err
	}
	for _, i := range t.rcpts {
		if err := write(t.need.rcptLine(t.env.Recipients[i])); err != nil {
			return err
		}
	}
	if !t.need.chunked {
		if err := write("DATA"); err != nil {
			return err
		}
	}
	return t.c.bw.Flush()
}

func (t *transaction) readReplies(start time.Time) (Reply, *Error) {
	r, err := t.c.read("mail", CommandTimeout)
	t.c.observe("mail", r, start)
	if err != nil {
		return Reply{}, err
	}
	t.mailReply(r)
	for _, i := range t.rcpts {
		r, err := t.c.read("rcpt", CommandTimeout)
		t.c.observe("rcpt", r, start)
		if err != nil {
			return Reply{}, err
		}
		// After MAIL is refused, a refusal is just "bad sequence of commands".
		if t.refusedMail == nil || r.ok() {
			t.rcptReply(i, r)
		}
	}
	if t.need.chunked {
		return Reply{}, nil
	}
	r, err = t.c.read("data", DataTimeout)
	t.c.observe("data", r, start)
	return r, err
}

func (t *transaction) mailReply(r Reply) {
	if !r.ok() {
		t.refusedMail = replyError("mail", r)
	}
}

func (t *transaction) rcptReply(i int, r Reply) {
	if r.ok() {
		t.accepted++
		t.taken = append(t.taken, i)
		return
	}
	e := replyError("rcpt", r)
	// "Too many recipients" is 452, and 552 was a mistake in RFC 821 that clients are
	// to treat as temporary, RFC 5321 §4.5.3.1.10.
	if r.Code == smtp.C552ExceededStorage {
		e.Permanent = false
	}
	if t.accepted > 0 && (r.Code == smtp.C452InsufficientStorage || r.Code == smtp.C552ExceededStorage) {
		t.retry = append(t.retry, i)
		return
	}
	t.results[i].Err = e
}

// data goes on after the reply to DATA.
func (t *transaction) data(r Reply) *Error {
	ready := r.Code == smtp.C354StartMailInput
	switch {
	case ready && t.refusedMail != nil && t.accepted > 0:
		// The server is confused. Whatever is sent now, it might deliver it.
		t.c.close()
		return t.refusedMail
	case ready && t.accepted == 0:
		// A server may find out at the end that there are no recipients. A dot alone
		// ends it, RFC 2920 §3.1.
		if _, err := t.c.command("content", ".", DataFinishTimeout); err != nil && t.refusedMail == nil {
			return err
		}
		t.c.needReset = false
		return t.refusedMail
	case t.refusedMail != nil:
		return t.refusedMail
	case t.accepted == 0:
		return nil
	case !ready:
		e := replyError("data", r)
		if e.Err != nil {
			t.c.close()
		}
		return e
	}
	r, err := t.content()
	if err != nil {
		return err
	}
	return t.finish(r)
}

// finish takes the reply to the content, with which the transaction ends.
func (t *transaction) finish(r Reply) *Error {
	t.c.needReset = false
	if !r.ok() {
		return replyError("content", r)
	}
	for _, i := range t.taken {
		t.results[i].Reply = r
	}
	return nil
}

// content sends the content and returns the reply to it.
func (t *transaction) content() (Reply, *Error) {
	start := time.Now()
	if err := t.send(); err != nil {
		return Reply{}, err
	}
	r, err := t.c.read("content", DataFinishTimeout)
	t.c.observe("content", r, start)
	if err != nil {
		err.Unanswered = true
	}
	return r, err
}

// send writes the content. If that cannot be completed, the connection is closed:
// it is the only way to keep the server from delivering what it has.
func (t *transaction) send() *Error {
	src, err := t.env.Open()
	if err != nil {
		return t.c.fail("content", fmt.Errorf("%w: %w", ErrContent, err))
	}
	defer src.Close()
	defer t.c.writeT.SetLevel(mlog.LevelTracedata)()

	w := smtp.NewDataWriter(t.c.bw)
	buf := make([]byte, blockSize)
	for {
		n, rerr := src.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				return t.sendFailed(err)
			}
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return t.c.fail("content", fmt.Errorf("%w: %w", ErrContent, rerr))
		}
	}
	if err := w.Close(); err != nil {
		return t.sendFailed(err)
	}
	if err := t.c.bw.Flush(); err != nil {
		return t.sendFailed(err)
	}
	return nil
}

// sendFailed returns the error for content that the DataWriter or the connection
// did not take. A server that hangs up while it is being sent to may have said why.
func (t *transaction) sendFailed(cause error) *Error {
	if errors.Is(cause, ErrContent) {
		return t.c.fail("content", cause)
	}
	if errors.Is(cause, smtp.ErrBareCR) || errors.Is(cause, smtp.ErrBareLF) || errors.Is(cause, smtp.ErrSmuggling) {
		e := t.c.fail("content", fmt.Errorf("%w: %w", ErrContent, cause))
		e.Permanent = true
		return e
	}
	if t.c.ctx.Err() == nil {
		if r, err := t.c.read("content", QuitTimeout); err == nil && !r.ok() {
			t.c.close()
			e := replyError("content", r)
			if e.Err == nil {
				e.Err = cause
			}
			return e
		}
	}
	return t.c.fail("content", cause)
}
