package privsep

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"mox/mlog"
)

// A Notifier tells systemd how the server is doing, if it wants to know: what started
// the server has set NOTIFY_SOCKET then. What systemd watches is the process that stays
// root, so the unit must have NotifyAccess=all. It is safe for concurrent use.
type Notifier struct {
	log      *slog.Logger
	socket   string        // Empty: nobody wants to know.
	watchdog time.Duration // How often it must hear of us. Zero: it does not care.
}

// NewNotifier returns a notifier for the environment of this process.
func NewNotifier(log *slog.Logger) *Notifier {
	n := &Notifier{log: log, socket: os.Getenv("NOTIFY_SOCKET")}
	var err error
	if n.watchdog, err = daemon.SdWatchdogEnabled(true); err != nil {
		log.Error("watchdog of systemd", mlog.Err(err))
	}
	return n
}

// notifyTimeout is how long systemd may take to read what it was told before.
const notifyTimeout = 5 * time.Second

func (n *Notifier) notify(state string) {
	if n.socket == "" {
		return
	}
	if err := n.send(state); err != nil {
		n.log.Error("telling systemd", "state", state, mlog.Err(err))
	}
}

// send sends one message. See sd_notify(3).
func (n *Notifier) send(state string) (rerr error) {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, conn.Close()) }()
	if err := conn.SetWriteDeadline(time.Now().Add(notifyTimeout)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(state))
	return err
}

// Ready says that the server serves, and something about how in a line.
func (n *Notifier) Ready(status string) {
	n.notify(daemon.SdNotifyReady + "\nSTATUS=" + oneLine(status))
}

// Reloading says that files are read again. Ready must follow.
func (n *Notifier) Reloading() {
	n.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

// Stopping says that the server is stopping.
func (n *Notifier) Stopping() {
	n.notify(daemon.SdNotifyStopping)
}

// Watch tells the watchdog that the server is well, for as long as check says so, until
// ctx ends. A server that is not is started again by systemd.
func (n *Notifier) Watch(ctx context.Context, check func(context.Context) error) {
	if n.socket == "" || n.watchdog <= 0 {
		return
	}
	interval := n.watchdog / 3
	n.log.Info("watchdog of systemd is told that the server is well", "interval", interval)
	for {
		cctx, cancel := context.WithTimeout(ctx, interval)
		err := check(cctx)
		cancel()
		if err == nil {
			n.notify(daemon.SdNotifyWatchdog)
		} else if ctx.Err() == nil {
			n.log.Error("server is not well, the watchdog of systemd is not told otherwise", mlog.Err(err))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
	}
}

// maxStatus is how long the text for systemd is, in bytes.
const maxStatus = 500

// oneLine makes a text one line.
func oneLine(s string) string {
	b := []byte(s)
	if len(b) > maxStatus {
		b = append(b[:maxStatus], "..."...)
	}
	for i, c := range b {
		if c < ' ' {
			b[i] = ' '
		}
	}
	return string(b)
}
