package daemon

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"text/tabwriter"
	"time"

	"mox/internal/ctl"
	"mox/internal/metrics"
	"mox/internal/safefile"
)

// ctlStatus says how the server is doing.
//
//	"ok"
//	stream of text
func (d *Daemon) ctlStatus(ctx context.Context, c *ctl.Conn) error {
	if err := c.WriteOK(); err != nil {
		return err
	}
	w := c.StreamWriter()
	if err := d.writeStatus(ctx, w); err != nil {
		return err
	}
	return w.Close()
}

// writeStatus writes the status for people, and for programs that look for the
// first word of a line.
func (d *Daemon) writeStatus(ctx context.Context, w io.Writer) error {
	s := d.conf.Snapshot()
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		// The error comes back from Flush.
		_, _ = fmt.Fprintf(tw, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	line("version", "%s", d.opts.Version)
	line("pid", "%d", os.Getpid())
	line("uptime", "%s", time.Since(d.started).Round(time.Second))
	line("config", "%s", s.Path)
	line("data", "%s", s.DataDir)
	if free, err := safefile.FreeSpace(s.DataDir); err != nil {
		line("free", "%s", err)
	} else if err := d.floor.Check(0); err != nil {
		line("free", "%d MiB, too little: new mail is refused", free>>20)
	} else {
		line("free", "%d MiB", free>>20)
	}
	line("accounts", "%d", s.Accounts())
	if q, err := d.queueDB.Status(ctx); err != nil {
		line("queue", "%s", err)
	} else {
		line("queue", "%d messages, %d on hold, %d failed", q.Messages, q.Held, q.Failed)
	}
	if err := d.queueDB.ReadOnly(); err != nil {
		line("queue", "takes no messages: %s", err)
	}
	for _, sock := range d.sockets {
		line("listener", "%s\t%s\t%s", sock.Addr(), sock.Service, sock.Listener)
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	line("memory", "%d MiB in use, %d goroutines", m.HeapAlloc>>20, runtime.NumGoroutine())
	line("panics", "%d", metrics.PanicCount())
	return tw.Flush()
}
