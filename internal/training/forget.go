package training

import (
	"context"

	"mox/internal/background"
)

// Forget closes the filter of an account that is renamed or removed. The account must be
// closed in the store already, so that the filter is not opened again before that is
// done.
func (t *Trainer) Forget(ctx context.Context, name string) error {
	return t.sched.Do(ctx, name, func(context.Context, *background.Job) error { return t.open.Drop(ctx, name, nil) })
}
