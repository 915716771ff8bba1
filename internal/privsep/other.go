//go:build !linux

package privsep

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"

	"mox/config"
)

// Options are for [Run].
type Options struct {
	ConfigPath string
	Overrides  []config.Override
	Args       []string
	Log        *slog.Logger
}

// Run is for Linux only.
func Run(context.Context, Options) (int, error) {
	return 0, errors.New("giving up the privileges of root is for Linux only: start mox as the user that it is to run as")
}

// Child is for Linux only.
type Child struct{}

// Start returns nil.
func Start() (*Child, error) { return nil, nil }

// Serve is for Linux only.
func (c *Child) Serve(chan<- os.Signal) error { return errors.ErrUnsupported }

// UseOwn is for Linux only.
func (c *Child) UseOwn(*config.Snapshot) {}

// Listen is [Listen].
func (c *Child) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return Listen(ctx, network, address)
}

// ReadFile is [os.ReadFile].
func (c *Child) ReadFile(path string) ([]byte, error) { return os.ReadFile(path) }

// CheckPlace is for Linux only.
func CheckPlace(string, Account) error { return nil }

// Reclaim does nothing.
func Reclaim(string, Account, *slog.Logger) {}

// Confine does nothing.
func Confine(*config.Snapshot, *slog.Logger) error { return nil }
