package training

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"

	"mox/internal/background"
	"mox/internal/metrics"
	"mox/junk"
	"mox/message"
	"mox/mlog"
	"mox/store"
)

const (
	// batchRows is how many rows are taken in one commit, during which the filter judges
	// no messages.
	batchRows = 50
	// batchTokens is how many tokens are in memory for a batch, beyond those of its last
	// message.
	batchTokens = 100_000
	// maxTries is how often a message that cannot be read is tried before it is skipped.
	maxTries = 5
)

// errUnreadable: a message can be opened, but not read as one.
var errUnreadable = errors.New("message cannot be read")

// step trains an account with one batch. When ctx ends, the batch ends early.
func (t *Trainer) step(ctx context.Context, job *background.Job) (more bool, err error) {
	conf, ok := t.opts.Config.Snapshot().Account(job.Account)
	if !ok || conf.JunkFilter == nil {
		return false, nil // The rows stay for when it has one.
	}
	acc, err := t.opts.Store.Account(ctx, job.Account)
	if errors.Is(err, store.ErrNoAccount) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer acc.Release()
	if idle, err := t.idle(ctx, acc); idle || err != nil {
		return false, err
	}
	f, err := t.acquire(ctx, job.Account, *conf.JunkFilter)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, t.open.Release(f)) }()
	if f.fresh {
		_, err := t.relearn(ctx, acc, f)
		return true, err
	}
	n, err := t.learn(ctx, job, acc, f)
	if errors.Is(err, junk.ErrDamaged) {
		return true, t.discard(ctx, job.Account, f, err)
	}
	return n > 0, err
}

// idle reports whether there is nothing to do for an account, without opening its
// filter.
func (t *Trainer) idle(ctx context.Context, acc *store.Account) (bool, error) {
	rows, err := acc.Lessons(ctx, 1)
	if err != nil || len(rows) > 0 {
		return false, err
	}
	found, err := exists(t.path(acc.Name()) + newSuffix)
	return !found, err
}

// learn takes a batch of rows, and returns how many, zero if there are none.
func (t *Trainer) learn(ctx context.Context, job *background.Job, acc *store.Account, f *filter) (n int, err error) {
	rows, err := acc.Lessons(ctx, batchRows)
	if err != nil {
		return 0, err
	}
	b := batch{t: t, acc: acc, last: f.Last(), tries: job.Failures, tokens: map[int64]*junk.Tokens{}}
	for _, row := range rows {
		if n > 0 && (b.size > batchTokens || ctx.Err() != nil) {
			break
		}
		if err = b.add(ctx, row); err != nil {
			break
		}
		n++
	}
	if n == 0 {
		return 0, err // With an error later on, what came before it is taken first.
	}
	// What was begun is finished also when the server is stopping.
	ctx = context.WithoutCancel(ctx)
	upto := rows[n-1].Row
	if err := f.Apply(ctx, upto, b.lessons); err != nil {
		return 0, fmt.Errorf("train: %w", err)
	}
	if t.applied != nil {
		if err := t.applied(); err != nil {
			return 0, err
		}
	}
	if err := acc.ForgetLessons(ctx, upto); err != nil {
		return 0, fmt.Errorf("forget lessons: %w", err)
	}
	metricLessons.WithLabelValues("learned").Add(float64(len(b.lessons)))
	metricLessons.WithLabelValues("skipped").Add(float64(b.skipped))
	t.log.Debug("junk filter trained", "account", job.Account, "lessons", len(b.lessons), "skipped", b.skipped)
	return n, nil
}

// batch is lessons for one commit.
type batch struct {
	t     *Trainer
	acc   *store.Account
	last  int64 // The last row that the filter has taken.
	tries int   // How often the first row has failed.

	rows    int
	lessons []junk.Lesson
	tokens  map[int64]*junk.Tokens // By content. Nil for one that cannot be read.
	size    int                    // Tokens.
	skipped int
}

// add reads what a row is about. After an error the batch is as before.
func (b *batch) add(ctx context.Context, row store.Lesson) error {
	b.rows++
	if row.Row <= b.last {
		return nil // Taken before a crash.
	}
	tokens, ok := b.tokens[row.ContentID]
	if !ok {
		var err error
		tokens, err = b.t.read(ctx, b.acc, row.ContentID)
		switch {
		case err == nil:
			b.size += tokens.Len()
		case errors.Is(err, store.ErrNoMessage):
		case errors.Is(err, errUnreadable), errors.Is(err, fs.ErrNotExist), b.rows == 1 && b.tries >= maxTries-1:
			b.t.log.Error("message for junk filter skipped", "account", b.acc.Name(), "content", row.ContentID, mlog.Err(err))
		default:
			return fmt.Errorf("read message with content id %d: %w", row.ContentID, err)
		}
		b.tokens[row.ContentID] = tokens
	}
	if tokens == nil {
		b.skipped++
		return nil
	}
	b.lessons = append(b.lessons, junk.Lesson{Tokens: tokens, Spam: row.Junk, Undo: row.Undo})
	return nil
}

// read makes tokens of a message. They are nil with an error.
func (t *Trainer) read(ctx context.Context, acc *store.Account, contentID int64) (tokens *junk.Tokens, rerr error) {
	c, err := acc.OpenContentOnce(ctx, contentID)
	if err != nil {
		return nil, err
	}
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic(pkgName)
			t.log.Error("panic while reading a message for the junk filter", "account", acc.Name(), "content", contentID, "panic", fmt.Sprint(x), "stack", string(debug.Stack()))
			tokens, rerr = nil, fmt.Errorf("%w: panic: %v", errUnreadable, x)
		}
		if err := c.Close(); err != nil {
			tokens, rerr = nil, errors.Join(rerr, err)
		}
	}()
	// As it came, and was judged: without what we have written in front.
	prefix := int64(len(c.Prefix()))
	r := io.NewSectionReader(c, prefix, c.Size()-prefix)
	root, err := message.Parse(r, r.Size(), message.Limits{})
	if err != nil {
		return nil, err
	}
	return junk.Read(r, r.Size(), root)
}
