package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"mox/internal/ctl"
	"mox/internal/transfer"
)

// Lines that are sent during a copy from another server.
const (
	pullSay    = "say "   // Progress.
	pullSecret = "secret" // The client is to send the password or token.
)

// pullInterval is how often progress is told, at most. A client that is gone is noticed
// by it.
const pullInterval = time.Second

// ctlImportIMAP copies an account from another server.
//
//	account
//	options in JSON, see transfer.PullOptions
//	"ok"
//	any number of: "say " and text; "secret", for which the client sends the secret, or an
//	empty line and what is wrong
//	"ok"
//	result in JSON
func (d *Daemon) ctlImportIMAP(ctx context.Context, c *ctl.Conn) error {
	acc, args, err := d.accountArgs(ctx, c, 2)
	if err != nil {
		return err
	}
	defer acc.Release()
	var opts transfer.PullOptions
	if err := json.Unmarshal([]byte(args[1]), &opts); err != nil {
		return fmt.Errorf("options: %w", err)
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	teller := &teller{c: c, cancel: cancel}
	defer teller.every(pullInterval)()
	opts.Progress = teller.set
	opts.Secret = teller.secret
	res, err := d.transfers.Pull(ctx, acc, opts)
	teller.end()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	} else if err != nil {
		return err
	}
	return errors.Join(c.WriteOK(), writeJSON(c, res))
}

// A teller writes progress to a client while something else works.
type teller struct {
	c      *ctl.Conn
	cancel context.CancelCauseFunc

	mu    sync.Mutex // Guards what follows, and writing.
	text  string
	ended bool
}

func (t *teller) set(text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = text
}

// every writes the last progress again and again, until stop is called.
func (t *teller) every(d time.Duration) (stop func()) {
	tick, done := time.NewTicker(d), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-tick.C:
				t.tell()
			case <-done:
				return
			}
		}
	})
	return sync.OnceFunc(func() { tick.Stop(); close(done); wg.Wait() })
}

func (t *teller) tell() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return
	}
	if err := t.c.WriteLine(pullSay + t.text); err != nil {
		t.cancel(fmt.Errorf("client is gone: %w", err))
		t.ended = true
	}
}

// end makes sure that nothing more is written.
func (t *teller) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
}

// secret asks the client for the secret.
func (t *teller) secret(context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.c.WriteLine(pullSecret); err != nil {
		return "", err
	}
	line, err := t.c.WaitLine() // Somebody may have to type it. The client sees when the server ends.
	if err == nil && line == "" {
		if line, err = t.c.ReadLine(); err == nil {
			err = errors.New(strings.TrimSpace("no password or token: " + line))
		}
	}
	return line, err
}
