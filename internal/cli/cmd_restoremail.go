package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"mox/config"
	"mox/imap"
	"mox/internal/backup"
	"mox/internal/ctl"
	"mox/internal/daemon"
	"mox/store"
)

// restoreFlags are those of commands for the mail of an account.
type restoreFlags struct {
	backupPlace
	name          string
	tmp           string
	filter        backup.Filter
	since, before string
}

func (r *restoreFlags) define(fs *flag.FlagSet) {
	r.defineRead(fs)
	fs.StringVar(&r.name, "backup", "latest", "`name` of the backup, as listed by mox backup list")
	fs.StringVar(&r.tmp, "tmp", "", "`directory` for a copy of the account's database, if not that of the system")
}

// defineFilter defines the flags that select messages.
func (r *restoreFlags) defineFilter(fs *flag.FlagSet) {
	r.define(fs)
	fs.StringVar(&r.filter.Mailbox, "mailbox", "", "only messages in this `mailbox`")
	fs.StringVar(&r.filter.MessageID, "messageid", "", "only messages with this `Message-ID`")
	fs.StringVar(&r.filter.Subject, "subject", "", "only messages with this `text` in the subject")
	fs.StringVar(&r.filter.From, "from", "", "only messages with this `text` in the address or name of the author")
	fs.StringVar(&r.since, "since", "", "only messages received on this `day`, 2006-01-02, or later")
	fs.StringVar(&r.before, "before", "", "only messages received before this `day`")
}

// parse completes the filter.
func (r *restoreFlags) parse(ids []string) error {
	for _, d := range []struct {
		text, flag string
		t          *time.Time
	}{{r.since, "since", &r.filter.Since}, {r.before, "before", &r.filter.Before}} {
		if d.text == "" {
			continue
		}
		t, err := time.ParseInLocation(time.DateOnly, d.text, time.Local)
		if err != nil {
			return usageError(fmt.Sprintf("flag -%s: %q is not a day like 2006-01-02", d.flag, d.text))
		}
		*d.t = t
	}
	for _, s := range ids {
		id, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return usageError(fmt.Sprintf("id %q is not a number", s))
		}
		r.filter.IDs = append(r.filter.IDs, id)
	}
	if r.filter.Mailbox == "" {
		return nil
	}
	var err error
	r.filter.Mailbox, err = imap.ParseMailboxName(r.filter.Mailbox)
	return err
}

// snapshot calls run with the snapshot that flags and a location name.
func (r *restoreFlags) snapshot(ctx context.Context, location string, run func(ctx context.Context, s *backup.Snapshot) error) (rerr error) {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	p, err := r.open(ctx, location, backup.PlaceOptions{})
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, p.Close()) }()
	s, err := p.Snapshot(ctx, r.name)
	if err != nil {
		return err
	}
	return run(ctx, s)
}

var cmdRestoreList = command{
	words: "restore list",
	args:  "location [account [id ...]]",
	help: `List the accounts in a backup, or messages of one.

Without an account, the names of accounts are printed. With one, its messages: id, mailbox,
when it was received, size, Message-ID and subject. All flags that are given must match.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var r restoreFlags
		r.defineFilter(fs)
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) == 0 {
				return usageError("")
			}
			if err := r.parse(args[min(2, len(args)):]); err != nil {
				return err
			}
			return r.snapshot(ctx, args[0], func(ctx context.Context, s *backup.Snapshot) error {
				if len(args) > 1 {
					return e.listMessages(ctx, s, args[1], r)
				}
				names, err := s.Accounts(ctx)
				for _, name := range names {
					fmt.Fprintln(e.out, name)
				}
				return err
			})
		}
	},
}

func (e *env) listMessages(ctx context.Context, s *backup.Snapshot, account string, r restoreFlags) error {
	tw := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ID\tMAILBOX\tRECEIVED\tBYTES\tMESSAGE-ID\tSUBJECT")
	err := s.Messages(ctx, account, r.tmp, r.filter, func(m store.SnapshotMessage) error {
		_, err := fmt.Fprintf(tw, "%d\t%q\t%s\t%d\t%q\t%q\n", m.ID, m.Mailbox, m.Received.Local().Format(time.DateTime), m.Size, m.Digest.MessageID(), m.Digest.SearchSubject())
		return err
	})
	return errors.Join(err, tw.Flush())
}

var cmdRestoreMessages = command{
	words: "restore messages",
	args:  "location account [id ...]",
	help: `Restore messages of an account from a backup, with their flags and dates.

Flags and ids, as printed by mox restore list, select messages; all that are given must
match. For all messages of a mailbox -mailbox is enough, for all of an account there is
-all. Messages are added to the account, or another one, in the mailbox "Restored/" and
the day, or with -original in that where they were. Messages that are in that mailbox
already, with the same content, are not added again. It does not matter whether the server
is running.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var r restoreFlags
		r.defineFilter(fs)
		to := fs.String("to", "", "`account` to restore to, if it is another one")
		into := fs.String("into", "", "`mailbox` to restore to, instead of Restored/ and the day")
		original := fs.Bool("original", false, "restore to the mailboxes where messages were")
		all := fs.Bool("all", false, "restore all messages of the account")
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) < 2 {
				return usageError("")
			}
			if err := r.parse(args[2:]); err != nil {
				return err
			}
			switch {
			case r.filter.Empty() != *all:
				return usageError("ids or flags must say which messages to restore, or -all that it is all of them")
			case *original && *into != "":
				return usageError("-original and -into exclude each other")
			case *to == "":
				*to = args[1]
			}
			mailbox, err := restoreInto(*into, *original)
			if err != nil {
				return err
			}
			return r.snapshot(ctx, args[0], func(ctx context.Context, s *backup.Snapshot) error {
				return e.restoreMessages(ctx, s, args[1], *to, r, mailbox)
			})
		}
	},
}

