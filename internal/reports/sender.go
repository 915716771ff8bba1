package reports

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"mox/config"
	"mox/dmarc/dmarcdb"
	"mox/dns"
	"mox/internal/metrics"
	"mox/mlog"
	"mox/queue/queuedb"
	"mox/tlsrpt/tlsrptdb"
)

// Evaluations is what incoming messages were like. A *dmarcdb.DB is one.
type Evaluations interface {
	EvaluationStats(ctx context.Context, until time.Time) ([]dmarcdb.EvaluationStats, error)
	EachEvaluation(ctx context.Context, policyDomain string, from, until time.Time, fn func(dmarcdb.Evaluation) (bool, error)) error
	RemoveEvaluations(ctx context.Context, policyDomain string, until time.Time) (int, error)
	Prune(ctx context.Context, now time.Time) (int, error)
	Suppressor
}

// TLSResults is how connections for outgoing messages were. A *tlsrptdb.Results is one.
type TLSResults interface {
	Summaries(ctx context.Context, at time.Time) ([]tlsrptdb.ResultSummary, error)
	ForRecipientDomain(ctx context.Context, domain dns.Domain, day string) ([]tlsrptdb.TLSResult, error)
	ForPolicyDomain(ctx context.Context, domain dns.Domain, host bool, day string) ([]tlsrptdb.TLSResult, error)
	Untold(ctx context.Context, at time.Time) ([]tlsrptdb.Recipient, error)
	SetSent(ctx context.Context, domain dns.Domain, day string, addresses []string) error
	Remove(ctx context.Context, domain dns.Domain, host bool, day string) error
	Prune(ctx context.Context, now time.Time) error
	Suppressor
}

// Suppressor knows which addresses get no reports at a time.
type Suppressor interface {
	IsSuppressed(ctx context.Context, address string, at time.Time) (bool, error)
}

// Queue is where reports go. A *submit.Submitter is one.
type Queue interface {
	Enqueue(ctx context.Context, s queuedb.Submission) ([]queuedb.Message, error)
}

// Signer makes DKIM signatures. A *submit.Submitter is one.
type Signer interface {
	SignSystem(ctx context.Context, from dns.Domain, r io.ReaderAt, size int64, extra ...string) []byte
}

// Options are for [New]. All but Log are needed, and of Evaluations and TLS at
// least one: for what is nil, no reports are sent.
type Options struct {
	Config      *config.Holder
	Resolver    dns.Resolver
	Evaluations Evaluations
	TLS         TLSResults
	Queue       Queue
	Sign        Signer
	TempDir     string // For messages while they are made.
	Log         *slog.Logger
}

// Sender sends reports.
type Sender struct {
	opts Options
	log  *slog.Logger

	mu   sync.Mutex
	sent map[string]time.Time // See once.
}

// New returns a sender, which does nothing until [Sender.Run] is called.
func New(opts Options) *Sender {
	metrics.PanicPackages(pkgName)
	s := &Sender{opts: opts, log: opts.Log, sent: map[string]time.Time{}}
	if s.log == nil {
		s.log = mlog.Discard()
	}
	return s
}

// Run sends reports until the context ends, and returns when all it does has ended. The
// error is nil.
func (s *Sender) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	if s.opts.Evaluations != nil {
		wg.Go(func() { rounds(ctx, dmarcDelayMin, dmarcDelayMax, s.dmarcRound) })
	}
	if s.opts.TLS != nil {
		wg.Go(func() { rounds(ctx, tlsDelayMin, tlsDelayMax, s.tlsRound) })
	}
	wg.Wait()
	return nil
}

// once calls a function that queues a message, unless that succeeded before. So what
// cannot be removed from a database, or what has another part that failed, is not queued
// again each hour.
func (s *Sender) once(id string, enqueue func() error) error {
	now := time.Now()
	s.mu.Lock()
	_, ok := s.sent[id]
	if len(s.sent) >= maxSent {
		for id, at := range s.sent {
			if now.Sub(at) > 2*day {
				delete(s.sent, id)
			}
		}
	}
	s.mu.Unlock()
	if ok {
		return nil
	}
	if err := enqueue(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.sent) < maxSent {
		s.sent[id] = now
	}
	return nil
}

// temporary reports whether trying again later may help.
func temporary(err error) bool {
	return errors.Is(err, errTemporary) || errors.Is(err, dns.ErrTemporary) || errors.Is(err, dns.ErrBogus) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// errTemporary matches errors of databases and the queue, and those that came with them.
var errTemporary = errors.New("for now")
