package privsep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"

	"mox/config"
)

// childEnv is the environment variable that tells a process that it is the child, and that
// the descriptor [childFD] is the connection to the parent.
const (
	childEnv = "MOX_PRIVSEP"
	childFD  = 3
)

// Child is what the parent has passed. It is safe for concurrent use.
type Child struct {
	conn *net.UnixConn

	mu      sync.Mutex // Guards what follows.
	sockets map[Socket]*os.File
	files   map[string]*os.File
	own     map[string]bool // Files that are opened directly.
}

// Start returns what the parent has passed, or nil if this process has none.
func Start() (*Child, error) {
	if os.Getenv(childEnv) == "" {
		return nil, nil
	}
	if err := os.Unsetenv(childEnv); err != nil {
		return nil, err
	}
	if os.Geteuid() == 0 {
		return nil, fmt.Errorf("environment variable %s is set for root", childEnv)
	}
	syscall.Umask(0007)
	f := os.NewFile(childFD, "parent")
	nc, err := net.FileConn(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("connection to the process that runs as root: %w", err)
	}
	conn, ok := nc.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("descriptor %d is not a unix socket", childFD), nc.Close())
	}
	c := &Child{conn: conn, sockets: map[Socket]*os.File{}, files: map[string]*os.File{}, own: map[string]bool{}}
	if _, err := c.receive(); err != nil {
		return nil, errors.Join(fmt.Errorf("sockets and files from the process that runs as root: %w", err), conn.Close())
	}
	return c, nil
}

// receive takes what the parent sends next.
func (c *Child) receive() (syscall.Signal, error) {
	list, sig, err := receive(c.conn)
	if err != nil {
		return 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range list {
		switch {
		case d.path == "":
			c.sockets[d.socket] = d.file
		case c.own[d.path]:
			_ = d.file.Close()
		default:
			c.files[d.path] = d.file // The previous one closes when nobody reads it any more.
		}
	}
	return sig, nil
}

// Serve passes on what the parent says, as signals, until that has ended, for which the
// error is io.EOF. Before SIGHUP it has taken files that were opened again.
func (c *Child) Serve(signals chan<- os.Signal) error {
	for {
		sig, err := c.receive()
		if err != nil {
			return err
		}
		signals <- sig
	}
}

// UseOwn makes [Child.ReadFile] open those files of a configuration directly that this
// process may read: changes to them are seen without a reload. Files that belong
// together are all opened directly, or all passed.
func (c *Child) UseOwn(s *config.Snapshot) {
	for _, group := range KeyFiles(s) {
		own := true
		for _, path := range group {
			f, err := os.Open(path)
			if err == nil {
				err = f.Close()
			}
			own = own && err == nil
		}
		if !own {
			continue
		}
		c.mu.Lock()
		for _, path := range group {
			c.own[path] = true
			delete(c.files, path)
		}
		c.mu.Unlock()
	}
}

// Listen returns a socket that was passed, each one once. Others are bound.
func (c *Child) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	s := Socket{network, address}
	c.mu.Lock()
	f := c.sockets[s]
	delete(c.sockets, s)
	c.mu.Unlock()
	if f == nil {
		return Listen(ctx, network, address)
	}
	l, err := net.FileListener(f)
	return l, errors.Join(err, f.Close())
}

// ReadFile reads a file that was passed. Others are opened.
func (c *Child) ReadFile(path string) ([]byte, error) {
	c.mu.Lock()
	f := c.files[path]
	c.mu.Unlock()
	if f == nil {
		return os.ReadFile(path)
	}
	data, err := io.ReadAll(io.NewSectionReader(f, 0, maxKeyFile+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(data) > maxKeyFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxKeyFile)
	}
	return data, nil
}

// maxKeyFile is the size in bytes of the largest file that is read from a descriptor.
const maxKeyFile = 1 << 20
