package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"text/tabwriter"
	"time"

	"mox/internal/ctl"
	"mox/internal/transfer"
)

const importHelp = `
The source is %s, or a zip, tar or tgz file with mbox files or maildirs in it. It is read by
this command and sent to the server, which must be running and stays usable meanwhile.
Flags, keywords and dates are kept. The messages go to the mailbox; mailboxes within the source
go below it or, if it is Inbox, to mailboxes of their own names.

A mailbox that does not exist is not visible until all is there. Quota counts. Messages
that are in the mailbox already are not recognised: for repeated copies there is
"mox import imap". An import that was interrupted, for example with ctrl-c, is listed
by "mox import list", goes on with -resume and its id, and is removed by
"mox import abort".
`

var cmdImportMbox = command{
	words: "import mbox",
	args:  "account mailbox source",
	help: `Import messages from an mbox file.
` + fmt.Sprintf(importHelp, `a file, "-" for standard input, a directory of such files`) + `
	mox import mbox ann Archive/2019 /home/ann/mail/2019.mbox
`,
	setup: setupImport,
}

var cmdImportMaildir = command{
	words: "import maildir",
	args:  "account mailbox source",
	help: `Import messages from a maildir.
` + fmt.Sprintf(importHelp, `a directory with "cur" and "new", and perhaps further ones in it, in
the way of Maildir++ or not`) + `
	mox import maildir ann Inbox /home/ann/Maildir
`,
	setup: setupImport,
}

type importFlags struct{ resume, prefix string }

func setupImport(fs *flag.FlagSet) runFunc {
	var f importFlags
	fs.StringVar(&f.resume, "resume", "", "`id` of an import of the same source that was interrupted")
	fs.StringVar(&f.prefix, "prefix", "", "only what is below this `path` in the source, which names of mailboxes begin after")
	return func(ctx context.Context, e *env, args []string) error {
		if len(args) != 3 {
			return usageError("")
		}
		return e.runImport(ctx, f, args[0], args[1], args[2])
	}
}

func (e *env) runImport(ctx context.Context, f importFlags, account, mailbox, source string) (rerr error) {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	src, err := transfer.Open(source, f.prefix, e.in)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, src.Close()) }()
	if f.resume != "" {
		if err := e.skipImported(ctx, account, f.resume, src); err != nil {
			return err
		}
	}
	c, err := e.server(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // Closed before if all is well, or what went wrong is known.
	if abs, err := filepath.Abs(source); err == nil && source != "-" {
		source = abs
	}
	if err := c.Do("import", account, mailbox, source, f.resume); err != nil {
		return err
	}
	id, err := c.ReadLine()
	if err != nil {
		return err
	}
	fmt.Fprintf(e.err, "import %s has begun\n", id)
	st, err := e.sendImport(c, src)
	if err != nil {
		if ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		return fmt.Errorf("import %s is not complete: %w\nIt goes on with: -resume %s; what it has stored is removed with: mox import abort %s %s", id, err, id, account, id)
	}
	_, err = fmt.Fprintf(e.out, "%d messages imported, %d octets; %d were left out because they are empty or too large\n", st.Stored, st.Octets, st.Skipped)
	return err
}

// skipImported reads what an import has stored already.
func (e *env) skipImported(ctx context.Context, account, id string, src transfer.Source) error {
	l, err := e.imports(ctx, account)
	if err != nil {
		return err
	}
	for _, st := range l {
		if st.ID == id {
			fmt.Fprintf(e.err, "skipping %d messages that were imported\n", st.Done)
			return transfer.Skip(src, os.TempDir(), st)
		}
	}
	return fmt.Errorf("account %s has no import %q that is not complete", account, id)
}

// tellInterval is how often progress is printed.
const tellInterval = 5 * time.Second

func (e *env) sendImport(c *ctl.Client, src transfer.Source) (st transfer.State, err error) {
	var n int
	var octets int64
	last := time.Now()
	w := c.StreamWriter()
	err = transfer.Send(w, src, os.TempDir(), func(it transfer.Item, size int64) {
		n, octets = n+1, octets+size
		if time.Since(last) > tellInterval {
			last = time.Now()
			e.tell(fmt.Sprintf("%d messages, %d MB", n, octets>>20))
		}
	})
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = c.ReadOK()
	}
	if err != nil {
		return st, err
	}
	line, err := c.ReadLine()
	if err != nil {
		return st, err
	}
	return st, errors.Join(json.Unmarshal([]byte(line), &st), c.Close())
}

