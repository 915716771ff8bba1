package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"mox/config"
	"mox/internal/identity"
	"mox/store"
)

// InitAccount makes the data directory of a new configuration, and in it an account with
// a password.
func InitAccount(ctx context.Context, s *config.Snapshot, log *slog.Logger, account, password string) (rerr error) {
	if err := prepareDataDir(s.DataDir); err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Options{Dir: s.DataDir, Log: log, InitialMailboxes: initialMailboxes(s.InitialMailboxes)})
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, st.Close()) }()
	checker, err := identity.New(identity.Options{Store: st, Config: config.NewHolder(s), Dir: s.DataDir, Log: log})
	if err != nil {
		return err
	}
	if err := checker.SetPassword(ctx, account, password); err != nil {
		return fmt.Errorf("set password: %w", err)
	}
	return nil
}
