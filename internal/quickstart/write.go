package quickstart

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mox/config"
	"mox/internal/admin"
	"mox/internal/certs"
	"mox/internal/daemon"
	"mox/internal/identity"
	"mox/internal/privsep"
	"mox/internal/safefile"
)

// placeholderValidity is for how long the certificate is valid that stands in for those of
// an existing web server.
const placeholderValidity = 365 * 24 * time.Hour

// undo has what removes the files that were made.
type undo struct {
	steps []func() error
}

func (u *undo) add(step func() error) { u.steps = append(u.steps, step) }

// all removes all that was made, the last first.
func (u *undo) all() error {
	var errs []error
	for _, step := range slices.Backward(u.steps) {
		errs = append(errs, step())
	}
	u.steps = nil
	return errors.Join(errs...)
}

func (q *quickstart) configDir() string { return filepath.Dir(q.opts.ConfigPath) }
func (q *quickstart) workDir() string   { return filepath.Dir(q.configDir()) }
func (q *quickstart) dataDir() string   { return filepath.Join(q.workDir(), dataName) }

// checkFree checks that nothing is there that would be overwritten.
func (q *quickstart) checkFree() error {
	if filepath.Base(q.opts.ConfigPath) != config.StaticName {
		return fmt.Errorf("the name of the configuration file must be %s", config.StaticName)
	}
	for _, dir := range []string{q.configDir(), q.dataDir()} {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if len(leftovers(entries)) > 0 {
			return fmt.Errorf("directory %s has files in it: nothing is overwritten. If they are of no use, such as from a quickstart that was killed, remove them first; otherwise run this in another directory", dir)
		}
	}
	return nil
}

// leftovers returns what a new directory does not have. Where a file system is mounted
// is one that it needs itself.
func leftovers(entries []fs.DirEntry) []fs.DirEntry {
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == "lost+found" })
}

// directory makes a directory, or takes one that is there and empty.
func (q *quickstart) directory(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0755); err != nil {
		return err
	}
	switch err := os.Mkdir(dir, 0750); {
	case err == nil:
		q.undo.add(func() error { return os.RemoveAll(dir) })
		return nil
	case !errors.Is(err, fs.ErrExist):
		return err
	}
	q.undo.add(func() error {
		entries, err := os.ReadDir(dir)
		for _, e := range leftovers(entries) {
			err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
		}
		return err
	})
	return nil
}

// make writes all there is, mox.conf last, and says what was done.
func (q *quickstart) make(ctx context.Context) error {
	for _, dir := range []string{q.configDir(), q.dataDir()} {
		if err := q.directory(dir); err != nil {
			return err
		}
	}
	keys, err := q.writeKeys()
	if err != nil {
		return err
	}
	dkim, err := config.NewDKIM(q.configDir(), q.addr.Domain, q.opts.Now())
	if err != nil {
		return err
	}
	static, dynamic := q.static(keys), q.dynamic(dkim)
	if err := config.Create(q.configDir(), static, dynamic); err != nil {
		return err
	}
	if err := q.writeHints(); err != nil {
		return err
	}
	s, err := config.Load(q.opts.ConfigPath)
	if err != nil {
		return err
	}
	if err := s.CheckFiles(); err != nil {
		return err
	}
	password := identity.NewPassword()
	if err := daemon.InitAccount(ctx, s, q.opts.Log, q.account(), password); err != nil {
		return fmt.Errorf("account %s: %w", q.account(), err)
	}
	if err := q.result(s, password); err != nil {
		return err
	}
	if err := q.writeLog(); err != nil {
		return err
	}
	if err := q.giveAway(); err != nil {
		return err
	}
	return ctx.Err()
}

// writeKeys writes the files for TLS, and returns those with keys of the hostname, as they
// are in the configuration.
func (q *quickstart) writeKeys() ([]string, error) {
	dir := q.configDir()
	if q.opts.CAFile != "" {
		data, err := os.ReadFile(q.opts.CAFile)
		if err != nil {
			return nil, fmt.Errorf("authorities to trust: %w", err)
		}
		if err := safefile.CreateExcl(filepath.Join(dir, caName), data, 0640); err != nil {
			return nil, err
		}
	}
	if q.opts.ExistingWebserver {
		return nil, q.writePlaceholder()
	}
	paths, err := certs.NewHostKeys(filepath.Join(dir, keysName), q.net.hostname)
	if err != nil {
		return nil, err
	}
	for i, p := range paths {
		paths[i] = keysName + "/" + filepath.Base(p)
	}
	return paths, nil
}