// imports returns the imports of an account that are not complete.
func (e *env) imports(ctx context.Context, account string) (l []transfer.State, rerr error) {
	c, err := e.server(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { rerr = errors.Join(rerr, c.Close()) }()
	if err := c.Do("importlist", account); err != nil {
		return nil, err
	}
	count, err := c.ReadLine()
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return nil, fmt.Errorf("answer of server: %w", err)
	}
	for range n {
		line, err := c.ReadLine()
		if err != nil {
			return nil, err
		}
		var st transfer.State
		if err := json.Unmarshal([]byte(line), &st); err != nil {
			return nil, err
		}
		l = append(l, st)
	}
	return l, nil
}

var cmdImportList = command{
	words: "import list",
	args:  "account",
	help: `List the imports of an account that are running or were interrupted.

One that was interrupted can go on until it expires, a week after its last messages. Then
mailboxes that are not visible yet are removed; messages that it has added to others stay.
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) != 1 {
				return usageError("")
			}
			l, err := e.imports(ctx, args[0])
			if err != nil {
				return err
			}
			tw := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(tw, "ID\tSTARTED\tLAST\tEXPIRES\tMESSAGES\tBYTES\tMAILBOX\tSOURCE")
			for _, st := range l {
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d\t%d\t%q\t%s\n", st.ID, st.Started.Format(time.DateTime), st.Updated.Format(time.DateTime), st.Updated.Add(transfer.Lifetime).Format(time.DateTime), st.Stored, st.Octets, st.Mailbox, st.Source)
			}
			return tw.Flush()
		}
	},
}

var cmdImportAbort = command{
	words: "import abort",
	args:  "account id",
	help: `Remove what an import that was interrupted has stored.

Messages of mailboxes that are not visible yet are erased. Those that were added to other
mailboxes are expunged, as far as they are still there.
`,
	setup: func(*flag.FlagSet) runFunc {
		return func(ctx context.Context, e *env, args []string) (rerr error) {
			if len(args) != 2 {
				return usageError("")
			}
			c, err := e.server(ctx)
			if err != nil {
				return err
			}
			defer func() { rerr = errors.Join(rerr, c.Close()) }()
			return e.doLines(c, "importabort", args...)
		}
	},
}

var cmdExportMbox = command{
	words: "export mbox",
	args:  "account destination [mailbox]",
	help: `Export an account, or a mailbox with those below it, to mbox files.

The destination is a new directory or, with a name that ends in .zip, .tgz or .tar.gz, a new
file. For each mailbox there is a file, in the format mboxrd. All flags and keywords are
in header fields Status, X-Status and X-Keywords, which other programs know too. What was
written is on stable storage, and was read again. The server must be running.

	mox export mbox ann ann.zip
`,
	setup: setupExport(transfer.FormatMbox),
}

var cmdExportMaildir = command{
	words: "export maildir",
	args:  "account destination [mailbox]",
	help: `Export an account, or a mailbox with those below it, to maildirs.

The destination is a new directory or, with a name that ends in .zip, .tgz or .tar.gz, a new
file. For each mailbox there is a maildir, those below it are in it. Flags are in the
names of files, and so are up to 26 keywords, with a file dovecot-keywords. With more
keywords there is a file flags.tsv, which "mox import maildir" reads. What was written is on
stable storage, and was read again. The server must be running.

	mox export maildir ann /backup/ann
`,
	setup: setupExport(transfer.FormatMaildir),
}

func setupExport(format string) func(*flag.FlagSet) runFunc {
	return func(*flag.FlagSet) runFunc {
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) < 2 || len(args) > 3 {
				return usageError("")
			}
			mailbox := ""
			if len(args) == 3 {
				mailbox = args[2]
			}
			return e.runExport(ctx, format, args[0], args[1], mailbox)
		}
	}
}

func (e *env) runExport(ctx context.Context, format, account, dst, mailbox string) (rerr error) {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	c, err := e.server(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // What was read is complete, or an error was seen.
	if err := c.Do("export", account, mailbox); err != nil {
		return err
	}
	x, err := transfer.NewExporter(dst, format)
	if err != nil {
		return err
	}
	err = x.Receive(c.StreamReader(), os.TempDir())
	if err == nil {
		err = x.Finish()
	}
	if err != nil {
		return errors.Join(err, x.Discard())
	}
	_, err = fmt.Fprintf(e.out, "%d messages exported\n", x.Messages())
	return err
}
