package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"mox/config"
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

// work claims a message of a flow that was picked, does what is to be done, and goes
// on with others until there is nothing more. What became of a message is recorded in
// the same commit that claims the next one. It is a goroutine.
func (q *Queue) work(p picked) {
	var err error
	defer func() { q.ended <- err }() // The receiver may have to wait for this.
	ctx := context.WithoutCancel(q.ctx)
	var outcomes []queuedb.Outcome
	for more := true; more; p, more = q.sched.pick(time.Now()) {
		var job queuedb.Job
		var ok bool
		job, ok, err = q.claim(ctx, p, outcomes)
		outcomes = nil
		if err != nil {
			return
		}
		if ok {
			outcomes = q.do(job)
			if len(outcomes) == 0 {
				q.db.Release(job.Messages)
			}
			q.sched.done(job.Lane)
		}
	}
	err = q.finish(ctx, outcomes)
}

// claim records outcomes and claims a message of a flow. It returns an error if the
// database does not take changes any more.
func (q *Queue) claim(ctx context.Context, p picked, outcomes []queuedb.Outcome) (job queuedb.Job, ok bool, err error) {
	if len(outcomes) > 0 {
		job, ok, err = q.db.FinishAndClaim(ctx, outcomes, q.claimOptions(p))
	} else {
		job, ok, err = q.db.Claim(ctx, q.claimOptions(p))
	}
	if err == nil {
		q.sched.claimed(p, ok, time.Time{})
		return job, ok, nil
	}
	// Nothing was changed. If it is because of that flow, others go on.
	q.sched.claimed(p, false, time.Now().Add(retryDatabase))
	q.log.ErrorContext(ctx, "claiming messages to deliver", mlog.Err(err), slog.String("lane", p.lane))
	if ferr := q.finish(ctx, outcomes); ferr != nil {
		return job, false, ferr
	}
	if rerr := q.db.ReadOnly(); rerr != nil || errors.Is(err, queuedb.ErrClosed) {
		return job, false, err
	}
	return job, false, nil
}

// finish records outcomes. If that is not possible, they are kept until it is: what
// was delivered must not be tried again.
func (q *Queue) finish(ctx context.Context, outcomes []queuedb.Outcome) error {
	if len(outcomes) == 0 {
		return nil
	}
	err := q.db.Finish(ctx, outcomes)
	if err != nil {
		q.log.ErrorContext(ctx, "recording results of deliveries, will try again", mlog.Err(err))
		q.mu.Lock()
		defer q.mu.Unlock()
		q.unrecorded = append(q.unrecorded, outcomes...)
	}
	return err
}

func (q *Queue) claimOptions(p picked) queuedb.ClaimOptions {
	now := time.Now()
	return queuedb.ClaimOptions{
		Now:  now,
		Flow: p.name,
		Next: func(m queuedb.Message) time.Time { return q.opts.Schedule.nextAttempt(m, now) },

		Exclusive: true,
	}
}

// do does a job and returns what became of its messages, nothing for those that stay
// as they are.
func (q *Queue) do(job queuedb.Job) (outcomes []queuedb.Outcome) {
	ctx := tracedContext(mlog.WithCid(q.ctx, q.opts.Cids.Next()), job)
	ctx, cancel := context.WithTimeout(ctx, sessionLimit)
	defer cancel()
	defer func() {
		if x := recover(); x != nil {
			metrics.Panic("queue")
			q.log.ErrorContext(ctx, "unhandled panic", slog.Any("panic", x), slog.String("stack", string(debug.Stack())))
		}
	}()
	if job.Notice {
		return q.notify(ctx, job)
	}
	return q.attempt(ctx, job)
}

