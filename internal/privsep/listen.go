package privsep

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// Listen listens on an address of a network "tcp" or "unix".
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if network == "unix" {
		return listenUnix(ctx, address)
	}
	var lc net.ListenConfig
	return lc.Listen(ctx, network, address)
}

// unixDialTimeout is for finding out whether someone has a socket.
const unixDialTimeout = time.Second

// listenUnix listens on a unix socket. One that is left over from a server that was
// killed is removed.
func listenUnix(ctx context.Context, path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	if err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%s is there and is not a socket", path)
	}
	if err == nil {
		if err := unused(ctx, path); err != nil {
			return nil, err
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	var lc net.ListenConfig
	nl, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0660); err != nil {
		return nil, errors.Join(err, nl.Close())
	}
	return nl, nil
}

// unused returns an error if someone listens on a unix socket, or may do so: one who has
// much to do does not answer at once.
func unused(ctx context.Context, path string) error {
	d := net.Dialer{Timeout: unixDialTimeout}
	nc, err := d.DialContext(ctx, "unix", path)
	if err == nil {
		_ = nc.Close()
		return fmt.Errorf("another program has the socket %s", path)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return fmt.Errorf("another program may have the socket %s, if not then remove it: %w", path, err)
}

// BindHint returns what to do about a socket that cannot be opened.
func BindHint(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return " (another program has the port, see who with: ss -ltnp)"
	case errors.Is(err, syscall.EACCES):
		return " (ports below 1024 need root)"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return " (this machine has no such address)"
	}
	return ""
}
