package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/config"
	"mox/internal/identity"
	"mox/internal/testkit"
	"mox/store"
)

// An account is one to be made besides mox.
type account struct {
	name     string
	domain   string
	address  string
	password string
	quota    int64 // Octets of messages, zero is no limit.
}

// withAccounts makes a directory for localserve with more accounts, which have only
// an Inbox, and returns it.
func withAccounts(t *testing.T, accounts []account) string {
	t.Helper()
	dir := filepath.Join(testkit.DataDir(t), "mox")
	initOnly(t, dir)
	var b strings.Builder
	b.WriteString("Domains:\n")
	seen := map[string]bool{"": true}
	for _, a := range append([]account{{domain: "localhost"}}, accounts...) {
		if !seen[a.domain] {
			fmt.Fprintf(&b, "\t%s:\n\t\tLocalpartCatchallSeparator: +\n", a.domain)
		}
		seen[a.domain] = true
	}
	b.WriteString("Accounts:\n")
	for _, a := range append([]account{{name: "mox", domain: "localhost", address: user}}, accounts...) {
		fmt.Fprintf(&b, "\t%s:\n\t\tDomain: %s\n\t\tDestinations:\n\t\t\t%s: nil\n", a.name, a.domain, a.address)
		if a.quota > 0 {
			fmt.Fprintf(&b, "\t\tQuotaMessageSize: %d\n", a.quota)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "domains.conf"), []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := makeAccounts(context.Background(), dir, accounts); err != nil {
		t.Fatalf("making accounts: %v", err)
	}
	return dir
}

// makeAccounts makes accounts without other mailboxes than Inbox, and sets their
// passwords.
func makeAccounts(ctx context.Context, dir string, accounts []account) (rerr error) {
	conf, err := config.Load(filepath.Join(dir, "mox.conf"))
	if err != nil {
		return err
	}
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(ctx, store.Options{Dir: conf.DataDir, Log: log})
	if err != nil {
		return err
	}
	defer func() {
		if err := st.Close(); rerr == nil {
			rerr = err
		}
	}()
	checker, err := identity.New(identity.Options{Store: st, Config: config.NewHolder(conf), Dir: conf.DataDir, Log: log})
	if err != nil {
		return err
	}
	made := map[string]store.Credentials{} // By password: to make one takes long, on purpose.
	for _, a := range accounts {
		acc, err := st.Ensure(ctx, a.name)
		if err != nil {
			return err
		}
		err = acc.Update(ctx, removeOthers)
		if credentials, ok := made[a.password]; ok && err == nil {
			err = acc.SetCredentials(ctx, credentials)
		} else if err == nil {
			if err = checker.SetPassword(ctx, a.name, a.password); err == nil {
				made[a.password], err = acc.Credentials(ctx)
			}
		}
		acc.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// removeOthers removes all mailboxes but Inbox, and their subscriptions.
func removeOthers(tx *store.Tx) error {
	for _, mb := range tx.Mailboxes() {
		if mb.Name == "Inbox" {
			continue
		}
		if err := tx.DeleteMailbox(mb.ID); err != nil {
			return err
		}
		if err := tx.Unsubscribe(mb.Name); err != nil {
			return err
		}
	}
	return nil
}
