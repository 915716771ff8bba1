package queuedb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/mjl-/bstore"

	"mox/smtp"
)

// ErrSuppressed: the address is on the list already.
var ErrSuppressed = errors.New("address is suppressed already")

// Undeliverable says what the failure of a message tells about an address.
type Undeliverable int

const (
	// NotUndeliverable is nothing.
	NotUndeliverable Undeliverable = iota
	// MaybeUndeliverable puts the address on the suppression list of the account after
	// maxFailures in a row within failureWindow.
	MaybeUndeliverable
	// SurelyUndeliverable puts the address on the list at once.
	SurelyUndeliverable
)

const (
	// maxFailures in a row suppress an address.
	maxFailures = 3

	// failureWindow is for how long a failure counts.
	failureWindow = 30 * 24 * time.Hour
)

// plusProviders are domains where it is known that what follows a + in a localpart
// does not make another mailbox. Gmail also ignores dots.
var plusProviders = map[string]string{
	"gmail.com": "gmail.com", "googlemail.com": "gmail.com",
	"outlook.com": "", "hotmail.com": "", "live.com": "", "msn.com": "",
	"icloud.com": "", "me.com": "", "mac.com": "",
	"fastmail.com": "", "fastmail.fm": "",
	"proton.me": "", "protonmail.com": "", "pm.me": "",
}

// SuppressionBase returns what addresses of one mailbox have in common: localpart
// and domain in lower case, and at providers where that is known to be right,
// without what follows a +, and without dots. Elsewhere a-b and a, or a.b and ab, may
// be different people.
func SuppressionBase(p smtp.Path) string {
	localpart, domain := splitPath(p)
	localpart, domain = strings.ToLower(localpart), strings.ToLower(domain)
	if canonical, ok := plusProviders[domain]; ok {
		if before, _, _ := strings.Cut(localpart, "+"); before != "" {
			localpart = before
		}
		if canonical == "gmail.com" {
			localpart, domain = strings.ReplaceAll(localpart, ".", ""), canonical
		}
	}
	return clipTo(localpart+"@"+domain, maxKey)
}

// suppression returns the record for an address, or ErrAbsent.
func suppression(tx *bstore.Tx, account, base string) (Suppression, error) {
	return bstore.QueryTx[Suppression](tx).FilterNonzero(Suppression{Account: account, Base: base}).Get()
}

