package training

import "context"

// Forget closes the filter of an account that is renamed or removed. The account must be
// closed in the store already, so that the filter is not opened again before that is
// done.
func (t *Trainer) Forget(ctx context.Context, name string) error {
	a, done, err := t.hold(ctx, name)
	if err != nil {
		return err
	}
	defer done()
	select {
	case a.files <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.files }()
	return t.detach(a, nil)
}
