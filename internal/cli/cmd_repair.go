package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strconv"

	"mox/config"
	"mox/imap"
	"mox/internal/ctl"
	"mox/store"
)

// repairNote ends the help of commands that repair.
const repairNote = `
It does not matter whether the server is running. What "mox verifydata" finds wrong says
which of these commands is needed; check with it again afterwards.
`

// apartNote is for repairs during which nobody has the account.
const apartNote = `
If the server is running, sessions of the account end, and mail for it is refused for the
time being, until this is done.
`

var cmdFixMsgSize = repairCommand(store.RepairSizes, "[account]", `Correct sizes of messages that are not those of their files.

For each message, the size that is recorded is compared with that of its file. If it is
another one, it is corrected, with what depends on it: counts of mailboxes, quota, and what
was parsed of the message. Without an account, this is done for all.
`)

var cmdEnsureParsed = repairCommand(store.RepairParsed, "account", `Parse messages again of which the result cannot be used.

What mail programs ask for most was parsed when a message came in, and is kept. Where that
is damaged, or not of the message as it is, it is made again. With -all, all messages are
parsed, as by mox reparse.
`)

var cmdReparse = repairCommand(store.RepairReparse, "[account]", `Parse all messages again.

After a new version parses messages in another way, this gives old ones the same: envelope,
structure, what is searched and shown in lists. Mail programs that have these keep what
they have, unless they are made to fetch all anew, for which there is mox bumpuidvalidity.
Without an account, this is done for all.
`)

var cmdRecalculateMailboxCounts = repairCommand(store.RepairCounts, "account", `Count the messages of an account again.

Counts and sizes of mailboxes, and the sums for quota, are written together with the
messages, and so only are wrong when something was damaged. This corrects them.
`)

var cmdFixUIDMeta = repairCommand(store.RepairUIDMeta, "account", `Raise the next UIDs and UIDVALIDITY of an account above all that are in use.
`+apartNote)

var cmdReassignUIDs = repairCommand(store.RepairUIDs, "account [mailbox]", `Number the messages of an account, or of one mailbox, from 1 on.

Mailboxes get a new UIDVALIDITY, so that mail programs fetch all anew. The order of messages
stays.
`+apartNote)

var cmdBumpUIDValidity = repairCommand(store.RepairUIDValidity, "account [mailbox]", `Give the mailboxes of an account, or one, a new UIDVALIDITY.

Mail programs forget what they know of the messages in them, and fetch all anew.
`+apartNote)

var cmdReassignThreads = repairCommand(store.RepairThreads, "[account]", `Make the threads of an account anew.

Messages are assigned to threads as if they came in the order in which they did, all that
are kept now. Threads that come out as they were keep their id. Where a message gets another
one, its mailbox gets a new UIDVALIDITY, so that mail programs fetch all in it anew. Without
an account, this is done for all.
`+apartNote)

// repairCommand returns the command of a kind of repair.
func repairCommand(kind store.RepairKind, args, help string) command {
	return command{words: string(kind), args: args, help: help + repairNote, setup: func(fs *flag.FlagSet) runFunc {
		all := new(bool)
		if kind == store.RepairParsed {
			all = fs.Bool("all", false, "parse all messages")
		}
		return func(ctx context.Context, e *env, params []string) error {
			optional, mailbox := args == "[account]", args == "account [mailbox]"
			if len(params) > 2 || len(params) == 2 && !mailbox || len(params) == 0 && !optional {
				return usageError("")
			}
			params = append(params, "", "")
			if params[1] != "" {
				name, err := imap.ParseMailboxName(params[1])
				if err != nil {
					return err
				}
				params[1] = name
			}
			k := kind
			if *all {
				k = store.RepairReparse
			}
			return e.repair(ctx, params[0], k, params[1])
		}
	}}
}

// repair repairs through the running server, or without one.
func (e *env) repair(ctx context.Context, account string, kind store.RepairKind, mailbox string) (rerr error) {
	c, err := e.server(ctx)
	if errors.Is(err, ctl.ErrNotRunning) {
		return e.repairStopped(ctx, account, kind, mailbox)
	} else if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, c.Close()) }()
	if err := c.Do("repair", account, string(kind), mailbox); err != nil {
		return err
	}
	line, err := c.ReadLine()
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(line)
	if err != nil {
		return err
	}
	for range n {
		line, err := c.WaitLine()
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(e.out, line); err != nil {
			return err
		}
	}
	return c.ReadOK()
}

func (e *env) repairStopped(ctx context.Context, account string, kind store.RepairKind, mailbox string) (rerr error) {
	dir, err := config.DataDir(e.configPath)
	if err != nil {
		return err
	}
	if err := checkDataDir(dir); err != nil {
		return err
	}
	// Nothing is erased here: how long expunged messages are kept is in the configuration.
	st, err := store.Open(ctx, store.Options{Dir: dir, Log: e.log, UndeleteWindow: 1 << 62, UndeleteBytes: 1 << 62})
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, st.Close()) }()
	names := []string{account}
	if account == "" {
		if names, err = st.OnDisk(); err != nil {
			return err
		}
	}
	var errs []error
	for _, name := range names {
		result, err := st.Repair(ctx, name, kind, mailbox)
		if err != nil {
			errs = append(errs, fmt.Errorf("account %s: %w", name, err))
			continue
		}
		if _, err := fmt.Fprintf(e.out, "%s: %s\n", name, result); err != nil {
			return err
		}
	}
	return errors.Join(errs...)
}
