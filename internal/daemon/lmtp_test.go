package daemon

import (
	"bufio"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// lmtpDir returns a directory of a server with LMTP.
func lmtpDir(t *testing.T) (dir, socket string) {
	t.Helper()
	dir = newDir(t)
	change(t, filepath.Join(dir, "mox.conf"), "\t\tLimits:", "\t\tLMTP:\n\t\t\tEnabled: true\n\t\t\tSocket: lmtp\n\t\tLimits:")
	return dir, filepath.Join(dir, "lmtp")
}

func TestLMTPOnAUnixSocket(t *testing.T) {
	t.Parallel()
	dir, socket := lmtpDir(t)
	// Left over from a server that was killed.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	d := start(t, dir)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0660 {
		t.Errorf("socket: %v, %v", info, err)
	}
	nc, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	br := bufio.NewReader(nc)
	cmd := func(line string, replies ...string) {
		t.Helper()
		if line != "" {
			if _, err := nc.Write([]byte(line + "\r\n")); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range replies {
			for {
				got, err := br.ReadString('\n')
				if err != nil || !strings.HasPrefix(got, want) {
					t.Fatalf("%q: got %q, %v, expected %q", line, got, err, want)
				}
				if got[3] == ' ' {
					break
				}
			}
		}
	}
	cmd("", "220 localhost LMTP")
	cmd("LHLO client.example", "250")
	cmd("MAIL FROM:<a@remote.example>", "250 2.1.0")
	cmd("RCPT TO:<mox@localhost>", "250 2.1.0")
	cmd("RCPT TO:<other@localhost>", "250 2.1.0")
	cmd("DATA", "354")
	cmd("Subject: handed over\r\n\r\nx\r\n.", "250 2.2.0 <mox@localhost>", "250 2.2.0 <other@localhost>")
	cmd("QUIT", "221 2.0.0")

	// The socket is taken, by another server too.
	opts, _ := testOptions(filepath.Dir(socket))
	if s, err := Start(t.Context(), opts); err == nil {
		t.Errorf("another server has started: %v", s)
	}
	d.stop()
	if !strings.Contains(d.log.String(), ` m="new connection" `) || strings.Contains(d.log.String(), " remote=") {
		t.Error("no line of a connection without address")
	}
	if _, err := os.Stat(socket); err == nil {
		t.Errorf("socket is still there")
	}
}
