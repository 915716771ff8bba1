//go:build unix

package privsep

import (
	"bytes"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestSystemdIsNotWaitedForForever(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notify")
	addr := &net.UnixAddr{Name: path, Net: "unixgram"}
	l, err := net.ListenUnixgram("unixgram", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var log bytes.Buffer
	n := &Notifier{log: slog.New(slog.NewTextHandler(&log, nil)), socket: path}
	n.Ready("serving\nwell")
	buf := make([]byte, 1000)
	got, err := l.Read(buf)
	if want := "READY=1\nSTATUS=serving well"; err != nil || string(buf[:got]) != want {
		t.Errorf("told %q, want %q; %v", buf[:got], want, err)
	}
	// It reads no more.
	c, err := net.DialUnix("unixgram", nil, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for err = nil; err == nil; {
		if err := c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		_, err = c.Write([]byte("full"))
	}
	n.Stopping()
	if !strings.Contains(log.String(), "telling systemd") || !strings.Contains(log.String(), "timeout") {
		t.Errorf("log: %s", &log)
	}
}
