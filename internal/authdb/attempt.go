package authdb

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/mjl-/bstore"

	"mox/mlog"
)

// Limits of what is kept of login attempts.
const (
	// MaxFailedAttempts is how many records of failed attempts there are for an account
	// at most, and for what belongs to none. The oldest ones go first.
	MaxFailedAttempts = 10000

	// AttemptRetention is for how long a record is kept after the last attempt in it.
	AttemptRetention = 30 * 24 * time.Hour

	// maxLoginAddress is the length of the longest login address in a record, in octets.
	// What is longer is cut.
	maxLoginAddress = 256
)

// Values in a LoginAttempt.
const (
	// NoAccount is the account of attempts that belong to none.
	NoAccount = "-"

	// ResultOK is the result of a login that succeeded. All other results are failures.
	ResultOK = "ok"
)

// LoginAttempt is a record of attempts to log in that were alike in everything but
// their time.
type LoginAttempt struct {
	Key     []byte    // Hash over what is alike. See key.
	Account string    `bstore:"nonzero,index Account+Last,index Account+Failed+Last"` // NoAccount for none.
	Failed  bool      // Result is not ResultOK.
	First   time.Time `bstore:"nonzero"`
	Last    time.Time `bstore:"nonzero,index"`
	Count   int64     `bstore:"nonzero"`

	LoginAddress   string // As the client gave it. Empty if it got not as far.
	RemoteIP       string
	LocalIP        string
	TLS            string // Version and cipher suite. Empty without TLS.
	KeyFingerprint string // Of the client certificate, as in TLSPublicKey. Empty without.
	Protocol       string // "submission", "imap" and the like.
	Mechanism      string // SASL mechanism in upper case, or how else the password came.
	Result         string // Label, as in metrics.
	Reason         string // More about some results.
	AppPassword    string // Name of the one that was used, or that had not the scope.

	AppPasswordID int64 `bstore:"-"` // Of the one whose last use this is, if Result is ok.
}

// key returns the hash over all that attempts in one record have in common.
func (a LoginAttempt) key() [sha256.Size]byte {
	// With quotes there is one text only for the fields.
	return sha256.Sum256(fmt.Appendf(nil, "%q", []string{
		a.Account, a.LoginAddress, a.RemoteIP, a.LocalIP, a.TLS, a.KeyFingerprint, a.Protocol, a.Mechanism, a.Result, a.Reason, a.AppPassword,
	}))
}

// RecordLogin records an attempt, with the time in Last, and the use of an app
// password. It does not wait: records are written some seconds later, and when more
// come than can be written, they are dropped and counted.
func (d *DB) RecordLogin(a LoginAttempt) {
	if a.Account == "" {
		a.Account = NoAccount
	}
	if len(a.LoginAddress) > maxLoginAddress {
		a.LoginAddress = strings.ToValidUTF8(a.LoginAddress[:maxLoginAddress], "")
	}
	select {
	case d.attempts <- a:
	default:
		metricDropped.Inc()
	}
}

// LoginAttempts returns records of an account, NoAccount for those that belong to
// none, or of all for the empty name: the latest first, and no more than limit.
func (d *DB) LoginAttempts(ctx context.Context, account string, limit int) ([]LoginAttempt, error) {
	if err := d.Flush(ctx); err != nil {
		return nil, err
	}
	q := bstore.QueryDB[LoginAttempt](ctx, d.bdb)
	if account != "" {
		q = q.FilterEqual("Account", account)
	}
	l, err := q.SortDesc("Last").Limit(limit).List()
	if err != nil {
		return nil, fmt.Errorf("list login attempts: %w", err)
	}
	return l, nil
}

// batch is what is to be written at once.
type batch struct {
	attempts map[[sha256.Size]byte]LoginAttempt
	uses     map[int64]appPasswordUse
}

func newBatch() batch {
	return batch{map[[sha256.Size]byte]LoginAttempt{}, map[int64]appPasswordUse{}}
}

// add adds an attempt, to one that is alike if there is one.
func (b batch) add(a LoginAttempt) {
	if a.AppPasswordID != 0 && a.Result == ResultOK {
		b.uses[a.AppPasswordID] = appPasswordUse{a.Last, a.RemoteIP, a.Protocol}
	}
	key := a.key()
	have, ok := b.attempts[key]
	if !ok {
		have = a
		have.Key, have.Failed, have.First, have.Count = key[:], a.Result != ResultOK, a.Last, 0
	}
	have.Last = later(have.Last, a.Last)
	have.Count++
	b.attempts[key] = have
}

// writer writes batches. It belongs to one goroutine.
type writer struct {
	d         *DB
	maxFailed int
	failed    map[string]int // Records of failed attempts, by account. Absent if not counted yet.
}

// write writes a batch. What cannot be written is lost: to keep it would take ever
// more memory.
func (w *writer) write(b batch) error {
	if len(b.attempts) == 0 {
		return nil
	}
	err := w.d.bdb.Write(context.Background(), func(tx *bstore.Tx) error {
		grown := map[string]bool{}
		for _, a := range b.attempts {
			isNew, err := put(tx, a)
			if err != nil {
				return fmt.Errorf("write login attempt: %w", err)
			}
			if isNew && a.Failed {
				grown[a.Account] = true
				if _, ok := w.failed[a.Account]; ok {
					w.failed[a.Account]++
				}
			}
		}
		for account := range grown {
			if err := w.trim(tx, account); err != nil {
				return fmt.Errorf("remove old login attempts: %w", err)
			}
		}
		return writeUses(tx, b.uses)
	})
	if err != nil {
		clear(w.failed)
		metricDropped.Add(float64(len(b.attempts)))
		w.d.log.Error("writing login attempts", mlog.Err(err))
	}
	return err
}

// put adds attempts to their record, or makes one.
func put(tx *bstore.Tx, a LoginAttempt) (isNew bool, err error) {
	have := LoginAttempt{Key: a.Key}
	if err := tx.Get(&have); err == bstore.ErrAbsent {
		return true, tx.Insert(&a)
	} else if err != nil {
		return false, err
	}
	have.Last = later(have.Last, a.Last)
	have.Count += a.Count
	return false, tx.Update(&have)
}

// later returns the later of two times: clocks are set back at times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// trim removes the oldest failed attempts of an account that are too many.
func (w *writer) trim(tx *bstore.Tx, account string) error {
	failed := func() *bstore.Query[LoginAttempt] {
		return bstore.QueryTx[LoginAttempt](tx).FilterEqual("Account", account).FilterEqual("Failed", true)
	}
	n, ok := w.failed[account]
	if !ok {
		var err error
		if n, err = failed().Count(); err != nil {
			return err
		}
	}
	if n > w.maxFailed {
		removed, err := failed().SortAsc("Last").Limit(n - w.maxFailed).Delete()
		if err != nil {
			return err
		}
		n -= removed
	}
	w.failed[account] = n
	return nil
}

// cleanBatch is how many records are removed in one transaction.
const cleanBatch = 1000

// clean removes what is older than AttemptRetention.
func (w *writer) clean(now time.Time) {
	clear(w.failed)
	for {
		n, err := bstore.QueryDB[LoginAttempt](context.Background(), w.d.bdb).
			FilterLess("Last", now.Add(-AttemptRetention)).Limit(cleanBatch).Delete()
		if err != nil {
			w.d.log.Error("removing old login attempts", mlog.Err(err))
		}
		if err != nil || n < cleanBatch {
			return
		}
	}
}
