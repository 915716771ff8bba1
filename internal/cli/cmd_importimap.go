package cli

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"mox/internal/transfer"
)

var cmdImportIMAP = command{
	words: "import imap",
	args:  "account host login",
	help: `Copy an account from another server, and what has changed there since the last time.

All mailboxes are copied to the account, with flags, keywords, dates, and the special use of
mailboxes (sent, drafts, junk, trash, archive): run it first when people still use the other server,
then as often as wanted, and a last time when the domain has moved. Later runs carry over
new messages, changes of flags and deletions. What was changed here stays unless it changes there.
When a connection ends, the next one goes on. The server must be running; it makes the connection.
At Gmail, a message in several mailboxes is stored once, and of all mail only that is copied which
is in no other mailbox, to the archive.

The password is asked for, or comes from the environment variable MOX_IMPORT_PASSWORD, or from the
first line of a file. Instead of a password, an OAuth token can be used (OAUTHBEARER, XOAUTH2), which a command
prints; it is run for each connection.

	mox import imap ann imap.example.com ann@example.com
	mox import imap -tokencommand "oauth2l fetch ..." ann imap.gmail.com ann@gmail.com
`,
	setup: func(fs *flag.FlagSet) runFunc {
		var f pullFlags
		fs.IntVar(&f.opts.Port, "port", 0, "`port`, if not 993, or 143 without immediate TLS")
		fs.StringVar(&f.opts.TLS, "tls", transfer.TLSImmediate, "how the connection is secured: tls, starttls, or none, which shows the password to the network")
		fs.StringVar(&f.cafile, "cafile", "", "`file` with certificates of authorities, PEM, instead of those of the system")
		fs.StringVar(&f.opts.Mechanism, "mechanism", "", "SASL `mechanism`, if not the best that is offered")
		fs.StringVar(&f.passfile, "passwordfile", "", "`file` with the password in its first line")
		fs.StringVar(&f.command, "tokencommand", "", "`command`, run by a shell, that prints a token")
		fs.BoolVar(&f.opts.Keep, "keep", false, "keep messages that were deleted on the other server")
		fs.Func("exclude", "`mailbox`, by its name here, that is not copied, nor those below it; can be given more than once", func(s string) error {
			f.opts.Exclude = append(f.opts.Exclude, s)
			return nil
		})
		return func(ctx context.Context, e *env, args []string) error {
			if len(args) != 3 {
				return usageError("")
			}
			f.opts.Host, f.opts.Login = args[1], args[2]
			return e.pull(ctx, args[0], f)
		}
	},
}

type pullFlags struct {
	opts                      transfer.PullOptions
	cafile, passfile, command string
}

// passwordVariable is an environment variable with the password.
const passwordVariable = "MOX_IMPORT_PASSWORD"

// tokenCommandTimeout is how long a command may take to print a token.
const tokenCommandTimeout = 90 * time.Second

func (e *env) pull(ctx context.Context, account string, f pullFlags) (rerr error) {
	ctx, cancel := interruptible(ctx)
	defer cancel()
	if f.cafile != "" {
		b, err := os.ReadFile(f.cafile)
		if err != nil {
			return err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(b) {
			return fmt.Errorf("there is no certificate in %s", f.cafile)
		}
		f.opts.CAs = string(b)
	}
	f.opts.Token = f.command != ""
	options, err := json.Marshal(f.opts)
	if err != nil {
		return err
	}
	c, err := e.server(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // All was answered, or there is another error.
	if err := c.Do("importimap", account, string(options)); err != nil {
		return err
	}
	secret := ""
	last := ""
	for {
		line, err := c.WaitLine()
		if err != nil {
			if ctx.Err() != nil {
				return errors.New("interrupted; the next run goes on where this one was")
			}
			return err
		}
		text, said := strings.CutPrefix(line, "say ")
		switch {
		case said:
			if text != last {
				e.tell(text)
			}
			last = text
		case line == "secret":
			if secret == "" || f.command != "" {
				secret, err = e.secret(ctx, f)
			}
			if err != nil {
				err = errors.Join(c.WriteLine(""), c.WriteLine(err.Error()))
			} else {
				err = c.WriteLine(secret)
			}
			if err != nil {
				return err
			}
		case line == "ok":
			return e.pullResult(c.ReadLine)
		case line != "say": // With nothing to say yet.
			return errors.New(line)
		}
	}
}

func (e *env) pullResult(read func() (string, error)) error {
	line, err := read()
	if err != nil {
		return err
	}
	var r transfer.PullResult
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%d mailboxes: %d messages copied, flags of %d changed, %d deleted, %d left out; %d connections\n", r.Mailboxes, r.Copied, r.Flags, r.Deleted, r.Skipped, r.Connections)
	return err
}

// secret returns the password or a token.
func (e *env) secret(ctx context.Context, f pullFlags) (string, error) {
	switch {
	case f.command != "":
		ctx, cancel := context.WithTimeout(ctx, tokenCommandTimeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, "/bin/sh", "-c", f.command)
		cmd.Stderr = e.err
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("command for a token: %w", err)
		}
		return firstLine(strings.NewReader(string(out)))
	case f.passfile != "":
		file, err := os.Open(f.passfile)
		if err != nil {
			return "", err
		}
		s, err := firstLine(file)
		return s, errors.Join(err, file.Close())
	case os.Getenv(passwordVariable) != "":
		return os.Getenv(passwordVariable), nil
	}
	return e.readPassword(ctx, "password for "+f.opts.Login+" at "+f.opts.Host)
}
