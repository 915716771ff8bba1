package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mox/dmarc/dmarcdb"
	"mox/internal/authdb"
	"mox/internal/backup"
	"mox/internal/ctl"
	"mox/internal/tracedb"
	"mox/mlog"
	"mox/mtasts/mtastsdb"
	"mox/queue/queuedb"
	"mox/store"
	"mox/tlsrpt/tlsrptdb"
)

// Backups are made by the command, which reads files by itself: it may be allowed to
// write where the server is not, and to read keys. Only copies of databases are made
// here, and files are kept from being removed.

// errBackupRuns: backups use the same place for copies of databases.
var errBackupRuns = errors.New("another backup is being made")

// Parts of a backup, for the control socket.
const (
	backupHold     = "hold"
	backupRelease  = "release"
	backupAccount  = "account"
	backupFilter   = "filter"
	backupQueue    = "queue"
	backupDatabase = "database"
	backupDone     = "done"
)

// databases returns what copies the databases that are not of an account or the queue, by
// their name in the data directory.
func (d *Daemon) databases() map[string]func(ctx context.Context, path string) error {
	m := map[string]func(ctx context.Context, path string) error{
		authdb.FileName:         d.authDB.Snapshot,
		dmarcdb.ReportsName:     d.dmarcDB.SnapshotReports,
		dmarcdb.EvaluationsName: d.dmarcDB.SnapshotEvaluations,
		tlsrptdb.FileName:       d.tlsDB.Snapshot,
		tlsrptdb.ResultsName:    d.out.tlsResults.Snapshot,
		mtastsdb.FileName:       d.out.policies.Snapshot,
	}
	if d.trace != nil {
		m[tracedb.FileName] = d.trace.Snapshot
	}
	return m
}

// ctlBackup helps a command to make a backup. It first answers with the names of
// databases. Then the command sends any number of
//
//	"hold"
//	"release"
//	"account", name, path: copies the database of an account to a new file
//	"filter", name, path: copies its junk filter; answers with true if there is one
//	"queue", "", path: copies the database of the queue
//	"database", name, path: copies another one
//	"done", outcome in JSON, "": the backup is made, or failed
//
// which are answered with "ok". With "done", or when the connection ends, files are
// not held any more.
func (d *Daemon) ctlBackup(ctx context.Context, c *ctl.Conn) error {
	if err := d.lockBackups(ctx); err != nil {
		return err
	}
	defer d.backups.Unlock()
	var names []string
	for name := range d.databases() {
		names = append(names, name)
	}
	if err := c.WriteOK(); err != nil {
		return err
	}
	if err := c.WriteLine(strings.Join(names, " ")); err != nil {
		return err
	}
	d.log.InfoContext(ctx, "backup begins")
	s := backupSession{d: d, c: c}
	err := s.run(ctx)
	s.release()
	if !s.done {
		o := backup.Outcome{Result: backup.ResultError, Error: "the command that made the backup was interrupted"}
		backup.Count(o)
		d.log.ErrorContext(ctx, "backup failed", "err", o.Error)
		err = errors.Join(err, backup.Remember(d.DataDir(), o))
	}
	return err
}

// backupWait is how long a backup waits for the one before: a command may have been
// interrupted just now, which is seen a moment later.
const (
	backupWait = 5 * time.Second
	backupLook = 20 * time.Millisecond
)

