package script

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Options are for running a script.
type Options struct {
	// Dial opens the connection with a name. It should have buffers, as a socket has:
	// on a net.Pipe, a script that sends while the other side does blocks both.
	Dial func(ctx context.Context, name string) (net.Conn, error)

	// Directives are what lines with "@" and "+" can call, by name.
	Directives map[string]Directive

	Vars    map[string]string // Variables that have a value from the start.
	Timeout time.Duration     // For each read and write. Zero is DefaultTimeout.
}

// A Directive is called for a line such as "@name args". An error fails the
// script.
type Directive func(r *Run, args []string) error

// A Run is a script that is being run, for directives. It is not safe for
// concurrent use.
type Run struct {
	script *Script
	opts   Options
	ctx    context.Context
	vars   map[string]string
	conns  map[string]*conn
}

// A Failure is the error of a script of which a line did not come out.
type Failure struct {
	Script *Script
	Line   int      // Index of the line in the talk.
	Want   string   // The line with values for its variables, or empty.
	Got    []string // Lines that came instead.
	Err    error    // Why. Nil if Got says it all.
}

// Unwrap returns the cause.
func (f *Failure) Unwrap() error { return f.Err }

// Context returns the context of the run.
func (r *Run) Context() context.Context { return r.ctx }

// Script returns the script.
func (r *Run) Script() *Script { return r.script }

// Var returns the value of a variable, and whether it has one.
func (r *Run) Var(name string) (string, bool) {
	v, ok := r.vars[name]
	return v, ok
}

// SetVar gives a variable a value.
func (r *Run) SetVar(name, value string) { r.vars[name] = value }

// Conn returns the connection with a name, which is opened if it is not open yet.
// Directives must not read from it.
func (r *Run) Conn(name string) (net.Conn, error) {
	return r.conn(name)
}

func (r *Run) conn(name string) (*conn, error) {
	if c := r.conns[name]; c != nil {
		return c, nil
	}
	if r.opts.Dial == nil {
		return nil, errors.New("no way to open connections")
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.opts.Timeout)
	defer cancel()
	nc, err := r.opts.Dial(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("opening connection %s: %w", name, err)
	}
	c := newConn(nc, r.opts.Timeout)
	r.conns[name] = c
	return c, nil
}

// Upgrade replaces a connection by what upgrade makes of it, such as one with TLS
// or compression. Upgrade is given a connection from which what has been read
// ahead can be read again; its deadline has been set.
func (r *Run) Upgrade(name string, upgrade func(net.Conn) (net.Conn, error)) error {
	c, err := r.conn(name)
	if err != nil {
		return err
	}
	return c.replace(upgrade)
}

// Close closes our side of a connection. A later use of its name opens a new one.
func (r *Run) Close(name string) error {
	c := r.conns[name]
	if c == nil {
		return fmt.Errorf("connection %s is not open", name)
	}
	delete(r.conns, name)
	return c.Close()
}

// Run runs a script. The error is a *[Failure].
func (s *Script) Run(ctx context.Context, opts Options) error {
	if opts.Timeout == 0 {
		opts.Timeout = DefaultTimeout
	}
	r := &Run{script: s, opts: opts, ctx: ctx, vars: maps.Clone(opts.Vars), conns: map[string]*conn{}}
	if r.vars == nil {
		r.vars = map[string]string{}
	}
	defer func() {
		for _, c := range r.conns {
			_ = c.Close() // Whatever the other side has done with it.
		}
	}()
	for _, l := range s.talk {
		if f := r.line(l); f != nil {
			f.Script = s
			return f
		}
	}
	for name, c := range r.conns {
		if c.skip {
			return &Failure{Script: s, Line: len(s.talk) - 1, Err: fmt.Errorf("%s<... without a line that ends it", name)}
		}
	}
	return nil
}

