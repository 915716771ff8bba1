//go:build linux

package machine

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mox/internal/testkit"
	"mox/internal/testkit/powercut"
)

// up waits until the server answers on the port for mail.
func (m *machine) up(t testing.TB) {
	t.Helper()
	poll(t, "the server is up", func() bool {
		nc, err := m.Dial(t, net.JoinHostPort(m.IP4(), "25"))
		if err != nil {
			return false
		}
		defer nc.Close()
		if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
			return false
		}
		b := make([]byte, 4)
		n, _ := io.ReadFull(nc, b)
		return string(b[:n]) == "220 "
	})
}

// start starts the server. That it was started often is no reason not to.
func (m *machine) start(t testing.TB) {
	t.Helper()
	m.run(t, "systemctl", "reset-failed", "mox")
	m.run(t, "systemctl", "start", "mox")
	m.up(t)
}

// verify stops the server, and checks its data.
func (m *machine) verify(t testing.TB) {
	t.Helper()
	m.run(t, "systemctl", "stop", "mox")
	m.mox(t, "verifydata")
}

// testKills kills the child and the parent while mail comes in. systemd starts the server
// again, and what was taken is there.
func (w *world) testKills(t *testing.T) {
	m := w.machine
	l := w.startLoad(t, "kill", nil)
	for _, which := range []string{"child", "parent"} {
		l.more(20)
		parent, child := m.processes(t)
		pid := map[string]string{"child": child, "parent": parent}[which]
		m.run(t, "sh", "-c", "kill -9 "+pid)
		poll(t, "both are gone after the "+which+" was killed", func() bool {
			_, err := m.try(t, "sh", "-c", "kill -0 "+parent+" || kill -0 "+child)
			return err != nil
		})
		m.up(t)
		if p, c := m.processes(t); p == parent || c == child {
			t.Errorf("processes %s and %s are still there", p, c)
		}
	}
	l.more(20)
	l.stop()
	if missing := w.missing(t, l.acked); len(missing) > 0 {
		t.Errorf("%d of %d messages that were taken are gone: %q", len(missing), len(l.acked), missing)
	}
	t.Logf("%d messages were taken", len(l.acked))
	m.verify(t)
	m.start(t)
}

// recorded is the directory of the machine below which writes are recorded.
const recorded = "/srv/recorded"

// testPowerCut runs the server on a file system that records writes, while mail comes in, and
// starts it with what a power cut would have left.
func (w *world) testPowerCut(t *testing.T) {
	const cuts, starts = 12, 3
	m, rec := w.machine, w.recorder
	m.run(t, "systemctl", "stop", "mox")
	// What was there before is on disk.
	m.run(t, "sh", "-e", "-c", "cp -a /home/mox/data/. "+recorded+"/ && chown --reference=/home/mox/data "+recorded+" && find "+recorded+" -depth -exec sync {} + && mount --bind "+recorded+" /home/mox/data")
	m.start(t)
	begin := rec.Replay().Len()
	l := w.startLoad(t, "cut", func(subject string) { rec.Mark(subject) })
	n := 60
	if soak() {
		n = 500
	}
	l.more(n)
	l.stop()
	m.run(t, "systemctl", "stop", "mox")
	m.run(t, "umount", "/home/mox/data")

	p := rec.Replay()
	rnd := rand.New(rand.NewPCG(uint64(p.Len()), 6))
	for i := range cuts {
		cut := begin + (i+1)*(p.Len()-begin)/cuts
		marks, err := p.Advance(cut)
		if err != nil {
			t.Fatal(err)
		}
		acked := make([]string, 0, len(marks))
		for _, mark := range marks {
			acked = append(acked, mark.(string))
		}
		keep := powercut.Keep(i % 3)
		what := fmt.Sprintf("power cut at event %d of %d, kind %d, after %d messages", cut, p.Len(), keep, len(acked))
		// Outside of the machine, for it is gone when the test is.
		data := filepath.Join(testkit.PublicDir(t), "data")
		if err := p.Build(data, keep, rnd); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(testkit.Mox(t), "verifydata", data).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", what, err, out)
			continue
		}
		if i%(cuts/starts) != cuts/starts-1 && !soak() {
			continue
		}
		m.run(t, "sh", "-e", "-c", "rm -rf /home/mox/data")
		if out, err := exec.Command("cp", "-a", data, m.path("home/mox/data")).CombinedOutput(); err != nil {
			t.Fatalf("copying: %v\n%s", err, out)
		}
		m.run(t, "chown", "-R", "mox:", "/home/mox/data")
		m.start(t)
		if missing := w.missing(t, acked); len(missing) > 0 {
			t.Errorf("%s: %d are gone: %q", what, len(missing), missing)
		}
		m.verify(t)
		t.Log(what + ": started and verified")
	}
	m.start(t)
}