// attempt tries to deliver.
func (q *Queue) attempt(ctx context.Context, job queuedb.Job) []queuedb.Outcome {
	start := time.Now()
	conf := q.opts.Config.Snapshot()
	t := q.transport(conf, job.Messages[0])
	results := q.deliver(ctx, conf, t, job)
	duration := time.Since(start)
	earliest := time.Now().Add(q.opts.Schedule.pause(job.Messages[0]))
	outcomes := make([]queuedb.Outcome, len(job.Messages))
	for i, m := range job.Messages {
		r := results[i]
		if q.ctx.Err() != nil && r.Err != nil && smtp.AsError(r.Err) == nil {
			r.Err = errInterrupted
		}
		o := q.outcome(m, r)
		if o.Fate == queuedb.Retry && o.NextAttempt.IsZero() && m.NextAttempt.Before(earliest) {
			// Its time was set before the attempt, which has taken longer than most.
			m.NextAttempt, o.NextAttempt = earliest, earliest
		}
		o.Result.Start, o.Result.Duration, o.Result.Transport = start, duration, t.Name()
		q.tellNow(ctx, job.Base, m, r, &o)
		outcomes[i] = o
		if q.opts.Failed != nil && r.Err != nil && o.Fate != queuedb.Retry {
			q.opts.Failed(job.Base)
		}
		q.logResult(ctx, m, r, o)
		q.traceResult(ctx, job.Base, m, r, o)
	}
	metricDelivery.WithLabelValues(q.attemptLabel(job), t.Name(), results[0].TLS, resultLabel(results)).Observe(duration.Seconds())
	return outcomes
}

// deliver makes the attempt, and returns a result for each message. Those to
// suppressed addresses fail without it.
func (q *Queue) deliver(ctx context.Context, conf *config.Snapshot, t Transport, job queuedb.Job) []Result {
	d := Delivery{Base: job.Base}
	results := make([]Result, len(job.Messages))
	var tried []int
	for i, m := range job.Messages {
		s, err := q.db.Suppressed(ctx, m.Account, m.Recipient())
		switch {
		case errors.Is(err, queuedb.ErrNotFound):
			d.Messages = append(d.Messages, m)
			tried = append(tried, i)
		case err != nil:
			results[i].Err = err
		default:
			results[i].Err = smtp.Errorf(smtp.C554TransactionFailed, smtp.Se10AddressOther, "address is on the suppression list of the account, since %s: %s", formatTime(s.Created), s.Reason)
		}
	}
	if len(tried) == 0 {
		return results
	}
	for i, r := range q.send(ctx, conf, t, d) {
		results[tried[i]] = r
	}
	return results
}

// send is deliver without suppression.
func (q *Queue) send(ctx context.Context, conf *config.Snapshot, t Transport, d Delivery) (results []Result) {
	if dom, ok := conf.Domain(d.Messages[0].Sender().IPDomain.Domain); ok && dom.Disabled {
		return allFailed(d, smtp.Errorf(smtp.C451LocalError, smtp.Se30SystemOther, "domain of sender is temporarily disabled"))
	}
	content, err := q.db.OpenContent(d.Base)
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
	results = t.Deliver(ctx, d)
	if len(results) != len(d.Messages) {
		return allFailed(d, fmt.Errorf("transport returned %d results for %d recipients", len(results), len(d.Messages)))
	}
	return results
}

// outcome decides about a message after an attempt.
func (q *Queue) outcome(m queuedb.Message, r Result) queuedb.Outcome {
	res := queuedb.Result{
		Success: r.Err == nil, Remote: r.Remote, Host: r.Host, TLS: r.TLS, Unanswered: r.Unanswered,
		Code: int32(r.Code), Enhanced: r.Enhanced,
		Transcript: strings.Join(r.Transcript, "\n"),
	}
	if r.IP.IsValid() {
		res.IP = r.IP.String()
	}
	o := queuedb.Outcome{ID: m.ID, Result: &res}
	if r.Err == nil {
		if res.Code == 0 {
			res.Code, res.Enhanced = smtp.C250Completed, "2.0.0"
		}
		o.Fate, o.Retain = queuedb.Delivered, q.opts.Retain(m.Account)
		return o
	}
	res.Error = r.Err.Error()
	e := smtp.AsError(r.Err)
	if e != nil {
		res.Code, res.Enhanced, res.Error = int32(e.Code), e.Enhanced, e.Text
	}
	failed := e != nil && e.Permanent() || int(m.Attempts) >= q.opts.Schedule.attempts(m)
	switch {
	case errors.Is(r.Err, errInterrupted):
		o.NextAttempt = time.Now()
	case failed:
		o.Undeliverable = undeliverable(res)
		o.Fate = queuedb.Notify
		if m.Sender().IsZero() || !m.WantsNotice(smtp.NotifyFailure) {
			o.Fate, o.Retain = queuedb.Drop, q.opts.Retain(m.Account)
		}
	}
	return o
}

