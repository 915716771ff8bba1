package submit

import (
	"context"

	"mox/queue/queuedb"
)

// Enqueue queues a message of the system that was made elsewhere, such as a report, as it
// is. When the error is nil, it is on stable storage.
func (s *Submitter) Enqueue(ctx context.Context, sub queuedb.Submission) ([]queuedb.Message, error) {
	l, err := s.opts.Queue.Enqueue(ctx, sub)
	if err == nil && s.opts.Kick != nil {
		s.opts.Kick()
	}
	return l, err
}
