package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"text/tabwriter"
	"time"

	"mox/imap"
	"mox/internal/ctl"
	"mox/internal/daemon"
)

// undeleteFlags are flags and arguments that select deleted messages.
type undeleteFlags struct {
	filter daemon.UndeleteFilter
	since  string
}

func (u *undeleteFlags) define(fs *flag.FlagSet, all bool) {
	fs.StringVar(&u.filter.Mailbox, "mailbox", "", "only messages that were in this `mailbox`")
	fs.StringVar(&u.filter.MessageID, "messageid", "", "only messages with this `Message-ID`")
	fs.StringVar(&u.since, "since", "", "only messages that were deleted at this `time` or later: how long ago, such as 3h, or a time such as 2006-01-02T15:04:05Z or 2006-01-02")
	if all {
		fs.BoolVar(&u.filter.All, "all", false, "all messages of the account")
	}
}

// parse completes the filter and returns it as the server takes it.
func (u *undeleteFlags) parse(ids []string, needed bool) (string, error) {
	f := &u.filter
	for _, s := range ids {
		id, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return "", usageError(fmt.Sprintf("id %q is not a number", s))
		}
		f.IDs = append(f.IDs, id)
	}
	var err error
	if f.Since, err = parseSince(u.since, time.Now()); err != nil {
		return "", usageError("flag -since: " + err.Error())
	}
	if f.Mailbox != "" {
		name, err := imap.ParseMailboxName(f.Mailbox)
		if err != nil {
			return "", err
		}
		f.Mailbox = name
	}
	if empty := len(f.IDs) == 0 && f.Mailbox == "" && f.MessageID == "" && f.Since.IsZero(); needed && empty != f.All {
		return "", usageError("ids or flags must say which messages, or -all that it is all of them")
	}
	line, err := json.Marshal(f)
	return string(line), err
}

// undeleteCommand returns the setup of a command that runs with a filter.
func undeleteCommand(fs *flag.FlagSet, needed bool, run func(e *env, c *ctl.Client, account, filter string) error) runFunc {
	var u undeleteFlags
	u.define(fs, needed)
	return func(ctx context.Context, e *env, args []string) (rerr error) {
		if len(args) == 0 {
			return usageError("")
		}
		filter, err := u.parse(args[1:], needed)
		if err != nil {
			return err
		}
		c, err := e.server(ctx)
		if err != nil {
			return err
		}
		defer func() { rerr = errors.Join(rerr, c.Close()) }()
		return run(e, c, args[0], filter)
	}
}

var cmdUndeleteList = command{
	words: "undelete list",
	args:  "account [id ...]",
	help: `List messages of an account that were deleted and can be brought back.

For each, in the order in which they were deleted: an id for mox undelete restore, mailbox,
UID, when it was deleted and until when it is kept at the latest, size, flags, Message-ID,
author and subject. "(deleted)" after a mailbox says that it was deleted too. All flags and
ids that are given must match. Messages are kept for UndeleteWindow, 7 days if the
configuration says nothing else; when there are more than UndeleteSize has room for, the
oldest go earlier. Not kept are copies of refused messages, drafts that were replaced, and what imports
that were aborted have added. The server must be running.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		return undeleteCommand(fs, false, listUndelete)
	},
}

func listUndelete(e *env, c *ctl.Client, account, filter string) error {
	if err := c.Do("undeletelist", account, filter); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ID\tMAILBOX\tUID\tDELETED\tUNTIL\tBYTES\tFLAGS\tMESSAGE-ID\tFROM\tSUBJECT")
	dec := json.NewDecoder(c.StreamReader())
	for {
		var m daemon.UndeleteMessage
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			return tw.Flush()
		} else if err != nil {
			return errors.Join(tw.Flush(), err)
		}
		gone := ""
		if m.MailboxDeleted {
			gone = " (deleted)"
		}
		_, err := fmt.Fprintf(tw, "%d\t%q%s\t%d\t%s\t%s\t%d\t%s\t%q\t%q\t%q\n", m.ID, m.Mailbox, gone, m.UID, m.Deleted.Local().Format(time.DateTime), m.Until.Local().Format(time.DateTime), m.Size, m.Flags, m.MessageID, m.From, m.Subject)
		if err != nil {
			return err
		}
	}
}

var cmdUndeleteRestore = command{
	words: "undelete restore",
	args:  "account [id ...]",
	help: `Bring deleted messages of an account back, with their flags and dates.

Flags and ids, as printed by mox undelete list, select messages; all that are given must
match. For all that was deleted there is -all. Messages come into the mailbox where they
were, which is made again if it was deleted, or into that of -into, as new messages: mail
programs see them at once. They count for quota again. The server must be running.

	mox undelete restore -mailbox Inbox -since 3h ann
`,
	setup: func(fs *flag.FlagSet) runFunc {
		into := fs.String("into", "", "`mailbox` to restore to, instead of those where messages were")
		return undeleteCommand(fs, true, func(e *env, c *ctl.Client, account, filter string) error {
			return e.undeleteDo(c, "restored", "undeleterestore", account, filter, *into)
		})
	},
}

var cmdUndeletePurge = command{
	words: "undelete purge",
	args:  "account [id ...]",
	help: `Erase deleted messages of an account before their time.

Flags and ids, as printed by mox undelete list, select messages; all that are given must
match. For all that was deleted there is -all. Their files are removed at once, but for
those that a mail program still shows, which go when it was told. Backups that were made
before still have them. The server must be running.
`,
	setup: func(fs *flag.FlagSet) runFunc {
		return undeleteCommand(fs, true, func(e *env, c *ctl.Client, account, filter string) error {
			return e.undeleteDo(c, "purged", "undeletepurge", account, filter)
		})
	},
}

// undeleteDo runs a command that answers with a number of messages.
func (e *env) undeleteDo(c *ctl.Client, what, command string, params ...string) error {
	if err := c.Do(command, params...); err != nil {
		return err
	}
	n, err := c.WaitLine()
	if err != nil {
		return err
	}
	if n == "0" {
		return errors.New("no message matches")
	}
	_, err = fmt.Fprintf(e.out, "%s messages %s\n", n, what)
	return err
}
