package daemon

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"mox/internal/authdb"
	"mox/internal/ctl"
	"mox/smtp"
	"mox/store"
)

// App passwords and login attempts, for commands.

// maxAttemptList is how many login attempts are listed at most.
const maxAttemptList = 100_000

// readArgs reads the parameters of a command.
func readArgs(c *ctl.Conn, n int) ([]string, error) {
	args := make([]string, n)
	for i := range args {
		var err error
		if args[i], err = c.ReadLine(); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// writeLines writes an answer of lines.
func writeLines(c *ctl.Conn, lines []string) error {
	if err := c.WriteOK(); err != nil {
		return err
	}
	if err := c.WriteLine(strconv.Itoa(len(lines))); err != nil {
		return err
	}
	for _, line := range lines {
		if err := c.WriteLine(line); err != nil {
			return err
		}
	}
	return nil
}

// columns returns a line with tabs between values. What is not to be printed, such as
// tabs in what a client has sent, is escaped, and a dash stands for an empty value.
func columns(values ...string) string {
	for i, v := range values {
		if v == "" {
			values[i] = "-"
			continue
		}
		q := strconv.QuoteToGraphic(v)
		values[i] = strings.ReplaceAll(q[1:len(q)-1], `\"`, `"`)
	}
	return strings.Join(values, "\t")
}

func timeColumn(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// ctlAppPasswordList lists app passwords.
//
//	account, empty for all
//	"ok"
//	number of app passwords
//	account, name, scope, when it was made, and time, protocol and address of the last use, with tabs in between, for each
func (d *Daemon) ctlAppPasswordList(ctx context.Context, c *ctl.Conn) error {
	args, err := readArgs(c, 1)
	if err != nil {
		return err
	}
	if args[0] != "" {
		if _, ok := d.conf.Snapshot().Account(args[0]); !ok {
			return noAccount(args[0])
		}
	}
	if err := d.authDB.Flush(ctx); err != nil { // The last uses.
		return err
	}
	l, err := d.authDB.AppPasswords(ctx, args[0])
	if err != nil {
		return err
	}
	var lines []string
	for _, p := range l {
		lines = append(lines, columns(p.Account, p.Name, p.Scope.String(), timeColumn(p.Created), timeColumn(p.LastUse), p.LastProtocol, p.LastRemoteIP))
	}
	return writeLines(c, lines)
}

// noAccount is the error for an account that is not in the configuration.
func noAccount(account string) error {
	return fmt.Errorf("there is no account %q in domains.conf (the name of an account is not an email address)", account)
}

// ctlAppPasswordAdd makes an app password.
//
//	account
//	name
//	scope
//	"ok"
//	password
func (d *Daemon) ctlAppPasswordAdd(ctx context.Context, c *ctl.Conn) error {
	args, err := readArgs(c, 3)
	if err != nil {
		return err
	}
	scope, err := authdb.ParseScope(args[2])
	if err != nil {
		return err
	}
	password, err := d.checker.AddAppPassword(ctx, args[0], args[1], scope)
	if errors.Is(err, store.ErrNoAccount) {
		return noAccount(args[0])
	} else if err != nil {
		return err
	}
	d.log.Info("app password added", "account", args[0], "name", args[1], "scope", scope.String())
	if err := c.WriteOK(); err != nil {
		return err
	}
	return c.WriteLine(password)
}

// ctlAppPasswordRemove removes an app password, and ends sessions that have logged in with
// it.
//
//	account
//	name
//	"ok"
func (d *Daemon) ctlAppPasswordRemove(ctx context.Context, c *ctl.Conn) error {
	args, err := readArgs(c, 2)
	if err != nil {
		return err
	}
	if err := d.authDB.RemoveAppPassword(ctx, args[0], args[1]); err != nil {
		return err
	}
	d.log.Info("app password removed", "account", args[0], "name", args[1])
	d.checker.Recheck(ctx, args[0])
	return c.WriteOK()
}

// ctlLoginAttempts lists login attempts, the latest first.
//
//	account, "-" for those that belong to none, empty for all
//	how many at most
//	"ok"
//	number of lines
//	values with tabs in between, for each: see attemptLine
func (d *Daemon) ctlLoginAttempts(ctx context.Context, c *ctl.Conn) error {
	args, err := readArgs(c, 2)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 1 || n > maxAttemptList {
		return fmt.Errorf("number of attempts must be from 1 to %d", maxAttemptList)
	}
	l, err := d.authDB.LoginAttempts(ctx, args[0], n)
	if err != nil {
		return err
	}
	var lines []string
	for _, a := range l {
		lines = append(lines, attemptLine(a))
	}
	return writeLines(c, lines)
}

func attemptLine(a authdb.LoginAttempt) string {
	result := a.Result
	if a.Reason != "" {
		result += "/" + a.Reason
	}
	return columns(timeColumn(a.Last), strconv.FormatInt(a.Count, 10), timeColumn(a.First), result, a.Account, a.LoginAddress,
		a.Protocol, a.Mechanism, a.RemoteIP, a.LocalIP, a.AppPassword, a.TLS, a.KeyFingerprint)
}

// urlOwner returns the account of a user name in a URL of a message, if it can log in.
func (d *Daemon) urlOwner(user string) (account string, ok bool) {
	addr, err := smtp.ParseAddress(user, smtp.Lenient)
	if err != nil {
		return "", false
	}
	a, ok := d.conf.Snapshot().LoginAccount(addr)
	return a.Name, ok && a.LoginDisabled == ""
}
