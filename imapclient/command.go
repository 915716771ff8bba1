package imapclient

import (
	"context"
	"errors"
	"fmt"
	"io"

	"mox/imap"
	"mox/imap/wire"
)

// A Response is all that a server sent for a command, and unsolicited in that time.
type Response struct {
	Untagged []Untagged // In the order in which they came.
	Status   Status     // The tagged response.
}

// All returns the untagged responses of type T, in the order in which they came.
func All[T Untagged](r *Response) []T {
	var l []T
	if r == nil {
		return nil
	}
	for _, u := range r.Untagged {
		if t, ok := u.(T); ok {
			l = append(l, t)
		}
	}
	return l
}

// Code returns the last response code of that name, in the tagged response or in an
// untagged OK, NO or BAD.
func (r *Response) Code(name imap.Code) (Code, bool) {
	if r == nil {
		return Code{}, false
	}
	if r.Status.Code.Name == name {
		return r.Status.Code, true
	}
	for i := len(r.Untagged) - 1; i >= 0; i-- {
		if st, ok := r.Untagged[i].(Status); ok && st.Code.Name == name {
			return st.Code, true
		}
	}
	return Code{}, false
}

// A command is one that is being sent and answered.
type command struct {
	c    *Client
	tag  string
	resp Response
	done bool                 // The tagged response was read.
	each func(Untagged) error // Instead of keeping the responses for which it is called.
}

// errEnded stops the writing of a command that was answered before its end.
var errEnded = errors.New("command answered before its end")

// do sends a command, of which args writes what follows the name, and reads its response.
func (c *Client) do(ctx context.Context, name string, args func(*wire.Encoder)) (*Response, error) {
	return c.doEach(ctx, name, args, nil)
}

// doEach is do with untagged responses given to each, if that is not nil.
func (c *Client) doEach(ctx context.Context, name string, args func(*wire.Encoder), each func(Untagged) error) (*Response, error) {
	cmd := &command{c: c, tag: c.newTag(), each: each}
	err := c.run(ctx, func() error {
		if err := cmd.send(name, args); err != nil {
			return err
		}
		return cmd.wait()
	})
	return &cmd.resp, err
}

// send writes the command.
func (cmd *command) send(name string, args func(*wire.Encoder)) error {
	e := wire.NewEncoder(&cmd.c.clock, nil)
	e.SetUTF8(cmd.c.utf8)
	e.SetCommand(cmd.c.nonSync, cmd.waitContinue)
	e.Raw(cmd.tag)
	e.SP()
	e.Raw(name)
	if args != nil {
		args(e)
	}
	e.CRLF()
	if err := e.Flush(); err != nil && err != errEnded {
		return fmt.Errorf("writing command: %w", err)
	}
	return nil
}

// nonSync reports whether a literal of this size can be sent without waiting.
// RFC 7888 §5
func (c *Client) nonSync(size int64) bool {
	if c.opts.SyncLiterals {
		return false
	}
	if c.caps.Has(imap.CapLiteralPlus) {
		return true
	}
	return size <= 4096 && (c.caps.Has(imap.CapLiteralMinus) || c.caps.Has(imap.CapIMAP4rev2))
}

// waitContinue reads up to the continuation request for a literal.
func (cmd *command) waitContinue() error {
	_, err := cmd.challenge()
	return err
}

// challenge reads up to a continuation request and returns its text. It returns errEnded
// if the command is answered instead.
func (cmd *command) challenge() (string, error) {
	for {
		rep, err := cmd.next()
		if err != nil {
			return "", err
		}
		if rep.cont {
			return rep.text, nil
		}
		if cmd.done {
			return "", errEnded
		}
	}
}

// wait reads up to the tagged response. NO and BAD are errors.
func (cmd *command) wait() error {
	for !cmd.done {
		rep, err := cmd.next()
		if err != nil {
			return err
		}
		if rep.cont {
			return errors.New("unexpected continuation request")
		}
	}
	if err := cmd.resp.Status.err(); err != nil {
		return &refusedError{err}
	}
	return nil
}

// next reads one response and puts it where it belongs.
func (cmd *command) next() (reply, error) {
	rep, err := cmd.c.read()
	switch {
	case err != nil:
		return reply{}, err
	case rep.cont:
		return rep, nil
	case rep.tag != "":
		if rep.tag != cmd.tag {
			return reply{}, fmt.Errorf("response with tag %q, want %q", rep.tag, cmd.tag)
		}
		cmd.resp.Status = rep.status
		cmd.done = true
		return rep, nil
	case cmd.each != nil:
		return rep, cmd.each(rep.untagged)
	case len(cmd.resp.Untagged) >= maxUntagged:
		return reply{}, fmt.Errorf("more than %d responses to a command", maxUntagged)
	}
	cmd.resp.Untagged = append(cmd.resp.Untagged, rep.untagged)
	return rep, nil
}

