package ctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// SocketName is the name of the socket in the data directory.
const SocketName = "ctl"

// maxSocketPath is how long the path of a unix socket can be on all systems.
const maxSocketPath = 100

// socketPath returns a path to the socket that is short enough for the system
// calls, and what to close when it is not used any more.
func socketPath(dataDir string) (string, func(), error) {
	path := filepath.Join(dataDir, SocketName)
	if len(path) <= maxSocketPath {
		return path, func() {}, nil
	}
	dir, err := os.Open(dataDir)
	if err != nil {
		return "", nil, err
	}
	short := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), SocketName)
	if _, err := os.Stat(filepath.Dir(short)); err != nil {
		return "", nil, errors.Join(fmt.Errorf("path %s is too long for a socket on this system, use a data directory with a shorter path", path), dir.Close())
	}
	return short, func() { _ = dir.Close() }, nil
}

// Listen makes the socket in a data directory, of which the caller has the lock,
// so that one that is there already is of a server that has ended.
func Listen(dataDir string) (net.Listener, error) {
	path, done, err := socketPath(dataDir)
	if err != nil {
		return nil, err
	}
	defer done()
	full := filepath.Join(dataDir, SocketName)
	if err := os.Remove(full); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove socket of previous server: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen on control socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err := os.Chmod(full, 0660); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return &socket{l, full}, nil
}

// socket is a listener that removes its file when closed.
type socket struct {
	*net.UnixListener
	path string
}

func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return err // The file may be another's by now.
	}
	return errors.Join(err, os.Remove(s.path))
}

// dialTimeout is how long a server may take to accept a connection.
const dialTimeout = 10 * time.Second

func dialSocket(ctx context.Context, dataDir string) (net.Conn, error) {
	path, done, err := socketPath(dataDir)
	if err == nil {
		defer done()
		d := net.Dialer{Timeout: dialTimeout}
		var nc net.Conn
		if nc, err = d.DialContext(ctx, "unix", path); err == nil {
			return nc, nil
		}
	}
	full := filepath.Join(dataDir, SocketName)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("%w: no server listens on %s (start one, or check that -config names its configuration)", ErrNotRunning, full)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("no permission to use %s: run this command as the user that mox runs as, or as root", full)
	}
	return nil, fmt.Errorf("connect to %s: %w", full, err)
}
