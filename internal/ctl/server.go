package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"mox/internal/metrics"
	"mox/mlog"
)

// pkgName is the name of this package in logs and metrics.
const pkgName = "ctl"

// A Handler runs a command. It reads all parameters with ReadLine and then answers
// with WriteOK, perhaps several times and with streams in between. An error that it
// returns is sent instead of what the client waits for. When ctx ends, the server
// is stopping.
type Handler func(ctx context.Context, c *Conn) error

// Options are for [New].
type Options struct {
	Log      *slog.Logger
	Cids     *mlog.CidSource    // Connection ids.
	Handlers map[string]Handler // By name of the command.
	Quiet    []string           // Commands that are logged at level debug when they succeed.
}

// Server runs the commands of clients. It is safe for concurrent use.
type Server struct {
	opts   Options
	ctx    context.Context
	cancel context.CancelFunc

	mu     sync.Mutex // Guards what follows.
	closed bool
	conns  map[net.Conn]struct{}
	wg     sync.WaitGroup // Connections.
}

// New returns a server.
func New(opts Options) *Server {
	metrics.PanicPackages(pkgName)
	s := &Server{opts: opts, conns: map[net.Conn]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Serve takes connections from l until that is closed, which is no error.
func (s *Server) Serve(l net.Listener) error {
	for {
		nc, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		if !s.add(nc) {
			return nc.Close()
		}
		go s.serve(nc)
	}
}

func (s *Server) add(nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.conns[nc] = struct{}{}
	s.wg.Add(1)
	return true
}

func (s *Server) remove(nc net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, nc)
	_ = nc.Close()
	s.wg.Done()
}

// Cancel ends the context of commands that are running, without closing their
// connections.
func (s *Server) Cancel() {
	s.cancel()
}

// Close closes all connections and waits until no command is running. The
// listeners must have been closed.
func (s *Server) Close() {
	s.cancel()
	s.mu.Lock()
	s.closed = true
	for nc := range s.conns {
		_ = nc.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

// serve runs the commands of a connection.
func (s *Server) serve(nc net.Conn) {
	ctx := mlog.WithCid(s.ctx, s.opts.Cids.Next())
	defer s.remove(nc)
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			s.opts.Log.ErrorContext(ctx, "panic in control connection", "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
		}
	}()
	c := newConn(nc)
	err := c.WriteLine(greeting)
	for err == nil {
		err = s.command(ctx, c)
	}
	if !errors.Is(err, io.EOF) && s.ctx.Err() == nil {
		s.opts.Log.InfoContext(ctx, "control connection ended", mlog.Err(err))
	}
}

// command reads and runs one command. An error ends the connection.
func (s *Server) command(ctx context.Context, c *Conn) error {
	name, err := c.readLine(idleTimeout)
	if err != nil {
		return err
	}
	handler, ok := s.opts.Handlers[name]
	if !ok {
		// Parameters may follow, which must not be taken for commands.
		err := fmt.Errorf("unknown command %.50q: the server is not the same version as this program", name)
		return errors.Join(err, c.WriteLine(err.Error()))
	}
	start := time.Now()
	err = handler(ctx, c)
	level := mlog.LevelInfo
	if err == nil && slices.Contains(s.opts.Quiet, name) {
		level = mlog.LevelDebug
	}
	s.opts.Log.Log(ctx, level, "control command", "cmd", name, "duration", time.Since(start), mlog.Err(err))
	if c.taken {
		return io.EOF // Nothing more can be said in this protocol.
	}
	if err == nil {
		return nil
	}
	if werr := c.WriteLine(err.Error()); werr != nil || c.streaming || c.broken {
		return errors.Join(err, werr)
	}
	return nil
}
