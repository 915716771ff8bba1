package authdb

import (
	"context"
	"errors"
	"fmt"

	"github.com/mjl-/bstore"
)

// RenameAccount gives the keys, app passwords and login attempts of an account to
// another, in one transaction.
func (d *DB) RenameAccount(ctx context.Context, from, to string) error {
	if from == "" || to == "" {
		return errors.New("account without name")
	}
	if err := d.Flush(ctx); err != nil {
		return err
	}
	err := d.bdb.Write(ctx, func(tx *bstore.Tx) error {
		if _, err := bstore.QueryTx[TLSPublicKey](tx).FilterEqual("Account", from).UpdateNonzero(TLSPublicKey{Account: to}); err != nil {
			return fmt.Errorf("public keys: %w", err)
		}
		if _, err := bstore.QueryTx[AppPassword](tx).FilterEqual("Account", from).UpdateNonzero(AppPassword{Account: to}); err != nil {
			return fmt.Errorf("app passwords: %w", err)
		}
		attempts, err := bstore.QueryTx[LoginAttempt](tx).FilterEqual("Account", from).List()
		if err != nil {
			return err
		}
		for _, a := range attempts {
			if err := tx.Delete(&a); err != nil {
				return err
			}
			a.Account = to
			key := a.key() // The account is a part of it.
			a.Key = key[:]
			if _, err := put(tx, a); err != nil {
				return fmt.Errorf("login attempts: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rename account %q in %s: %w", from, FileName, err)
	}
	return nil
}

// RemoveAccount removes the keys, app passwords and login attempts of an account, in one
// transaction.
func (d *DB) RemoveAccount(ctx context.Context, account string) error {
	if account == "" {
		return errors.New("account without name")
	}
	if err := d.Flush(ctx); err != nil {
		return err
	}
	err := d.bdb.Write(ctx, func(tx *bstore.Tx) error {
		_, kerr := bstore.QueryTx[TLSPublicKey](tx).FilterEqual("Account", account).Delete()
		_, perr := bstore.QueryTx[AppPassword](tx).FilterEqual("Account", account).Delete()
		_, aerr := bstore.QueryTx[LoginAttempt](tx).FilterEqual("Account", account).Delete()
		return errors.Join(kerr, perr, aerr)
	})
	if err != nil {
		return fmt.Errorf("remove account %q from %s: %w", account, FileName, err)
	}
	return nil
}