// read reads one response and keeps the state of the client current.
func (c *Client) read() (reply, error) {
	if err := c.dec.ReadLine(); err != nil {
		if c.bye != nil && errors.Is(err, io.EOF) {
			return reply{}, c.bye
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return reply{}, fmt.Errorf("reading response: %w", err)
	}
	p := parser{Decoder: c.dec, literal: c.literal, maxLiteral: int64(c.opts.MaxLiteral)}
	rep := p.response()
	if err := c.dec.End(); err != nil {
		if err := c.malformed(&rep, err); err != nil {
			return reply{}, err
		}
	}
	if p.err != nil {
		return reply{}, p.err
	}
	c.observe(rep)
	return rep, nil
}

// malformed makes a [Malformed] of an untagged response with a syntax error, if that is
// wanted.
func (c *Client) malformed(rep *reply, err error) error {
	var perr *imap.Error
	if !c.opts.Lenient || rep.tag != "" || rep.cont || !errors.As(err, &perr) || perr.Type != imap.TypeBAD {
		return fmt.Errorf("parsing response: %w", err)
	}
	if err := c.dec.Abandon(); err != nil {
		return fmt.Errorf("skipping malformed response: %w", err)
	}
	rep.untagged = Malformed{Err: err}
	return nil
}

// observe takes from a response what changes the state of the client.
func (c *Client) observe(rep reply) {
	st := rep.status
	switch u := rep.untagged.(type) {
	case Status:
		st = u
		if u.Type == "BYE" {
			c.bye = u.err()
			c.state = StateLogout
		}
	case Capability:
		c.caps = imap.NewCaps(u...)
	case Enabled:
		for _, name := range u {
			c.enable(name)
		}
	}
	if st.Code.Name == imap.CodeCapability {
		c.caps = imap.Caps{}
		for _, w := range st.Code.Words {
			c.caps.Add(imap.Cap(w))
		}
	}
	if rep.untagged != nil && c.opts.OnUntagged != nil {
		c.opts.OnUntagged(rep.untagged)
	}
}

// enable notes an extension that the server has enabled. IMAP4rev2 and UTF8=ACCEPT change
// how strings and mailbox names are written. RFC 9051 §6.3.1, RFC 9755 §3
func (c *Client) enable(name imap.Cap) {
	c.enabled.Add(name)
	if c.enabled.Has(imap.CapIMAP4rev2) || c.enabled.Has(imap.CapUTF8Accept) {
		c.utf8 = true
		c.dec.SetUTF8(true)
	}
}

// Cmd sends a command line, made with fmt.Sprintf, with a new tag before it and CRLF
// behind, and reads the response. Literals can be in the line only if they are
// non-synchronising.
func (c *Client) Cmd(ctx context.Context, format string, args ...any) (*Response, error) {
	tag, err := c.Send(ctx, format, args...)
	if err != nil {
		return &Response{}, err
	}
	return c.Wait(ctx, tag)
}

// Send sends a command line like [Client.Cmd], without reading the response. It returns
// the tag for [Client.Wait]. Several commands may be sent first, and then be waited for in
// the same order.
func (c *Client) Send(ctx context.Context, format string, args ...any) (tag string, err error) {
	tag = c.newTag()
	return tag, c.WriteLine(ctx, tag+" "+fmt.Sprintf(format, args...))
}

// Wait reads the response to a command. NO and BAD are errors.
func (c *Client) Wait(ctx context.Context, tag string) (*Response, error) {
	cmd := &command{c: c, tag: tag}
	err := c.run(ctx, cmd.wait)
	return &cmd.resp, err
}

// WriteLine sends a line as it is and CRLF.
func (c *Client) WriteLine(ctx context.Context, line string) error {
	return c.Write(ctx, line+"\r\n")
}

// Write sends bytes as they are.
func (c *Client) Write(ctx context.Context, data string) error {
	return c.run(ctx, func() error {
		if _, err := io.WriteString(&c.clock, data); err != nil {
			return fmt.Errorf("writing: %w", err)
		}
		return nil
	})
}

// ReadLine reads a line as it is and returns it without CRLF. A literal that it ends in is
// left for [Client.ReadBytes]. The state of the client does not follow from what is read.
func (c *Client) ReadLine(ctx context.Context) (line string, err error) {
	err = c.run(ctx, func() error {
		b, err := c.r.ReadLine(c.opts.MaxLine)
		line = string(b)
		if err != nil {
			return fmt.Errorf("reading line: %w", err)
		}
		return nil
	})
	return line, err
}

// ReadBytes reads n bytes as they are.
func (c *Client) ReadBytes(ctx context.Context, n int) (data []byte, err error) {
	data = make([]byte, n)
	err = c.run(ctx, func() error {
		if _, err := io.ReadFull(c.r, data); err != nil {
			return fmt.Errorf("reading bytes: %w", err)
		}
		return nil
	})
	return data, err
}

// ReadContinue reads up to a continuation request and returns its text and the untagged
// responses before it. If the command with this tag is answered instead, the error is the
// NO or BAD; an OK is an error too.
func (c *Client) ReadContinue(ctx context.Context, tag string) (text string, resp *Response, err error) {
	cmd := &command{c: c, tag: tag}
	err = c.run(ctx, func() error {
		text, err = cmd.challenge()
		if err != errEnded {
			return err
		}
		if err := cmd.resp.Status.err(); err != nil {
			return &refusedError{err}
		}
		return errEnded
	})
	return text, &cmd.resp, err
}

// ReadUntagged reads one response, which must be untagged, such as an unsolicited one.
func (c *Client) ReadUntagged(ctx context.Context) (u Untagged, err error) {
	err = c.run(ctx, func() error {
		rep, err := c.read()
		if err == nil && rep.untagged == nil {
			err = errors.New("response is not untagged")
		}
		u = rep.untagged
		return err
	})
	return u, err
}
