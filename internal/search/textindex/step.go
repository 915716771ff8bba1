package textindex

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"runtime/debug"
	"time"

	"mox/internal/background"
	"mox/internal/fts"
	"mox/internal/metrics"
	"mox/mlog"
	"mox/store"
)

const (
	// readIDs is how many content ids are read at a time.
	readIDs = fts.MaxBatchMessages
	// maxTries is how often a message that cannot be read is tried before it is skipped.
	maxTries = 5
	// minFree is how many octets must be free besides those for mail: what a batch and a
	// merge may take at a time.
	minFree = 64 << 20
	// lagDelay is how long after a batch what came at the same time is looked for.
	lagDelay = 5 * time.Second
)

// step indexes a batch of an account, and compares ids first if that is due.
func (t *Indexer) step(ctx context.Context, job *background.Job) (more bool, err error) {
	acc, err := t.opts.Store.Account(ctx, job.Account)
	if errors.Is(err, store.ErrNoAccount) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer acc.Release()
	x, err := t.acquire(ctx, acc)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, t.open.Release(x)) }()
	if _, compared := t.compared.LoadOrStore(job.Account, true); !compared {
		if err = t.compare(ctx, acc, x.Index); err != nil {
			t.compared.Delete(job.Account)
		}
	}
	if err == nil {
		more, err = t.add(ctx, job, acc, x.Index)
	}
	if err == nil {
		err = x.Maintain(ctx)
	}
	switch {
	case errors.Is(err, fts.ErrDamaged):
		return true, t.discard(ctx, job.Account, x, "damaged")
	case errors.Is(err, fts.ErrWrite):
		// What the file holds now is not known: it is opened and looked at again.
		return false, errors.Join(err, t.open.Drop(ctx, job.Account, x))
	}
	x.measure()
	if err == nil && !more {
		err = t.lag(ctx, acc, x.Index)
	}
	return more, err
}

// lag plans to look again if there are messages above the mark of the account.
func (t *Indexer) lag(ctx context.Context, acc *store.Account, x *fts.Index) error {
	ids, err := acc.ContentIDs(ctx, x.Mark(), math.MaxInt64, 1)
	if err != nil || len(ids) == 0 {
		return err
	}
	t.sched.WakeAfter(acc.Name(), max(t.opts.Delay, lagDelay))
	return nil
}

// add indexes a batch.
func (t *Indexer) add(ctx context.Context, job *background.Job, acc *store.Account, x *fts.Index) (more bool, err error) {
	end, err := acc.ContentMark()
	if err != nil {
		return false, err
	}
	if t.opts.Floor != nil {
		if err := t.opts.Floor.Check(minFree); err != nil {
			return false, err
		}
	}
	ids, err := acc.ContentIDs(ctx, x.Mark(), end, readIDs)
	if err != nil {
		return false, err
	}
	var b fts.Batch
	added, skipped := 0, 0
	mark := end
	for i, id := range ids {
		if b.Full() || b.Len() > 0 && ctx.Err() != nil {
			mark, more = id, true
			break
		}
		text, err := t.read(ctx, acc, id)
		switch {
		case err == nil:
			added++
			err = b.Add(id, text)
		case errors.Is(err, store.ErrNoMessage): // Erased meanwhile.
			continue
		case errors.Is(err, errTooLong), errors.Is(err, errUnreadable), errors.Is(err, fs.ErrNotExist), i == 0 && job.Failures >= maxTries-1:
			skipped++
			t.log.Warn("message is not in the text index, and is read for each search", "account", job.Account, "content", id, mlog.Err(err))
			err = b.Skip(id)
		default:
			err = fmt.Errorf("read message with content id %d: %w", id, err)
		}
		if err != nil {
			if i == 0 {
				return false, err
			}
			// What came before it is taken first.
			mark, more = id, true
			break
		}
	}
	if !more && len(ids) == readIDs {
		mark, more = ids[len(ids)-1]+1, true
	}
	if mark == x.Mark() {
		return false, nil
	}
	// What was begun is finished also when the server is stopping.
	if err := x.Apply(context.WithoutCancel(ctx), &b, mark); err != nil {
		return false, fmt.Errorf("add to text index: %w", err)
	}
	job.Failures = 0
	if t.applied != nil {
		if err := t.applied(); err != nil {
			return false, err
		}
	}
	metricMessages.WithLabelValues("added").Add(float64(added))
	metricMessages.WithLabelValues("skipped").Add(float64(skipped))
	return more, nil
}

// errUnreadable: a message can be opened, but not read as one.
var errUnreadable = errors.New("message cannot be read")

// read returns the text of a message.
func (t *Indexer) read(ctx context.Context, acc *store.Account, id int64) (text fts.Text, rerr error) {
	c, err := acc.OpenContentOnce(ctx, id)
	if err != nil {
		return text, err
	}
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			t.log.Error("panic while reading a message for the text index", "account", acc.Name(), "content", id, "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
			rerr = fmt.Errorf("%w: panic: %v", errUnreadable, x)
		}
		rerr = errors.Join(rerr, c.Close())
	}()
	return read(ctx, c)
}

// compare removes from the index what the account does not have any more.
func (t *Indexer) compare(ctx context.Context, acc *store.Account, x *fts.Index) error {
	for from := int64(0); ; {
		have, err := x.IDs(from, readIDs)
		if err != nil || len(have) == 0 {
			return err
		}
		last := have[len(have)-1]
		var gone []int64
		for i := 0; i < len(have); {
			// As many as there are indexed ones in the same range, and more if there are others.
			known, err := acc.ContentIDs(ctx, have[i], last+1, len(have))
			if err != nil {
				return err
			}
			upto := last
			if len(known) == len(have) {
				upto = known[len(known)-1]
			}
			for ; i < len(have) && have[i] <= upto; i++ {
				for len(known) > 0 && known[0] < have[i] {
					known = known[1:]
				}
				if len(known) == 0 || known[0] != have[i] {
					gone = append(gone, have[i])
				}
			}
		}
		if err := x.Remove(ctx, gone); err != nil {
			return err
		}
		metricMessages.WithLabelValues("removed").Add(float64(len(gone)))
		from = last + 1
	}
}
