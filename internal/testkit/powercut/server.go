//go:build linux

package powercut

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// request is what the test asks of the process that has the file system.
type request struct {
	Do    string // "mark", "fail", "clear" or "log".
	After int
	Errno int
	Ops   []Op
}

type response struct {
	Root uint64
	Log  []Event
}

// Serve mounts a recording file system and answers requests on standard input
// until that ends. It is the main function of internal/testkit/powercut/mount.
func Serve(backing, dir string) (rerr error) {
	r, srv, err := mount(backing, dir)
	if err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	defer func() { rerr = errors.Join(rerr, srv.Unmount()) }()
	in, out := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	if err := out.Encode(response{Root: r.root}); err != nil {
		return err
	}
	for {
		var q request
		if err := in.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a response
		switch q.Do {
		case "mark":
			r.mark()
		case "fail":
			r.failAt(&fault{q.Ops, q.After, syscall.Errno(q.Errno)})
		case "clear":
			r.clear()
		case "log":
			a.Log = r.events()
		}
		if err := out.Encode(a); err != nil {
			return err
		}
	}
}
