package imapserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"time"

	"mox/imap"
	"mox/internal/metrics"
	"mox/mlog"
)

// reply is what a command that succeeded says in its tagged OK.
type reply struct {
	code imap.Code
	text string // Empty: the name of the command and "done".

	// expunged is set if messages of the selected mailbox are gone: then clients that know
	// mod-sequences are told how far they know, unless there is a code. RFC 7162 §3.2.7
	expunged bool

	// lowest is the lowest UID of the messages that the command was done for, if it was not
	// done for all because of the limit on their number, else zero. RFC 9738 §3.1
	lowest uint32

	// keepsSeqs is set if no EXPUNGE may be sent before the reply, as for commands with
	// that flag.
	keepsSeqs bool

	// after is called when the reply has been sent, nil for nothing. An error ends the
	// connection.
	after func(ctx context.Context) error
}

// call is a command being served.
type call struct {
	tag    string
	name   string
	cmd    *command
	start  time.Time
	result string
	err    error // Of the command, for the log.
}

// command reads, runs and answers one command, which has begun. An error means that the connection ends.
func (c *conn) command(ctx context.Context) error {
	k := call{start: time.Now()}
	err := c.dispatch(ctx, &k)
	c.flush()
	if err == nil {
		err = c.enc.Err()
	}
	c.account(ctx, &k, err)
	// A client that sends many commands at once does not wait in between, and would keep
	// a processor for longer than others should wait. Before waiting it would only wake
	// another thread, to which this goroutine then moves.
	if c.r.Buffered() > 0 {
		runtime.Gosched()
	}
	if err == nil && c.logout {
		err = errClose
	}
	return err
}

// account counts and logs a command.
func (c *conn) account(ctx context.Context, k *call, err error) {
	name := "(unknown)"
	if k.cmd != nil {
		name = k.cmd.name
	}
	if err != nil && !errors.Is(err, errClose) {
		k.result = resultIO
	}
	if k.result == "" {
		return // The connection ended before there was a command.
	}
	d := time.Since(k.start)
	metricCommands.WithLabelValues(name, k.result).Observe(d.Seconds())
	level := slog.LevelDebug
	if k.result == resultServer || k.result == resultPanic {
		level = slog.LevelError
	}
	if !c.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("cmd", name), slog.String("result", k.result), slog.Duration("duration", d)}
	if k.err != nil {
		attrs = append(attrs, slog.Any("err", k.err))
	}
	c.log.LogAttrs(ctx, level, "imap command", attrs...)
}

// dispatch reads the name of a command, checks whether it may be used now, parses its
// arguments, runs it and answers. An error means that the connection ends.
func (c *conn) dispatch(ctx context.Context, k *call) error {
	c.commands++
	if err := c.readLine(); err != nil {
		return c.fail(ctx, k, err)
	}
	if err := c.readName(k); err != nil {
		c.trace(c.dec.Line(), 0)
		return c.fail(ctx, k, err)
	}
	c.trace(c.dec.Line(), k.cmd.flags)
	if err := c.checkState(k.cmd); err != nil {
		return c.fail(ctx, k, err)
	}
	run, err := c.parse(k.cmd)
	if err != nil {
		return c.fail(ctx, k, err)
	}
	if k.cmd.flags&brief == 0 {
		announce()
	}
	rep, err := c.run(ctx, k, run)
	if err != nil {
		return c.fail(ctx, k, err)
	}
	c.bad = 0
	if k.cmd.flags&changesMailbox == 0 {
		if err := c.sync(ctx, k.cmd.flags&keepsSeqs == 0 && !rep.keepsSeqs); err != nil {
			return c.fail(ctx, k, err)
		}
	}
	k.result = resultOK
	if sess := c.sess; rep.expunged && rep.code == "" && sess.condStore && sess.sel != nil {
		rep.code = imap.CodeHighestModSeq.Num(uint64(sess.sel.modSeq))
	}
	c.replyLimit(&rep)
	if rep.text == "" {
		rep.text = k.name + " done"
	}
	c.enc.Status(k.tag, "OK", rep.code, rep.text)
	if rep.after == nil {
		return nil
	}
	if err := c.enc.Flush(); err != nil {
		return err
	}
	return rep.after(ctx)
}

// parse reads the arguments of a command, to its end, and returns what runs it.
func (c *conn) parse(cmd *command) (runner, error) {
	run := cmd.bind(c)
	if cmd.flags&streams == 0 {
		_ = c.dec.End()
	}
	return run, c.decoded()
}

// run runs a command. A panic is counted, and ends the connection, which cannot be
// trusted any more.
func (c *conn) run(ctx context.Context, k *call, run runner) (rep reply, err error) {
	defer func() {
		if x := recover(); x != nil {
			c.log.Error("unhandled panic in command", "cmd", k.name, "panic", x, "stack", string(debug.Stack()))
			metrics.Panic(pkgName)
			k.result = resultPanic
			err = imap.Bye(imap.CodeServerBug, "internal error")
		}
	}()
	return run(ctx)
}

