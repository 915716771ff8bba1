package tlsrptdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/mjl-/bstore"

	"mox/internal/metrics"
	"mox/mlog"
)

// A writer collects results, so that a delivery does not wait for a transaction.
type writer struct {
	mu      sync.Mutex // Guards what follows.
	pending map[resultKey]*TLSResult
	hosts   map[string]time.Time // That did TLS.
	timer   *time.Timer          // Set while there is something to write.
	closed  bool
	pruned  time.Time // When old records were removed last.

	writing sync.Mutex // Held while pending is written.
}

// A resultKey says which results are one record.
type resultKey struct {
	policy, recipient, day string
	host                   bool
}

// A batch is what is written at once.
type batch struct {
	results map[resultKey]*TLSResult
	hosts   map[string]time.Time
}

func (w *writer) init() {
	w.pending, w.hosts = map[resultKey]*TLSResult{}, map[string]time.Time{}
}

// resultUsage is how many records there are of a kind, by its name.
type resultUsage struct {
	Kind    string
	Records int64
}

// Kinds of records that are counted.
const (
	kindResults = "results"
	kindHosts   = "hosts"
)

// Add adds sessions of a time, which is now if it is zero. It does not wait for the
// disk, and returns an error only for what cannot be stored.
func (d *Results) Add(at time.Time, sessions ...Session) error {
	if at.IsZero() {
		at = time.Now()
	}
	var l []TLSResult
	for _, s := range sessions {
		r, err := newResult(s, at)
		if err != nil {
			return err
		}
		l = append(l, r)
	}
	w := &d.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	for _, r := range l {
		key := resultKey{r.PolicyDomain, r.RecipientDomain, r.Day, r.IsHost}
		if old := w.pending[key]; old != nil {
			metricDropped.Add(float64(old.merge(r)))
		} else if len(w.pending) >= maxPending {
			metricDropped.Inc()
		} else {
			w.pending[key] = &r
		}
	}
	d.schedule()
	return nil
}

// schedule makes what is pending be written. Mu is held.
func (d *Results) schedule() {
	if w := &d.writer; w.timer == nil {
		w.timer = time.AfterFunc(writeDelay, d.writeLater)
	}
}

// writeLater writes in the background.
func (d *Results) writeLater() {
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			d.log.Error("unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
		}
	}()
	ctx := context.Background()
	if err := d.Flush(ctx); err != nil {
		return // It was logged.
	}
	w := &d.writer
	now := time.Now()
	w.mu.Lock()
	due := now.Sub(w.pruned) >= time.Hour && !w.closed
	if due {
		w.pruned = now
	}
	w.mu.Unlock()
	if !due {
		return
	}
	if err := d.Prune(ctx, now); err != nil && !errors.Is(err, ErrClosed) {
		d.log.Error("removing old tls results", mlog.Err(err))
	}
}

// Flush writes what waits to be written. What cannot be written is lost.
func (d *Results) Flush(ctx context.Context) error {
	w := &d.writer
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	closed := w.closed
	b := w.take()
	w.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return d.write(ctx, b)
}

// take returns what is to be written. Mu is held.
func (w *writer) take() batch {
	b := batch{w.pending, w.hosts}
	w.init()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	return b
}

// stopWriter writes what is left.
func (d *Results) stopWriter() error {
	w := &d.writer
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	b := w.take()
	w.closed = true
	w.mu.Unlock()
	return d.write(context.Background(), b)
}

// write writes a batch in one transaction. Writing is held.
func (d *Results) write(ctx context.Context, b batch) error {
	if len(b.results) == 0 && len(b.hosts) == 0 {
		return nil
	}
	var dropped int64
	err := d.bdb.Write(ctx, func(tx *bstore.Tx) error {
		dropped = 0
		for _, r := range b.results {
			n, err := d.put(tx, *r)
			if err != nil {
				return err
			}
			dropped += n
		}
		for host, last := range b.hosts {
			if err := d.putHost(tx, host, last); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		dropped = 0
		for _, r := range b.results {
			s, f := r.sessions()
			dropped += s + f
		}
		d.log.ErrorContext(ctx, "writing tls results", mlog.Err(err), slog.Int64("lost", dropped), slog.Int("losthosts", len(b.hosts)))
		err = fmt.Errorf("write tls results: %w", err)
	} else if dropped > 0 {
		d.log.WarnContext(ctx, "too many tls results, reports will not have all sessions", slog.Int64("dropped", dropped))
	}
	metricDropped.Add(float64(dropped))
	return err
}

// put adds a record to the one for the same domains and day, or inserts it if there is
// room. It returns how many sessions are left out.
func (d *Results) put(tx *bstore.Tx, r TLSResult) (dropped int64, err error) {
	old, err := bstore.QueryTx[TLSResult](tx).FilterEqual("PolicyDomain", r.PolicyDomain).FilterEqual("Day", r.Day).
		FilterEqual("RecipientDomain", r.RecipientDomain).FilterEqual("IsHost", r.IsHost).Get()
	if err == nil {
		dropped = old.merge(r)
		return dropped, tx.Update(&old)
	} else if !errors.Is(err, bstore.ErrAbsent) {
		return 0, err
	}
	full, err := d.full(tx, r)
	if err != nil {
		return 0, err
	}
	if full {
		s, f := r.sessions()
		return s + f, nil
	}
	if err := tx.Insert(&r); err != nil {
		return 0, err
	}
	_, err = addUsage(tx, kindResults, 1)
	return 0, err
}

// full reports whether there is no room for another record.
func (d *Results) full(tx *bstore.Tx, r TLSResult) (bool, error) {
	n, err := addUsage(tx, kindResults, 0)
	if err != nil || n >= int64(d.limits.results) {
		return true, err
	}
	c, err := bstore.QueryTx[TLSResult](tx).FilterNonzero(TLSResult{PolicyDomain: r.PolicyDomain, Day: r.Day}).Limit(d.limits.policyDay).Count()
	if err != nil || c >= d.limits.policyDay {
		return true, err
	}
	c, err = bstore.QueryTx[TLSResult](tx).FilterNonzero(TLSResult{RecipientDomain: r.RecipientDomain, Day: r.Day}).Limit(d.limits.recipientDay).Count()
	return c >= d.limits.recipientDay, err
}

// addUsage adds to the number of records of a kind and returns it.
func addUsage(tx *bstore.Tx, kind string, n int64) (int64, error) {
	u := resultUsage{Kind: kind}
	err := tx.Get(&u)
	isNew := errors.Is(err, bstore.ErrAbsent)
	if err != nil && !isNew {
		return 0, err
	}
	u.Records += n
	switch {
	case n == 0:
		return u.Records, nil
	case isNew:
		err = tx.Insert(&u)
	default:
		err = tx.Update(&u)
	}
	return u.Records, err
}
