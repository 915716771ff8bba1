//go:build linux

package machine

import (
	"context"
	"fmt"
	"net"
	"net/smtp"
	"regexp"
	"strings"
	"testing"

	"mox/imapclient"

	"golang.org/x/sync/errgroup"
)

// sessions is how many are open while the configuration changes.
const sessions = 200

// clientNumbers are those of addresses for sessions. One network may not have too many.
var clientNumbers = []int{70, 80, 90, 130, 140, 150, 200, 210, 220}

const domainsConf = "home/mox/config/domains.conf"

// accepts reports whether the server takes mail for an address.
func (w *world) accepts(t testing.TB, to string) bool {
	t.Helper()
	nc, err := w.peer.Dial(t, net.JoinHostPort(w.machine.IP4(), "25"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := smtp.NewClient(nc, hostname)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Mail(withDANE); err != nil {
		t.Fatal(err)
	}
	return c.Rcpt(to) == nil
}

// dialFrom connects to a port of the machine from an address of the host with mail programs.
func (w *world) dialFrom(t testing.TB, number int, port string) (nc net.Conn, err error) {
	t.Helper()
	w.client.Do(t, func() {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(fmt.Sprintf("%s%d", network4, number))}, Timeout: patience}
		nc, err = d.Dial("tcp", net.JoinHostPort(w.machine.IP4(), port))
	})
	return nc, err
}

// testReload changes the configuration by hand, rightly and wrongly, while sessions are open.
func (w *world) testReload(t *testing.T) {
	m := w.machine
	open := make([]*imapclient.Client, sessions)
	each := func(fn func(ctx context.Context, i int) error) {
		t.Helper()
		g, ctx := errgroup.WithContext(t.Context())
		g.SetLimit(8)
		for i := range sessions {
			g.Go(func() error { return fn(ctx, i) })
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	each(func(ctx context.Context, i int) error {
		nc, err := w.dialFrom(t, clientNumbers[i%len(clientNumbers)], "993")
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		conn, err := w.secure(nc)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if open[i], err = imapclient.New(ctx, conn, imapclient.Options{}); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if _, err := open[i].Login(ctx, address, m.password); err != nil {
			return fmt.Errorf("login %d: %w", i, err)
		}
		_, err = open[i].Select(ctx, "INBOX", imapclient.SelectOptions{})
		return err
	})
	t.Cleanup(func() {
		for _, c := range open {
			_ = c.Close()
		}
	})
	alive := func() {
		t.Helper()
		each(func(ctx context.Context, i int) error {
			if _, err := open[i].Noop(ctx); err != nil {
				return fmt.Errorf("session %d was dropped: %w", i, err)
			}
			return nil
		})
	}
	good := m.readFile(t, domainsConf)
	t.Cleanup(func() { m.writeFile(t, domainsConf, good) })
	place := regexp.MustCompile(`(?m)^(\t+)` + regexp.QuoteMeta(address) + `:.*\n`).FindStringSubmatchIndex(good)
	if place == nil {
		t.Fatalf("no destination in domains.conf:\n%s", good)
	}
	insert := func(line string) string {
		return good[:place[0]] + good[place[2]:place[3]] + line + "\n" + good[place[0]:]
	}
	const added = "hello@" + domain
	if w.accepts(t, added) {
		t.Fatalf("mail for %s is taken before it is there", added)
	}

	// A good change is noticed without being asked for.
	good = insert(added + ": nil")
	place = regexp.MustCompile(`(?m)^(\t+)` + regexp.QuoteMeta(added) + `:.*\n`).FindStringSubmatchIndex(good)
	m.writeFile(t, domainsConf, good)
	poll(t, "mail for the new address is taken", func() bool { return w.accepts(t, added) })
	alive()

	// So is a bad one, which says where and what, and nothing changes.
	m.writeFile(t, domainsConf, insert("more@elsewhere.example: nil"))
	line := strings.Count(good[:place[0]], "\n") + 1
	field := fmt.Sprintf(`domains\.conf:%d: Accounts\.you\.Destinations\S*more@elsewhere\.example\S*: `, line)
	m.waitLog(t, `previous configuration stays in use.*`+field, 1)
	if out, err := m.try(t, "env", "--chdir=/home/mox", "mox", "config", "test"); err == nil || !regexp.MustCompile(field).MatchString(out) {
		t.Errorf("config test: %v\n%s", err, out)
	}
	m.run(t, "systemctl", "reload", "mox")
	if !w.accepts(t, added) || !w.accepts(t, address) {
		t.Error("mail is not taken any more")
	}
	alive()

	// And when asked, all files are read again.
	m.writeFile(t, domainsConf, good)
	m.mox(t, "config", "test")
	m.run(t, "systemctl", "reload", "mox")
	m.waitLog(t, `m="?reloaded"? `, 2)
	if !w.accepts(t, added) {
		t.Error("mail is not taken any more")
	}
	alive()
}
