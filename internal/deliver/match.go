package deliver

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"mox/internal/metrics"
	"mox/mlog"
	"mox/smtp"
)

// Matcher finds out which messages that were sent from here a notification is about, and
// records what it says.
type Matcher interface {
	MatchDSN(ctx context.Context, account string, rcpt smtp.Path, r io.ReaderAt, size int64) error
}

const (
	// maxMatches is how many notifications wait to be looked at. More are delivered all
	// the same.
	maxMatches = 1000

	// matchTimeout is how long looking at one may take, and maxMatchSize how large it
	// can be, in octets: with the message that it returns.
	matchTimeout = time.Minute
	maxMatchSize = 50 << 20
)

// matching looks at notifications after they were delivered, one after the other, so that
// none delays or fails a delivery. What waits at a stop is not looked at. It is safe for
// concurrent use.
type matching struct {
	mu      sync.Mutex // Guards what follows.
	waiting []matchJob
	running bool
	idle    *sync.Cond // With mu: running has become false.
}

// matchJob is a notification that was delivered.
type matchJob struct {
	account string
	rcpt    smtp.Path
	content int64 // Id.
}

func newMatching() *matching {
	m := &matching{}
	m.idle = sync.NewCond(&m.mu)
	return m
}

// matchLater makes a message that was stored be looked at, if it may be a notification.
func (d *Deliverer) matchLater(ctx context.Context, del Delivery, res Result) {
	if d.matcher == nil || del.Notice || !del.MailFrom.IsZero() && !del.Digest.IsDSN() || del.Size > maxMatchSize {
		return
	}
	m := d.matching
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.waiting) >= maxMatches {
		d.log.WarnContext(ctx, "notification is not looked at, too many wait", slog.String("account", res.Account))
		return
	}
	m.waiting = append(m.waiting, matchJob{res.Account, del.Rcpt, res.Message.ContentID})
	if !m.running {
		m.running = true
		go d.matchAll()
	}
}

// matchAll looks at all that waits.
func (d *Deliverer) matchAll() {
	m := d.matching
	for {
		m.mu.Lock()
		if len(m.waiting) == 0 {
			m.running, m.waiting = false, nil
			m.idle.Broadcast()
			m.mu.Unlock()
			return
		}
		j := m.waiting[0]
		m.waiting = m.waiting[1:]
		m.mu.Unlock()
		if err := d.match(j); err != nil {
			d.log.Error("looking at a notification", mlog.Err(err), slog.String("account", j.account), slog.Int64("contentid", j.content))
		}
	}
}

func (d *Deliverer) match(j matchJob) (rerr error) {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkg)
			d.log.Error("unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
			rerr = fmt.Errorf("panic: %v", x)
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), matchTimeout)
	defer cancel()
	acc, err := d.store.Account(ctx, j.account)
	if err != nil {
		return fmt.Errorf("open account: %w", err)
	}
	defer acc.Release()
	c, err := acc.OpenContent(ctx, j.content)
	if err != nil {
		return fmt.Errorf("open message: %w", err)
	}
	defer c.Close() // Only read.
	return d.matcher.MatchDSN(ctx, j.account, j.rcpt, c, c.Size())
}

// Settle makes notifications that wait be looked at no more, and waits for the one that
// is being looked at. It is for before the store and the queue are closed.
func (d *Deliverer) Settle() {
	m := d.matching
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting = nil
	for m.running {
		m.idle.Wait()
	}
}