func (r *Run) line(l line) *Failure {
	switch l.op {
	case opNone:
		return nil
	case opDirective:
		return fail(l, r.directive(l))
	}
	c, err := r.conn(l.conn)
	if err != nil {
		return fail(l, err)
	}
	switch l.op {
	case opSend, opSendBytes, opSendFile:
		return fail(l, r.send(c, l))
	case opSkip:
		c.skip = true
		return nil
	case opBlock:
		return r.block(c, l)
	case opClosed:
		got, err := c.readClosed()
		return failGot(l, "", got, err)
	case opFile:
		return r.file(c, l)
	}
	return r.expect(c, l)
}

func fail(l line, err error) *Failure {
	if err == nil {
		return nil
	}
	return &Failure{Line: l.n, Err: err}
}

func failGot(l line, want, got string, err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Line: l.n, Want: want, Err: explain(err)}
	if got != "" {
		f.Got = []string{got}
	}
	return f
}

// explain words the errors of reading for the reader of a script.
func explain(err error) error {
	switch {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("connection was closed: %w", err)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("nothing came: %w", err)
	}
	return err
}

func (r *Run) directive(l line) error {
	name := l.args[0]
	args := make([]string, 0, len(l.args))
	for _, a := range l.args[1:] {
		x, err := r.expand(a)
		if err != nil {
			return err
		}
		args = append(args, x)
	}
	if d := r.opts.Directives[name]; d != nil {
		return d(r, args)
	}
	if name == "close" && len(args) == 1 {
		return r.Close(args[0])
	}
	return fmt.Errorf("no directive %q", name)
}

func (r *Run) send(c *conn, l line) error {
	switch l.op {
	case opSendBytes:
		return c.write([]byte(l.arg))
	case opSendFile:
		return c.write(r.script.files[l.arg])
	}
	text, err := r.expand(l.arg)
	if err != nil {
		return err
	}
	return c.write([]byte(text + "\r\n"))
}

// expect handles a line that wants a line.
func (r *Run) expect(c *conn, l line) *Failure {
	m, err := r.matcher(l)
	if err != nil {
		return fail(l, err)
	}
	skip := c.skip
	c.skip = false
	var skipped []string
	for {
		got, err := c.readLine()
		if err != nil {
			f := failGot(l, m.shown, got, err)
			f.Got = append(skipped, f.Got...)
			return f
		}
		if r.match(m, got) {
			return nil
		}
		skipped = append(skipped, got)
		if !skip {
			return &Failure{Line: l.n, Want: m.shown, Got: skipped}
		}
		if len(skipped) == maxSkip {
			return &Failure{Line: l.n, Want: m.shown, Err: fmt.Errorf("not among %d lines", maxSkip)}
		}
	}
}

// block handles lines in any order. Each line that comes takes the first
// expectation that it matches.
func (r *Run) block(c *conn, l line) *Failure {
	left := append([]line{}, l.any...)
	for len(left) > 0 {
		got, err := c.readLine()
		if err != nil {
			return failGot(left[0], "", got, err)
		}
		i, err := r.matchAny(left, got)
		if err != nil {
			return fail(left[0], err)
		}
		if i < 0 {
			return &Failure{Line: left[0].n, Got: []string{got}, Err: fmt.Errorf("matches none of the %d lines of the block that have not come", len(left))}
		}
		left = append(left[:i], left[i+1:]...)
	}
	return nil
}

func (r *Run) matchAny(lines []line, got string) (int, error) {
	for i, l := range lines {
		m, err := r.matcher(l)
		if err != nil {
			return 0, err
		}
		if r.match(m, got) {
			return i, nil
		}
	}
	return -1, nil
}

// file handles a line that wants the bytes of a file.
func (r *Run) file(c *conn, l line) *Failure {
	want := r.script.files[l.arg]
	got, err := c.readBytes(len(want))
	if err != nil {
		return failGot(l, "", show(got), err)
	}
	if bytes.Equal(got, want) {
		return nil
	}
	i := 0
	for got[i] == want[i] {
		i++
	}
	return &Failure{
		Line: l.n,
		Got:  strings.Split(strings.TrimSuffix(string(got), "\r\n"), "\r\n"),
		Err:  errors.New("bytes differ from those of the file at offset " + strconv.Itoa(i)),
	}
}
