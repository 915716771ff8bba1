package dmarcdb

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

// A writer collects evaluations, so that a message does not cost a transaction.
type writer struct {
	mu      sync.Mutex // Guards what follows.
	pending map[evaluationKey]*Evaluation
	batch   []*Evaluation // Those in pending, in the order in which they came.
	timer   *time.Timer   // Set while there is something to write.
	closed  bool
	pruned  int64 // Hour in which old records were removed last.

	writing sync.Mutex // Held while pending is written.

	running sync.WaitGroup // Of writeLater, for each timer that has not been stopped.
}

// An evaluationKey says which evaluations are the same.
type evaluationKey struct {
	hour   int64
	digest string
}

func (w *writer) init() {
	w.pending, w.batch = map[evaluationKey]*Evaluation{}, nil
}

// AddEvaluation adds messages, as many as e.Record.Count, from the time e.Last, which
// is now if it is zero. Fields that follow from others are set. It does not wait for
// the disk, and returns an error only for what cannot be stored.
func (d *DB) AddEvaluation(e Evaluation) error {
	if err := e.prepare(); err != nil {
		return err
	}
	w := &d.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return ErrClosed
	}
	key := evaluationKey{e.Hour, e.Digest}
	if old := w.pending[key]; old != nil {
		old.merge(e)
		return nil
	}
	if len(w.pending) >= maxPending {
		metricDropped.Inc()
		return nil
	}
	w.pending[key] = &e
	w.batch = append(w.batch, &e)
	if w.timer == nil {
		w.running.Add(1)
		w.timer = time.AfterFunc(writeDelay, d.writeLater)
	}
	return nil
}

// writeLater writes in the background.
func (d *DB) writeLater() {
	defer d.writer.running.Done()
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			d.log.Error("unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
		}
	}()
	d.writeAndPrune(context.Background(), time.Now())
}

// writeAndPrune writes what waits, and once in an hour removes what is old.
func (d *DB) writeAndPrune(ctx context.Context, now time.Time) {
	if err := d.Flush(ctx); err != nil {
		return // It was logged.
	}
	w := &d.writer
	w.mu.Lock()
	due := w.pruned < hour(now) && !w.closed
	if due {
		w.pruned = hour(now)
	}
	w.mu.Unlock()
	if !due {
		return
	}
	if _, err := d.Prune(ctx, now); err != nil && !errors.Is(err, ErrClosed) {
		d.log.Error("removing old evaluations", mlog.Err(err))
	}
}

// Flush writes what waits to be written. What cannot be written is lost.
func (d *DB) Flush(ctx context.Context) error {
	w := &d.writer
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	closed := w.closed
	batch := w.take()
	w.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return d.write(ctx, batch)
}

// take returns what is to be written. Mu is held.
func (w *writer) take() []*Evaluation {
	batch := w.batch
	w.init()
	if w.timer != nil {
		if w.timer.Stop() {
			w.running.Done()
		}
		w.timer = nil
	}
	return batch
}

// stopWriter writes what is left, and waits until nothing is done in the background.
func (d *DB) stopWriter() error {
	w := &d.writer
	defer w.running.Wait()
	w.writing.Lock()
	defer w.writing.Unlock()
	w.mu.Lock()
	batch := w.take()
	w.closed = true
	w.mu.Unlock()
	return d.write(context.Background(), batch)
}

// write writes a batch in one transaction. Writing is held.
func (d *DB) write(ctx context.Context, batch []*Evaluation) error {
	if len(batch) == 0 {
		return nil
	}
	dropped := 0
	err := d.evals.Write(ctx, func(tx *bstore.Tx) error {
		dropped = 0
		usage := usageTx{tx: tx}
		for _, e := range batch {
			ok, err := d.put(tx, &usage, *e)
			if err != nil {
				return err
			}
			if !ok {
				dropped++
			}
		}
		return usage.store()
	})
	if err != nil {
		dropped = len(batch)
		d.log.ErrorContext(ctx, "writing dmarc evaluations", mlog.Err(err), slog.Int("lost", dropped))
		err = fmt.Errorf("write evaluations: %w", err)
	} else if dropped > 0 {
		d.log.WarnContext(ctx, "too many dmarc evaluations, reports will not have all messages", slog.Int("dropped", dropped))
	}
	metricDropped.Add(float64(dropped))
	return err
}

// put adds an evaluation to the one that is the same, or inserts it if there is
// room.
func (d *DB) put(tx *bstore.Tx, usage *usageTx, e Evaluation) (ok bool, err error) {
	old, err := bstore.QueryTx[Evaluation](tx).FilterNonzero(Evaluation{Hour: e.Hour, Digest: e.Digest}).Get()
	if err == nil {
		old.merge(e)
		return true, tx.Update(&old)
	} else if !errors.Is(err, bstore.ErrAbsent) {
		return false, err
	}
	for domain, limit := range map[string]int64{e.PolicyDomain: d.limits.domainEvaluations, allDomains: d.limits.evaluations} {
		u, err := usage.get(domain)
		if err != nil {
			return false, err
		}
		if u.Records >= limit {
			return false, nil
		}
	}
	if err := tx.Insert(&e); err != nil {
		return false, err
	}
	return true, usage.add(e.PolicyDomain, 1)
}

// usageTx has the usages that a transaction changes.
type usageTx struct {
	tx *bstore.Tx
	m  map[string]*storedUsage
}

type storedUsage struct {
	evaluationUsage
	stored bool
}

func (u *usageTx) get(domain string) (*storedUsage, error) {
	if s := u.m[domain]; s != nil {
		return s, nil
	}
	s := &storedUsage{evaluationUsage{PolicyDomain: domain}, true}
	err := u.tx.Get(&s.evaluationUsage)
	if errors.Is(err, bstore.ErrAbsent) {
		s.stored = false
	} else if err != nil {
		return nil, err
	}
	if u.m == nil {
		u.m = map[string]*storedUsage{}
	}
	u.m[domain] = s
	return s, nil
}

// add changes the number of a domain, and that of all.
func (u *usageTx) add(domain string, n int64) error {
	for _, name := range []string{domain, allDomains} {
		s, err := u.get(name)
		if err != nil {
			return err
		}
		s.Records += n
	}
	return nil
}

// store writes the usages. There are none for domains without records.
func (u *usageTx) store() error {
	for _, s := range u.m {
		var err error
		switch {
		case s.Records > 0 && s.stored:
			err = u.tx.Update(&s.evaluationUsage)
		case s.Records > 0:
			err = u.tx.Insert(&s.evaluationUsage)
		case s.stored:
			err = u.tx.Delete(&s.evaluationUsage)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