// restoreInto returns what says where messages go.
func restoreInto(into string, original bool) (func(string) string, error) {
	if original {
		return func(mailbox string) string { return mailbox }, nil
	}
	if into == "" {
		into = "Restored/" + time.Now().Format(time.DateOnly)
	}
	name, err := imap.ParseMailboxName(into)
	return func(string) string { return name }, err
}

func (e *env) restoreMessages(ctx context.Context, s *backup.Snapshot, account, to string, r restoreFlags, mailbox func(string) string) (rerr error) {
	t, done, err := e.restoreTarget(ctx, to)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, done()) }()
	res, err := s.RestoreMessages(ctx, account, r.tmp, r.filter, mailbox, t)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%d messages restored, %d were there already\n", res.Restored, res.Present)
	if err == nil && res == (backup.MessagesRestored{}) {
		err = errors.New("no message matches")
	}
	return err
}

// restoreTarget returns where messages go: an account of the running server, or of a
// stopped one. What it returns besides is called at the end.
func (e *env) restoreTarget(ctx context.Context, account string) (_ backup.Target, done func() error, _ error) {
	dataDir, err := config.DataDir(e.configPath)
	if err != nil {
		return nil, nil, err
	}
	c, err := ctl.Dial(ctx, dataDir)
	if err == nil {
		t, err := daemon.RestoreTarget(c, account)
		if err != nil {
			return nil, nil, errors.Join(err, c.Close())
		}
		return t, c.Close, nil
	} else if !errors.Is(err, ctl.ErrNotRunning) {
		return nil, nil, err
	}
	if err := checkDataDir(dataDir); err != nil {
		return nil, nil, err
	}
	// Nothing is erased here: how long expunged messages are kept is in the configuration.
	st, err := store.Open(ctx, store.Options{Dir: dataDir, Log: e.log, UndeleteWindow: 1 << 62})
	if err != nil {
		return nil, nil, err
	}
	a, err := st.Account(ctx, account)
	if err != nil {
		return nil, nil, errors.Join(err, st.Close())
	}
	im := backup.NewImporter(a, st.TempDir())
	return im, func() error {
		err := im.Close()
		a.Release()
		return errors.Join(err, st.Close())
	}, nil
}

var cmdRestoreAccount = command{
	words: "restore account",
	args:  "location account",
	help: `Restore an account that does not exist any more from a backup, or under another name.

All of it is restored: mailboxes, messages, passwords, settings and the junk filter. There
must be no data of an account of that name; for one that exists, see mox restore messages.
App passwords and public keys for logging in are not restored. It does not matter whether
the server is running. The account must be in domains.conf for it to get mail, which
"mox config account add" does; without that the server leaves it alone. Clients will fetch all mail anew: each mailbox gets a new UIDVALIDITY.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var r restoreFlags
		r.define(fs)
		as := fs.String("as", "", "`name` of the account to make, if it is another one")
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) != 2 {
				return usageError("")
			}
			if *as == "" {
				*as = args[1]
			}
			return r.snapshot(ctx, args[0], func(ctx context.Context, s *backup.Snapshot) error {
				return e.restoreAccount(ctx, s, args[1], *as)
			})
		}
	},
}

func (e *env) restoreAccount(ctx context.Context, s *backup.Snapshot, account, as string) (rerr error) {
	dataDir, err := config.DataDir(e.configPath)
	if err != nil {
		return err
	}
	if dataDir, err = filepath.Abs(dataDir); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(dataDir, "accounts", as)); err == nil {
		return fmt.Errorf("there is an account %q already: restore its messages, or give another name with -as", as)
	}
	dir := filepath.Join(dataDir, "tmp", fmt.Sprintf("restore-%d", os.Getpid()))
	if err := s.RestoreAccount(ctx, account, dir, false); err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, os.RemoveAll(dir)) }() // Gone if all went well.
	if err := adoptAccount(ctx, dataDir, as, dir, e); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "account %s restored\n", as)
	return err
}

// adoptAccount makes the running server, or else this program, take a directory as an
// account.
func adoptAccount(ctx context.Context, dataDir, name, dir string, e *env) (rerr error) {
	c, err := ctl.Dial(ctx, dataDir)
	if err == nil {
		return errors.Join(c.Do("restoreaccount", name, dir), c.Close())
	} else if !errors.Is(err, ctl.ErrNotRunning) {
		return err
	}
	st, err := store.Open(ctx, store.Options{Dir: dataDir, Log: e.log})
	if err != nil {
		return err
	}
	return errors.Join(st.Adopt(name, dir), st.Close())
}