// undeliverable returns what a final failure tells about the address: nothing, unless
// it was a server elsewhere that has refused it.
func undeliverable(r queuedb.Result) queuedb.Undeliverable {
	if r.Remote == "" || r.Code == 0 {
		return queuedb.NotUndeliverable
	}
	switch r.Code {
	case 521, 550, 551, 553, 556:
		return queuedb.SurelyUndeliverable
	}
	if r.Code >= 500 {
		switch _, code, _ := strings.Cut(r.Enhanced, "."); code {
		case "1.1", "1.2", "1.3", "1.6", "2.1", "7.1":
			return queuedb.SurelyUndeliverable
		}
	}
	return queuedb.MaybeUndeliverable
}

// tellNow tells the sender of what is not a failure, before it is recorded: told
// twice is better than never. What cannot be told is for later.
func (q *Queue) tellNow(ctx context.Context, base queuedb.Base, m queuedb.Message, r Result, o *queuedb.Outcome) {
	if m.Sender().IsZero() {
		return
	}
	m.Results = append(slices.Clone(m.Results), *o.Result)
	switch {
	case o.Fate == queuedb.Delivered && r.Success != "" && m.WantsNotice(smtp.NotifySuccess):
		if err := q.tell(ctx, notice{base: base, m: m, success: r.Success}); err != nil {
			q.log.ErrorContext(ctx, "telling sender that message was delivered, will try again", mlog.Err(err), slog.Int64("msgid", m.ID))
			o.Fate, o.Success = queuedb.Notify, string(r.Success)
		}
	case o.Fate == queuedb.Retry && m.Attempts >= delayAttempt && !m.DelayTold && !errors.Is(r.Err, errInterrupted) && m.WantsNotice(smtp.NotifyDelay):
		err := q.tell(ctx, notice{base: base, m: m, delayed: true})
		o.DelayTold = err == nil
		if err != nil {
			q.log.ErrorContext(ctx, "telling sender that message is delayed", mlog.Err(err), slog.Int64("msgid", m.ID))
		}
	}
}

func (q *Queue) logResult(ctx context.Context, m queuedb.Message, r Result, o queuedb.Outcome) {
	attrs := []any{
		slog.Int64("msgid", m.ID),
		slog.String("account", m.Account),
		slog.Any("mailfrom", m.Sender()),
		slog.Any("rcptto", m.Recipient()),
		slog.Int("attempt", int(m.Attempts)),
		slog.Duration("duration", o.Result.Duration),
		slog.String("transport", o.Result.Transport),
	}
	switch {
	case r.Err == nil:
		q.log.InfoContext(ctx, "message delivered from queue", attrs...)
	case o.Fate == queuedb.Retry:
		attrs = append(attrs, slog.Time("nextattempt", m.NextAttempt), mlog.Err(r.Err))
		q.log.InfoContext(ctx, "delivery from queue failed, will try again", attrs...)
	default:
		q.log.InfoContext(ctx, "delivery from queue failed for good", append(attrs, mlog.Err(r.Err))...)
	}
}

// attemptLabel returns the number of the attempt for metrics, which must not have
// many values.
func (q *Queue) attemptLabel(job queuedb.Job) string {
	n := int(job.Messages[0].Attempts)
	if most := len(q.opts.Schedule) + 1; n > most {
		return strconv.Itoa(most) + "+"
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