// Suppressed returns the entry of the suppression list of an account that an address
// is on, or an error that matches ErrNotFound.
func (d *DB) Suppressed(ctx context.Context, account string, p smtp.Path) (Suppression, error) {
	var s Suppression
	err := d.read(ctx, func(tx *bstore.Tx) (err error) {
		s, err = suppression(tx, account, SuppressionBase(p))
		if err == bstore.ErrAbsent {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return Suppression{}, fmt.Errorf("look up suppression: %w", err)
	}
	return s, nil
}

// Suppressions returns the suppression list of an account, or with none those of all
// accounts, by id. The entries have ids higher than after.
func (d *DB) Suppressions(ctx context.Context, account string, after int64, max int) ([]Suppression, error) {
	var l []Suppression
	err := d.read(ctx, func(tx *bstore.Tx) (err error) {
		q := bstore.QueryTx[Suppression](tx).FilterGreater("ID", after)
		if account != "" {
			q.FilterEqual("Account", account)
		}
		l, err = q.SortAsc("ID").Limit(listMax(max)).List()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list suppressions: %w", err)
	}
	return l, nil
}

// FindSuppressions returns the entries of all accounts for an address.
func (d *DB) FindSuppressions(ctx context.Context, p smtp.Path) ([]Suppression, error) {
	var l []Suppression
	err := d.read(ctx, func(tx *bstore.Tx) (err error) {
		l, err = bstore.QueryTx[Suppression](tx).FilterEqual("Base", SuppressionBase(p)).SortAsc("ID").List()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("find suppressions: %w", err)
	}
	return l, nil
}

// AddSuppression adds an address by hand to the suppression list of an account. If
// it is there already, the error matches ErrSuppressed.
func (d *DB) AddSuppression(ctx context.Context, account string, p smtp.Path, reason string) (Suppression, error) {
	s := Suppression{Account: account, Base: SuppressionBase(p), Original: original(p), Manual: true, Reason: clip(reason)}
	err := d.committer.do(ctx, &change{apply: func(b *batch) error {
		s.ID, s.Created = 0, now()
		err := b.tx.Insert(&s)
		if errors.Is(err, bstore.ErrUnique) {
			err = ErrSuppressed
		}
		return err
	}})
	if err != nil {
		return Suppression{}, fmt.Errorf("add suppression: %w", err)
	}
	return s, nil
}

// RemoveSuppression removes an address from the suppression list of an account, or
// returns an error that matches ErrNotFound. Earlier failures do not count any more.
func (d *DB) RemoveSuppression(ctx context.Context, account string, p smtp.Path) error {
	base := SuppressionBase(p)
	err := d.committer.do(ctx, &change{apply: func(b *batch) error {
		s, err := suppression(b.tx, account, base)
		if err == bstore.ErrAbsent {
			return ErrNotFound
		} else if err != nil {
			return err
		}
		if err := b.forgetFailures(account, base); err != nil {
			return err
		}
		return b.tx.Delete(&s)
	}})
	if err != nil {
		return fmt.Errorf("remove suppression: %w", err)
	}
	return nil
}

func original(p smtp.Path) string { return clipTo(p.XString(true), maxKey) }

// failuresOf returns the failures of an address, or ErrAbsent.
func (b *batch) failuresOf(account, base string) (failures, error) {
	return bstore.QueryTx[failures](b.tx).FilterNonzero(failures{Account: account, Base: base}).Get()
}

func (b *batch) forgetFailures(account, base string) error {
	f, err := b.failuresOf(account, base)
	if err == bstore.ErrAbsent {
		return nil
	} else if err != nil {
		return err
	}
	return b.tx.Delete(&f)
}

// judgeAddress records what the result of an attempt tells about the address.
func (b *batch) judgeAddress(m *Message, o Outcome, at time.Time) error {
	base := SuppressionBase(m.Recipient())
	if o.Result.Success {
		return b.forgetFailures(m.Account, base)
	}
	if o.Undeliverable == NotUndeliverable {
		return nil
	}
	_, err := b.undeliverable(m, base, o.Undeliverable, *o.Result, at)
	return err
}

// undeliverable counts a failure of an address, and reports whether that has put it
// on the list.
func (b *batch) undeliverable(m *Message, base string, u Undeliverable, r Result, at time.Time) (bool, error) {
	f, err := b.failuresOf(m.Account, base)
	if err != nil && err != bstore.ErrAbsent {
		return false, err
	}
	for len(f.Times) > 0 && at.Sub(f.Times[0]) > failureWindow {
		f.Times = f.Times[1:]
	}
	f.Account, f.Base, f.Last = m.Account, base, at
	f.Times = append(f.Times, at)
	if u == MaybeUndeliverable && len(f.Times) < maxFailures {
		if f.ID == 0 {
			return false, b.tx.Insert(&f)
		}
		return false, b.tx.Update(&f)
	}
	if err := b.forgetFailures(m.Account, base); err != nil {
		return false, err
	}
	if _, err := suppression(b.tx, m.Account, base); err != bstore.ErrAbsent {
		return false, err
	}
	reason := strings.TrimSpace(fmt.Sprintf("delivery failed: %d %s %s", r.Code, r.Enhanced, r.Error))
	if u == MaybeUndeliverable {
		reason = fmt.Sprintf("%d deliveries in a row failed, the last: %s", maxFailures, reason)
	}
	s := Suppression{Created: at, Account: m.Account, Base: base, Original: original(m.Recipient()), Reason: clip(reason)}
	return true, b.tx.Insert(&s)
}

// PruneFailures removes failures that do not count any more, and returns how many.
func (d *DB) PruneFailures(ctx context.Context, at time.Time) (int, error) {
	n := 0
	err := d.committer.do(ctx, &change{apply: func(b *batch) (err error) {
		n, err = bstore.QueryTx[failures](b.tx).FilterLess("Last", at.Add(-failureWindow)).SortAsc("Last").Limit(pruneBatch).Delete()
		return err
	}})
	if err != nil {
		return 0, fmt.Errorf("prune failures: %w", err)
	}
	return n, nil
}
