package transport

import (
	"context"

	"mox/queue"
	"mox/smtp"
)

// FailOptions are for NewFail.
type FailOptions struct {
	Name    string // For logs and metrics. Empty is "fail".
	Code    int    // 400 to 599. Zero is 554.
	Message string // For the sender. Empty is a general one.
}

// Fail is a transport that fails each delivery: for good with a code of 500 and
// above, and otherwise until the message is given up.
type Fail struct {
	opts FailOptions
}

// NewFail returns a transport that fails.
func NewFail(opts FailOptions) *Fail {
	if opts.Name == "" {
		opts.Name = "fail"
	}
	if opts.Code == 0 {
		opts.Code = smtp.C554TransactionFailed
	}
	if opts.Message == "" {
		opts.Message = "delivery to this destination is not allowed"
	}
	return &Fail{opts}
}

// Name implements queue.Transport.
func (f *Fail) Name() string { return f.opts.Name }

// Deliver implements queue.Transport.
func (f *Fail) Deliver(_ context.Context, d queue.Delivery) []queue.Result {
	return failed(d, smtp.Errorf(f.opts.Code, smtp.Se70SecurityOther, "%s", f.opts.Message))
}

// failed returns a result for each message.
func failed(d queue.Delivery, err error) []queue.Result {
	l := make([]queue.Result, len(d.Messages))
	for i := range l {
		l[i].Err = err
	}
	return l
}
