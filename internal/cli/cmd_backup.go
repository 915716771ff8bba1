package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"mox/config"
	"mox/internal/backup"
	"mox/internal/ctl"
	"mox/internal/daemon"
	"mox/internal/safefile"
)

var cmdBackup = command{
	words: "backup",
	args:  "destination",
	help: `Make a backup of all data and of the configuration.

The destination is a directory, which is made if it does not exist. Each backup is a new
directory in it, named after the time in UTC, with all that is needed to restore; files
of messages that were in the last backup are hard links to those there, so that a backup
takes only the time and space for what is new. "latest" is a link to the last one. The
directory should be on another disk, or be copied to one.

With -recipient, what is written is encrypted with age, and only those who have the
private key can read it, not even this server. A destination that begins with "s3:", such
as s3:https://s3.example.com/bucket/mail, is in storage that speaks the protocol of S3.
In both cases files are kept as objects, and only new ones are written.

Data is taken from a running server while it goes on, or from that of a stopped one. The
queue is on hold in the backup: what was queued may have been delivered before it is
restored. A backup that was interrupted is listed as such by mox backup list. The next one
uses what it has. Exit code 1 says that the backup was not made, or that files could not be read; they
are listed, and all others are in the backup. Run the command as root, or as the user that
the server runs as. How to make backups regularly, how to know that they work, and what to
do when all is lost, is in docs/backup.md.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var b backupPlace
		b.defineWrite(fs)
		full := fs.Bool("full", false, "read all files again, also those that were in the last backup")
		parallel := fs.Int("parallel", backup.DefaultParallel, "copy so many `files` at a time")
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) != 1 {
				return usageError("")
			}
			opts := backup.Options{Full: *full, Parallel: *parallel, Program: version(), Progress: e.tell}
			return e.runBackup(ctx, b, args[0], opts)
		}
	},
}

// tell prints a line of progress.
func (e *env) tell(line string) { fmt.Fprintln(e.err, line) }

// interruptible returns a context that ends with the signals that end a command, so that
// it can clean up.
func interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

func (e *env) runBackup(ctx context.Context, b backupPlace, location string, opts backup.Options) (rerr error) {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	dataDir, err := config.DataDir(e.configPath)
	if err != nil {
		return err
	}
	if dataDir, err = filepath.Abs(dataDir); err != nil {
		return err
	}
	start := time.Now()
	src, done, err := e.backupSource(ctx, dataDir)
	if err != nil {
		return err
	}
	var res backup.Result
	defer func() { rerr = errors.Join(rerr, done(backup.NewOutcome(location, start, res, rerr))) }()
	if src.ConfigDir, src.External, err = e.configFiles(dataDir); err != nil {
		return err
	}
	p, err := b.open(ctx, location, backup.PlaceOptions{Write: true, Create: true})
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, p.Close()) }()
	opts.Source = src
	if res, err = backup.Run(ctx, p, opts); err != nil && !errors.Is(err, backup.ErrFailures) {
		return err
	}
	_, werr := fmt.Fprintf(e.out, "backup %s: %d accounts, %d files, %d bytes; new: %d files, %d bytes\n", res.Name, res.Accounts, res.Files, res.Size, res.Copied, res.CopiedSize)
	return errors.Join(err, werr)
}

// backupSource returns the data of the running server, or else of the stopped one. What it
// returns besides is called at the end.
func (e *env) backupSource(ctx context.Context, dataDir string) (src backup.Source, done func(backup.Outcome) error, err error) {
	c, err := ctl.Dial(context.WithoutCancel(ctx), dataDir)
	if err == nil {
		src, done, err := daemon.BackupSource(c, dataDir)
		if err != nil {
			return src, nil, errors.Join(err, c.Close())
		}
		return src, func(o backup.Outcome) error { return errors.Join(done(o), c.Close()) }, nil
	}
	if !errors.Is(err, ctl.ErrNotRunning) {
		return src, nil, err
	}
	if err := checkDataDir(dataDir); err != nil {
		return src, nil, err
	}
	lock, err := safefile.LockDir(dataDir)
	if err != nil {
		return src, nil, fmt.Errorf("lock data directory %s: %w", dataDir, err)
	}
	if src, err = backup.Stopped(dataDir); err != nil {
		return src, nil, errors.Join(err, lock.Close())
	}
	return src, func(o backup.Outcome) error { return errors.Join(backup.Remember(dataDir, o), lock.Close()) }, nil
}

// configFiles returns the directory of the configuration, and files elsewhere that it
// names.
func (e *env) configFiles(dataDir string) (dir string, external []string, err error) {
	if dir, err = filepath.Abs(filepath.Dir(e.configPath)); err != nil {
		return "", nil, err
	}
	files, err := config.Files(e.configPath)
	if err != nil {
		return "", nil, err
	}
	for _, file := range files {
		if file, err = filepath.Abs(file); err != nil {
			return "", nil, err
		}
		if !isBelow(file, dir) && !isBelow(file, dataDir) {
			external = append(external, file)
		}
	}
	return dir, external, nil
}

// isBelow reports whether a file is in a directory or one below it.
func isBelow(file, dir string) bool {
	rel, err := filepath.Rel(dir, file)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

var cmdBackupList = command{
	words: "backup list",
	args:  "location",
	help: `List the backups in a directory or in storage.

For each, oldest first, its name and what is in it are printed. Those that are encrypted
can be listed without a key.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var b backupPlace
		b.define(fs)
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) != 1 {
				return usageError("")
			}
			p, err := b.open(ctx, args[0], backup.PlaceOptions{})
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, p.Close()) }()
			l, err := p.Snapshots(ctx)
			if err != nil {
				return err
			}
			return writeSnapshots(e.out, l)
		}
	},
}

func writeSnapshots(w io.Writer, l []backup.Info) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NAME\tACCOUNTS\tFILES\tBYTES\tREMARKS")
	for _, i := range l {
		remark := ""
		switch {
		case !i.Complete:
			fmt.Fprintf(tw, "%s\t\t\t\tinterrupted, or not finished yet\n", i.Name)
			continue
		case i.Footer.Failed > 0:
			remark = fmt.Sprintf("%d files could not be read", i.Footer.Failed)
		}
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%s\n", i.Name, i.Footer.Accounts, i.Footer.Files, i.Footer.Size, remark)
	}
	return tw.Flush()
}