// writeHints adds comments to the files with what many will want, and should decide about.
func (q *quickstart) writeHints() error {
	insert := func(name, section, after, hint string) error {
		path := filepath.Join(q.configDir(), name)
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text := string(data)
		start := strings.Index(text, section)
		end := strings.Index(text[max(start, 0):], after)
		if start < 0 || end < 0 {
			return fmt.Errorf("%s has no place for a comment after %q", path, section)
		}
		at := start + end + len(after)
		return safefile.WriteFile(path, []byte(text[:at]+hint+text[at:]), 0660)
	}
	if err := insert(config.StaticName, "\n\t\tSMTP:\n", "\n\t\t\tEnabled: true\n", dnsblHint()); err != nil {
		return err
	}
	return insert(config.DynamicName, "\n\t\tDestinations:\n", ": nil\n", rulesetHint)
}

// dnsblHint is about lists for refusing mail.
func dnsblHint() string {
	return `
			# To refuse mail from addresses that send spam, unless something good is known about the
			# sender, remove the # below. The operators of the lists have rules about who may ask.
			#DNSBLs:
			#	- ` + strings.Join(blocklists[:], "\n\t\t\t#\t- ") + `

`
}

// rulesetHint is about mail of mailing lists.
const rulesetHint = `
			# With rules, mail of a mailing list goes to a mailbox of its own, and is not refused
			# because of what the list has changed. In the place of the line above:
			#you@example.org:
			#	Rulesets:
			#		-
			#			HeadersRegexp:
			#				^list-id$: <name\.lists\.example\.org>
			#			ListAllowDomain: lists.example.org
			#			Mailbox: Lists/name

`

// writePlaceholder writes a certificate that is to be replaced, so that the server can be
// started.
func (q *quickstart) writePlaceholder() error {
	names := []string{q.net.hostname.ASCII, admin.ClientDomain(q.addr.Domain).ASCII}
	cert, key, err := certs.SelfSigned(q.opts.Now(), placeholderValidity, slices.Compact(names)...)
	if err != nil {
		return err
	}
	certPath, keyPath := filepath.Join(q.configDir(), certName), filepath.Join(q.configDir(), keyName)
	if err := os.Mkdir(filepath.Dir(certPath), 0750); err != nil {
		return err
	}
	if err := safefile.CreateExcl(certPath, cert, 0640); err != nil {
		return err
	}
	if err := safefile.CreateExcl(keyPath, key, 0600); err != nil {
		return err
	}
	return safefile.SyncDir(filepath.Dir(certPath))
}

// writeLog writes what was printed, without the password. One of an earlier run, for which
// the files have been removed, is replaced.
func (q *quickstart) writeLog() error {
	path := filepath.Join(q.workDir(), logName)
	if err := safefile.WriteFile(path, q.out.kept.Bytes(), 0600); err != nil {
		return err
	}
	q.undo.add(func() error { return os.Remove(path) })
	return nil
}

// giveAway makes the user that the server runs as the owner of its files, and lets others
// have no access. What root relies on at the next start stays root's, or becomes it: mox.conf,
// which the user cannot replace in a directory that is sticky, and the directory of both.
func (q *quickstart) giveAway() error {
	if q.opts.Machine.Root() && q.uid != 0 {
		privsep.Reclaim(q.workDir(), privsep.Account{Name: q.opts.User, UID: q.uid, GID: q.gid}, q.opts.Log)
	}
	for _, dir := range []string{q.configDir(), q.dataDir()} {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.Name() == "lost+found" {
				return fs.SkipDir
			}
			uid, mode := q.uid, fs.FileMode(0640)
			switch {
			case path == q.configDir():
				uid, mode = 0, fs.ModeSetgid|fs.ModeSticky|0770
			case path == q.opts.ConfigPath:
				uid = 0
			case d.IsDir():
				mode = fs.ModeSetgid | 0750
			default:
				info, err := d.Info()
				if err != nil {
					return err
				}
				mode &= info.Mode()
			}
			if q.opts.Machine.Root() {
				if err := os.Lchown(path, uid, q.gid); err != nil {
					return err
				}
			}
			return os.Chmod(path, mode)
		})
		if err != nil {
			return fmt.Errorf("permissions: %w", err)
		}
	}
	return nil
}
