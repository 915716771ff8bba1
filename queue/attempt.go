package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"strconv"
	"time"

	"mox/internal/metrics"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/smtp"
)

var metricDelivery = metrics.NewHistogramVec("mox_queue_delivery_duration_seconds",
	"Attempts to deliver messages from the queue, with result: ok, okpartial, timeout, canceled, temperror, permerror, error.",
	[]float64{0.01, 0.05, 0.1, 0.5, 1, 5, 10, 20, 30, 60, 120, 300, 600, 1800},
	"attempt", "transport", "tlsmode", "result")

// errInterrupted is the result of an attempt that was ended by Shutdown.
var errInterrupted = errors.New("interrupted by shutdown of the server")

// work does a job in its own goroutine.
func (q *Queue) work(job queuedb.Job) {
	// The receiver may have to wait for this, so it comes after all else.
	defer func() { q.done <- job.Lane }()
	ctx := mlog.WithCid(q.ctx, q.opts.Cids.Next())
	ctx, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic("queue")
			q.log.ErrorContext(ctx, "unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
		}
	}()
	if job.Notice {
		q.notify(ctx, job)
		return
	}
	q.attempt(ctx, job)
}

// attempt tries to deliver and records what became of it.
func (q *Queue) attempt(ctx context.Context, job queuedb.Job) {
	start := time.Now()
	results := q.deliver(ctx, job)
	duration := time.Since(start)
	outcomes := make([]queuedb.Outcome, len(job.Messages))
	var delayed []queuedb.Message
	for i, m := range job.Messages {
		r := results[i]
		if q.ctx.Err() != nil && r.Err != nil && smtp.AsError(r.Err) == nil {
			r.Err = errInterrupted
		}
		o := q.outcome(m, r, start, duration)
		outcomes[i] = o
		q.logResult(ctx, m, r, o, duration)
		if o.Fate == queuedb.Delivered {
			q.tellDelivered(ctx, job.Base, m, r, *o.Result)
		}
		if o.Fate == queuedb.Retry && m.Attempts == delayAttempt && !m.Sender().IsZero() && m.WantsNotice(smtp.NotifyDelay) {
			m.Results = append(m.Results, *o.Result)
			delayed = append(delayed, m)
		}
	}
	metricDelivery.WithLabelValues(attemptLabel(job), q.opts.Transport.Name(), "", resultLabel(results)).Observe(duration.Seconds())
	if err := q.db.Finish(context.WithoutCancel(ctx), outcomes); err != nil {
		// The attempt itself is recorded, so the message is tried again at its time.
		q.log.ErrorContext(ctx, "recording result of delivery", mlog.Err(err))
		return
	}
	for _, m := range delayed {
		if err := q.tellDelayed(ctx, job.Base, m); err != nil {
			q.log.ErrorContext(ctx, "telling sender that message is delayed", mlog.Err(err), slog.Int64("msgid", m.ID))
		}
	}
}

// deliver makes the attempt, and returns a result for each message.
func (q *Queue) deliver(ctx context.Context, job queuedb.Job) (results []Result) {
	d := Delivery{Base: job.Base, Messages: job.Messages}
	sender := job.Messages[0].Sender()
	if dom, ok := q.opts.Config.Snapshot().Domain(sender.IPDomain.Domain); ok && dom.Disabled {
		return allFailed(d, smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "domain of sender is temporarily disabled"))
	}
	content, err := q.db.OpenContent(job.Base)
	if errors.Is(err, fs.ErrNotExist) {
		return allFailed(d, smtp.Errorf(smtp.C554TransactionFailed, smtp.Se30SystemOther, "message was lost from the storage of the queue").WithCause(err))
	} else if err != nil {
		return allFailed(d, err)
	}
	defer content.Close() // Only read.
	d.Content = content
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic("queue")
			q.log.ErrorContext(ctx, "unhandled panic in transport", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
			results = allFailed(d, fmt.Errorf("panic: %v", x))
		}
	}()
	results = q.opts.Transport.Deliver(ctx, d)
	if len(results) != len(job.Messages) {
		return allFailed(d, fmt.Errorf("transport returned %d results for %d recipients", len(results), len(job.Messages)))
	}
	return results
}

// outcome decides about a message after an attempt.
func (q *Queue) outcome(m queuedb.Message, r Result, start time.Time, d time.Duration) queuedb.Outcome {
	res := queuedb.Result{Start: start, Duration: d, Success: r.Err == nil, Remote: r.Remote}
	o := queuedb.Outcome{ID: m.ID, Result: &res}
	if r.Err == nil {
		res.Code, res.Enhanced = smtp.C250Completed, "2.0.0"
		o.Fate, o.Retain = queuedb.Delivered, q.opts.Retain(m.Account)
		return o
	}
	res.Error = r.Err.Error()
	e := smtp.AsError(r.Err)
	if e != nil {
		res.Code, res.Enhanced, res.Error = int32(e.Code), e.Enhanced, e.Text
	}
	failed := e != nil && e.Permanent() || int(m.Attempts) >= maxAttempts(m)
	switch {
	case errors.Is(r.Err, errInterrupted):
		o.NextAttempt = time.Now()
	case failed && (m.Sender().IsZero() || !m.WantsNotice(smtp.NotifyFailure)):
		o.Fate, o.Retain = queuedb.Drop, q.opts.Retain(m.Account)
	case failed:
		o.Fate = queuedb.Notify
	}
	return o
}

func (q *Queue) logResult(ctx context.Context, m queuedb.Message, r Result, o queuedb.Outcome, d time.Duration) {
	attrs := []any{
		slog.Int64("msgid", m.ID),
		slog.String("account", m.Account),
		slog.Any("mailfrom", m.Sender()),
		slog.Any("rcptto", m.Recipient()),
		slog.Int("attempt", int(m.Attempts)),
		slog.Duration("duration", d),
		slog.String("transport", q.opts.Transport.Name()),
	}
	switch o.Fate {
	case queuedb.Delivered:
		q.log.InfoContext(ctx, "message delivered from queue", attrs...)
	case queuedb.Retry:
		attrs = append(attrs, slog.Time("nextattempt", m.NextAttempt), mlog.Err(r.Err))
		q.log.InfoContext(ctx, "delivery from queue failed, will try again", attrs...)
	default:
		q.log.InfoContext(ctx, "delivery from queue failed for good", append(attrs, mlog.Err(r.Err))...)
	}
}

// attemptLabel returns the number of the attempt for metrics, which must not have
// many values.
func attemptLabel(job queuedb.Job) string {
	n := int(job.Messages[0].Attempts)
	if n > DefaultMaxAttempts {
		return strconv.Itoa(DefaultMaxAttempts) + "+"
	}
	return strconv.Itoa(n)
}

// resultLabel returns the label for the results of an attempt.
func resultLabel(results []Result) string {
	ok := 0
	var err error
	for _, r := range results {
		if r.Err == nil {
			ok++
		} else if err == nil {
			err = r.Err
		}
	}
	e := smtp.AsError(err)
	switch {
	case err == nil:
		return "ok"
	case ok > 0:
		return "okpartial"
	case e != nil && e.Permanent():
		return "permerror"
	case e != nil:
		return "temperror"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled), errors.Is(err, errInterrupted):
		return "canceled"
	}
	return "error"
}