// lockBackups makes this the only backup.
func (d *Daemon) lockBackups(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, backupWait, errBackupRuns)
	defer cancel()
	look := time.NewTicker(backupLook)
	defer look.Stop()
	for !d.backups.TryLock() {
		select {
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// backupSession is a backup in progress.
type backupSession struct {
	d    *Daemon
	c    *ctl.Conn
	held []func()
	done bool
}

func (s *backupSession) run(ctx context.Context) error {
	for !s.done {
		what, err := s.c.WaitLine()
		if err != nil {
			return err
		}
		args, err := readArgs(s.c, 2)
		if err != nil {
			return err
		}
		answer, err := s.part(ctx, what, args[0], args[1])
		if err == nil {
			err = s.c.WriteOK()
		} else if s.done {
			return err
		} else {
			err = s.c.WriteLine(backupError(err))
		}
		if err == nil && answer != "" {
			err = s.c.WriteLine(answer)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// BackupNoAccount is what the control socket says of an account that was removed while a
// backup was made.
const BackupNoAccount = "account was removed"

func backupError(err error) string {
	if errors.Is(err, store.ErrNoAccount) {
		return BackupNoAccount
	}
	return err.Error()
}

// part does a part of a backup.
func (s *backupSession) part(ctx context.Context, what, name, path string) (answer string, err error) {
	d := s.d
	switch what {
	case backupHold:
		s.held = append(s.held, d.store.HoldFiles(), d.queueDB.HoldFiles())
		return "", nil
	case backupRelease:
		s.release()
		return "", nil
	case backupDone:
		s.done = true
		return "", d.backupDone(ctx, name)
	}
	if dir := filepath.Join(d.store.TempDir(), "backup"); filepath.Dir(path) != dir {
		return "", fmt.Errorf("copies of databases are made in %s only", dir)
	}
	switch what {
	case backupAccount:
		return "", d.snapshotAccount(ctx, name, path)
	case backupFilter:
		ok, err := d.training.Snapshot(ctx, name, path)
		return strconv.FormatBool(ok), err
	case backupQueue:
		if err := d.roomFor(queuedb.DatabaseName); err != nil {
			return "", err
		}
		return "", d.queueDB.Snapshot(ctx, path)
	case backupDatabase:
		snapshot, ok := d.databases()[name]
		if !ok {
			return "", fmt.Errorf("there is no database %q", name)
		}
		if err := d.roomFor(name); err != nil {
			return "", err
		}
		return "", snapshot(ctx, path)
	}
	return "", fmt.Errorf("unknown part %q of a backup: the server is not the same version as this program", what)
}

func (s *backupSession) release() {
	for _, release := range s.held {
		release()
	}
	s.held = nil
}

func (d *Daemon) snapshotAccount(ctx context.Context, name, path string) error {
	if err := d.roomFor(filepath.Join("accounts", name, store.DatabaseName)); err != nil {
		return err
	}
	a, err := d.store.Account(ctx, name)
	if err != nil {
		return err
	}
	defer a.Release()
	return a.Snapshot(ctx, path)
}

// roomFor returns an error if a copy of a file in the data directory would leave too little
// free space for mail.
func (d *Daemon) roomFor(name string) error {
	info, err := os.Stat(filepath.Join(d.DataDir(), filepath.FromSlash(name)))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return d.floor.Check(info.Size())
}

// backupDone counts and keeps what became of a backup.
func (d *Daemon) backupDone(ctx context.Context, outcome string) error {
	var o backup.Outcome
	if err := json.Unmarshal([]byte(outcome), &o); err != nil {
		return fmt.Errorf("outcome of backup: %w", err)
	}
	backup.Count(o)
	if o.Result == backup.ResultOK {
		d.log.InfoContext(ctx, "backup made", "location", o.Location, "snapshot", o.Snapshot, "size", o.Size, "copied", o.Copied, "duration", o.Duration)
	} else {
		d.log.ErrorContext(ctx, "backup failed", "location", o.Location, "snapshot", o.Snapshot, "result", o.Result, "failed", o.Failed, "err", o.Error)
	}
	return backup.Remember(d.DataDir(), o)
}

// rememberBackups sets the metrics about backups.
func (d *Daemon) rememberBackups(dataDir string) {
	if err := backup.CountRemembered(dataDir); err != nil {
		d.log.Error("reading what became of the last backup", mlog.Err(err))
	}
}

// BackupSource returns what a backup of a running server is made of, for a client on whose
// connection nothing else is done until done is called with what became of the backup.
func BackupSource(c *ctl.Client, dataDir string) (src backup.Source, done func(backup.Outcome) error, err error) {
	if err := c.Do("backup"); err != nil {
		return src, nil, err
	}
	names, err := c.ReadLine()
	if err != nil {
		return src, nil, err
	}
	do := func(what, name, path string) error {
		err := c.Do(what, name, path)
		var rerr ctl.RemoteError
		if errors.As(err, &rerr) && rerr == BackupNoAccount {
			return fmt.Errorf("%w: %q", store.ErrNoAccount, name)
		}
		return err
	}
	src = backup.Source{
		DataDir:  dataDir,
		Accounts: func() ([]string, error) { return store.Names(dataDir) },
		Hold: func() (func(), error) {
			return func() { _ = do(backupRelease, "", "") }, do(backupHold, "", "")
		},
		Account: func(_ context.Context, name, path string) error { return do(backupAccount, name, path) },
		Filter: func(_ context.Context, name, path string) (bool, error) {
			if err := do(backupFilter, name, path); err != nil {
				return false, err
			}
			line, err := c.ReadLine()
			return line == "true", err
		},
		Queue:  func(_ context.Context, path string) error { return do(backupQueue, "", path) },
		Others: map[string]func(context.Context, string) error{},
	}
	for name := range strings.FieldsSeq(names) {
		src.Others[name] = func(_ context.Context, path string) error { return do(backupDatabase, name, path) }
	}
	return src, func(o backup.Outcome) error {
		data, err := json.Marshal(o)
		if err != nil {
			return err
		}
		return do(backupDone, string(data), "")
	}, nil
}