// readName reads the tag and the name of a command and looks it up.
//
//	command = tag SP (command-any / command-auth / command-nonauth / command-select) CRLF
func (c *conn) readName(k *call) error {
	tag := c.dec.NeedTag()
	if err := c.decoded(); err != nil {
		return err
	}
	k.tag, c.tag = tag, tag
	c.dec.NeedSP()
	k.name = c.dec.NeedName()
	if k.name == "UID" {
		c.dec.NeedSP()
		k.name += " " + c.dec.NeedName()
	}
	if err := c.decoded(); err != nil {
		return err
	}
	k.cmd = c.srv.table[k.name]
	if k.cmd == nil {
		return imap.Bad("", "unknown command")
	}
	return nil
}

// checkState reports why a command cannot be used now, if that is so. RFC 9051 §3
func (c *conn) checkState(cmd *command) error {
	state := c.state()
	switch {
	case cmd.states&state != 0:
	case state == notAuthenticated:
		return imap.No("", "log in first")
	case cmd.states == notAuthenticated:
		return imap.No("", "already logged in")
	default:
		return imap.No("", "select a mailbox first")
	}
	if cmd.flags&usesSeqs != 0 && c.sess.uidOnly {
		return errUIDRequired
	}
	if cmd.flags&plaintext != 0 && c.tls == nil && !c.opts.AllowPlaintextLogin {
		return imap.No(imap.CodePrivacyRequired, "this needs tls")
	}
	return nil
}

func (c *conn) state() state {
	switch {
	case c.sess == nil:
		return notAuthenticated
	case c.sess.sel == nil:
		return authenticated
	}
	return selectedState
}

// fail answers a command that failed. An error means that the connection ends.
func (c *conn) fail(ctx context.Context, k *call, cause error) error {
	if c.enc.Err() != nil || errors.Is(cause, errConnection) {
		k.err = cause
		return cause
	}
	if errors.Is(cause, errGone) && c.sess.rev2 && c.sess.sel != nil {
		c.sess.sel.closed()
		cause = imap.No(imap.CodeNonExistent, errGone.Text).With(cause)
	}
	e := protocolError(cause)
	k.err = e
	if k.result == "" {
		k.result = result(e)
	}
	if e.Type == imap.TypeBYE {
		return e
	}
	// What a refused command has sent, or is about to send, must be read over.
	drained := c.dec.Abandon()
	if e.Type == imap.TypeBAD {
		if err := c.countBad(k.cmd == nil || syntaxDetail(e) != ""); err != nil {
			return err
		}
	} else if c.bad = 0; k.cmd != nil && k.cmd.flags&changesMailbox == 0 {
		if err := c.sync(ctx, k.cmd.flags&keepsSeqs == 0); err != nil {
			return err
		}
	}
	text := e.Text
	if c.sess != nil {
		text += syntaxDetail(e)
	}
	// The id lets the operator find the log lines.
	c.enc.Status(k.tag, string(e.Type), e.Code, fmt.Sprintf("%s (%s)", text, c.publicCid()))
	if drained != nil {
		c.io.setWriteTimeout(byeTimeout)
		return drained
	}
	return nil
}

// countBad ends a connection whose first command is no IMAP, and one that goes on
// sending nonsense.
func (c *conn) countBad(syntax bool) error {
	c.bad++
	switch {
	case c.commands == 1 && syntax:
		return imap.Bye("", "this is no imap, perhaps another protocol is meant")
	case c.bad >= maxBadCommands:
		return imap.Bye("", "too many invalid commands")
	}
	return nil
}

// errConnection marks errors of reading from the client, after which nothing can be said.
var errConnection = errors.New("read from client")

// decoded returns the error of the decoder: an *imap.Error, or one of the connection.
func (c *conn) decoded() error {
	err := c.dec.Err()
	if err == nil {
		return nil
	}
	var e *imap.Error
	if errors.As(err, &e) {
		return err
	}
	return fmt.Errorf("%w: %w", errConnection, err)
}

// readLine begins a command, or the next line of one that streams.
func (c *conn) readLine() error {
	_ = c.dec.ReadLine()
	return c.decoded()
}

// endCommand ends the arguments of a command that streams.
func (c *conn) endCommand() error {
	_ = c.dec.End()
	return c.decoded()
}

// traceLevel returns the level of the transcript for the input of a command.
func traceLevel(f flags) slog.Level {
	if f&noLogArgs != 0 {
		return mlog.LevelTraceauth
	}
	return mlog.LevelTrace
}

// trace writes a line of input to the transcript.
func (c *conn) trace(line []byte, f flags) {
	c.inputLevel = traceLevel(f)
	mlog.Trace(context.Background(), c.log, c.inputLevel, "RC: ", line)
}

// traceMore is trace for a line after a literal of the same command.
func (c *conn) traceMore(line []byte) {
	if c.sess != nil {
		c.setReadTimeout(commandTimeout)
	}
	mlog.Trace(context.Background(), c.log, c.inputLevel, "RC: ", line)
}
