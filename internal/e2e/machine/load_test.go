//go:build linux

package machine

import (
	"context"
	"fmt"
	"net"
	"net/smtp"
	"strings"
	"sync"
	"testing"
	"time"

	"mox/imap"
	"mox/imapclient"
)

// A load sends messages to the user from other hosts, over and over.
type load struct {
	t    testing.TB
	w    *world
	name string
	wg   sync.WaitGroup
	stop func() // Ends it.

	mu    sync.Mutex
	acked []string // Subjects of messages that the server has taken.
}

// loadConnections is how many connections send at the same time.
const loadConnections = 4

// startLoad begins. What is called for each message that the server has taken, soon after
// that.
func (w *world) startLoad(t testing.TB, name string, taken func(subject string)) *load {
	t.Helper()
	w.machine.mox(t, "senders", "allow", "you", withDANE) // Senders that are not known have to wait.
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{t: t, w: w, name: name}
	l.stop = func() {
		cancel()
		l.wg.Wait()
	}
	t.Cleanup(l.stop)
	for i := range loadConnections {
		l.wg.Go(func() { l.send(ctx, i, taken) })
	}
	return l
}

// send sends messages until it is to stop. Errors are what servers have that are killed.
func (l *load) send(ctx context.Context, connection int, taken func(subject string)) {
	var c *smtp.Client
	defer func() {
		if c != nil {
			_ = c.Close()
		}
	}()
	for i := 0; ctx.Err() == nil; i++ {
		if c == nil {
			var err error
			if c, err = l.dial(); err != nil {
				time.Sleep(50 * time.Millisecond)
				continue
			}
		}
		subject := fmt.Sprintf("%s-%d-%d.", l.name, connection, i)
		if err := transaction(c, withDANE, address, subject); err != nil {
			_ = c.Close()
			c = nil
			continue
		}
		l.mu.Lock()
		l.acked = append(l.acked, subject)
		l.mu.Unlock()
		if taken != nil {
			taken(subject)
		}
	}
}

func (l *load) dial() (*smtp.Client, error) {
	nc, err := l.w.peer.Dial(l.t, net.JoinHostPort(l.w.machine.IP4(), "25"))
	if err != nil {
		return nil, err
	}
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	c, err := smtp.NewClient(nc, hostname)
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	if err := c.Hello(peerName); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// count is how many messages the server has taken so far.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// more waits until the server has taken some more messages.
func (l *load) more(n int) {
	l.t.Helper()
	want := l.count() + n
	poll(l.t, fmt.Sprintf("%d more messages are taken", n), func() bool { return l.count() >= want })
}

// missing returns those of some subjects that no message of the user has, wherever it is.
func (w *world) missing(t testing.TB, subjects []string) []string {
	t.Helper()
	c := w.imap(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	var all strings.Builder
	for _, mailbox := range []string{"INBOX", "Junk", "Rejects"} {
		if _, err := c.Select(ctx, mailbox, imapclient.SelectOptions{}); err != nil {
			continue
		}
		item := imap.FetchItem{Attr: imap.FetchEnvelope}
		l, _, err := c.Fetch(ctx, imapclient.UID, imap.NumSet{Ranges: []imap.NumRange{{First: 1, Last: 0}}}, []imap.FetchItem{item}, imapclient.FetchOptions{})
		if err != nil {
			t.Fatalf("imap fetch: %v", err)
		}
		for _, m := range l {
			if m.Envelope != nil {
				fmt.Fprintf(&all, "%s\n", m.Envelope.Subject.Value)
			}
		}
	}
	var missing []string
	for _, s := range subjects {
		if !strings.Contains(all.String(), s) {
			missing = append(missing, s)
		}
	}
	return missing
}
