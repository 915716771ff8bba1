package daemon

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"mox/config"
	"mox/internal/certs"
	"mox/mlog"
)

const (
	// challengeTimeout is how long an authority may take for a handshake.
	challengeTimeout = 30 * time.Second
	// maxChallenges is how many connections there may be at the same time for
	// authorities to see that a name is ours. They come from a handful of places.
	maxChallenges = 100
	// acceptPause is how long no connection is taken after an error, which is mostly
	// about too many open files.
	acceptPause = 100 * time.Millisecond
)

// openCerts reads the keys that certificates are for, and makes those of accounts at
// authorities. It must be called when the trusted authorities are known.
func (d *Daemon) openCerts(s *config.Snapshot) error {
	var err error
	d.certs, err = certs.NewManager(certs.Options{
		Config:    d.conf,
		DataDir:   s.DataDir,
		Resolvers: s.Resolvers,
		DNS:       d.dns,
		Roots:     d.out.roots,
		Version:   d.opts.Version,
		Log:       d.logger("certs"),
		ReadFile:  d.opts.ReadFile,
	})
	return err
}

// challengeServer is what authorities connect to with TLS, to see that a name is ours
// (RFC 8737 §3). It closes each connection after the handshake.
type challengeServer struct {
	d        *Daemon
	listener net.Listener
	config   *tls.Config

	mu      sync.Mutex
	closed  bool
	conns   map[net.Conn]struct{}
	serving sync.WaitGroup
}

// connectChallenges serves authorities on a socket.
func (d *Daemon) connectChallenges(sock *Socket) {
	srv := &challengeServer{
		d:        d,
		listener: sock.listener,
		config:   &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: d.certs.ChallengeConfig},
		conns:    map[net.Conn]struct{}{},
	}
	sock.serve, sock.shutdown = srv.serve, srv.shutdown
}

func (s *challengeServer) serve() error {
	for {
		nc, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			s.d.log.Error("accepting connection of authority", mlog.Err(err))
			time.Sleep(acceptPause)
			continue
		}
		if !s.add(nc) {
			_ = nc.Close()
			continue
		}
		go s.handshake(nc)
	}
}

// add notes a connection. It returns false if there are too many, or no more to be.
func (s *challengeServer) add(nc net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.conns) >= maxChallenges {
		return false
	}
	s.conns[nc] = struct{}{}
	s.serving.Add(1)
	return true
}

func (s *challengeServer) handshake(nc net.Conn) {
	defer s.serving.Done()
	defer func() {
		s.mu.Lock()
		delete(s.conns, nc)
		s.mu.Unlock()
		_ = nc.Close()
	}()
	if err := nc.SetDeadline(time.Now().Add(challengeTimeout)); err != nil {
		return
	}
	err := tls.Server(nc, s.config).Handshake()
	s.d.log.Debug("connection to the port for authorities", "remote", nc.RemoteAddr().String(), mlog.Err(err))
}

// shutdown closes the listener and the connections.
func (s *challengeServer) shutdown(context.Context) error {
	err := s.listener.Close()
	s.mu.Lock()
	s.closed = true
	for nc := range s.conns {
		_ = nc.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
