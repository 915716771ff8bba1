package admin

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mox/imap"
	"mox/internal/safefile"
	"mox/store"
)

const (
	// maxMaildirKeywords is how many keywords have a letter in names of files.
	maxMaildirKeywords = 26
	keywordsName       = "dovecot-keywords" // Lines "0 keyword" for the letter a, and so on.
	flagsName          = "flags.tsv"        // Per message: file, time, flags and all keywords, as IMAP has them.
)

// archive takes the files of an export.
type archive interface {
	dir(name string) error
	file(name string, size int64, at time.Time, r io.Reader) error
	// finish makes all durable, and reads it again.
	finish() error
}

// export writes all messages of an account as maildirs, one for each mailbox, and
// returns how many. They are on stable storage and were read again. If that fails,
// nothing of it is left.
func (a *Admin) export(ctx context.Context, t *store.Taken, dst string) (n int, rerr error) {
	if !filepath.IsAbs(dst) {
		dst = filepath.Join(a.opts.Config.Snapshot().DataDir, dst)
	}
	acc, err := t.Open(ctx)
	if err != nil && !errors.Is(err, store.ErrNoAccount) {
		return 0, err
	}
	var ar archive
	if strings.HasSuffix(dst, ".tgz") || strings.HasSuffix(dst, ".tar.gz") {
		ar, err = newTgz(dst)
	} else {
		ar, err = newDirectory(dst)
	}
	if err != nil {
		return 0, fmt.Errorf("export: %w", err)
	}
	defer func() {
		if rerr != nil {
			rerr = errors.Join(fmt.Errorf("export: %w", rerr), os.RemoveAll(dst))
		}
	}()
	if acc != nil {
		for _, mb := range acc.Tree().Mailboxes() {
			k, err := exportMailbox(ctx, acc, mb, ar)
			if err != nil {
				return 0, fmt.Errorf("mailbox %q: %w", mb.Name, err)
			}
			n += k
		}
	}
	if err := ar.finish(); err != nil {
		return 0, err
	}
	return n, safefile.SyncDir(filepath.Dir(dst))
}

func exportMailbox(ctx context.Context, acc *store.Account, mb store.Mailbox, ar archive) (int, error) {
	ix, err := acc.Index(ctx, mb.ID)
	if err != nil {
		return 0, err
	}
	root := maildirName(mb.Name)
	for _, dir := range []string{root, root + "/cur", root + "/new", root + "/tmp"} {
		if err := ar.dir(dir); err != nil {
			return 0, err
		}
	}
	var keywords []string // Those with a letter.
	var flags bytes.Buffer
	for _, it := range ix.Range(0, ix.Len()) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		set := imap.FlagSet{Flags: it.Flags, Keywords: it.Keywords()}
		lettered := imap.FlagSet{Flags: set.Flags &^ imap.FlagForwarded, Keywords: set.Keywords}
		for _, k := range lettered.Names() {
			if !strings.HasPrefix(k, `\`) && len(keywords) < maxMaildirKeywords && !slices.Contains(keywords, k) {
				keywords = append(keywords, k)
			}
		}
		name := fmt.Sprintf("%d.%d.mox:2,%s", it.ReceivedUnix(), it.UID, maildirFlags(set, keywords))
		fmt.Fprintf(&flags, "%s\t%s\t%s\n", name, it.Received().Format(time.RFC3339), strings.Join(set.Names(), " "))
		if err := exportMessage(ctx, acc, it.ContentID, ar, root+"/cur/"+name, it.Received()); err != nil {
			return 0, fmt.Errorf("message with uid %d: %w", it.UID, err)
		}
	}
	var list strings.Builder
	for i, k := range keywords {
		fmt.Fprintf(&list, "%d %s\n", i, k)
	}
	at := time.Now()
	if err := ar.file(root+"/"+keywordsName, int64(list.Len()), at, strings.NewReader(list.String())); err != nil {
		return 0, err
	}
	return ix.Len(), ar.file(root+"/"+flagsName, int64(flags.Len()), at, &flags)
}

func exportMessage(ctx context.Context, acc *store.Account, id int64, ar archive, name string, at time.Time) (rerr error) {
	c, err := acc.OpenContent(ctx, id)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, c.Close()) }()
	return ar.file(name, c.Size(), at, io.NewSectionReader(c, 0, c.Size()))
}

// maildirName returns a directory for a mailbox. Mailboxes within others are in their
// directories; a level that would be no name for one, or that of one of ours, begins with
// an underscore.
func maildirName(mailbox string) string {
	levels := strings.Split(mailbox, "/")
	for i, l := range levels {
		if l == "" || strings.HasPrefix(l, ".") || strings.HasPrefix(l, "_") || slices.Contains([]string{"cur", "new", "tmp", keywordsName, flagsName}, l) {
			l = "_" + l
		}
		levels[i] = strings.ReplaceAll(l, "\x00", "")
	}
	return path.Join(levels...)
}

// maildirFlags returns the letters for flags, in the order of ASCII.
func maildirFlags(set imap.FlagSet, keywords []string) string {
	var s strings.Builder
	for _, f := range []struct {
		flag   imap.Flags
		letter string
	}{{imap.FlagDraft, "D"}, {imap.FlagFlagged, "F"}, {imap.FlagForwarded, "P"}, {imap.FlagAnswered, "R"}, {imap.FlagSeen, "S"}, {imap.FlagDeleted, "T"}} {
		if set.Flags&f.flag != 0 {
			s.WriteString(f.letter)
		}
	}
	have := set.Names()
	for i, k := range keywords {
		if slices.Contains(have, k) {
			s.WriteByte('a' + byte(i))
		}
	}
	return s.String()
}

// directory is an export into a directory.
type directory struct {
	root string
	dirs []string
}

func newDirectory(root string) (*directory, error) {
	if err := os.Mkdir(root, 0700); err != nil {
		return nil, err
	}
	return &directory{root, []string{root}}, nil
}

func (d *directory) dir(name string) error {
	p := filepath.Join(d.root, filepath.FromSlash(name))
	d.dirs = append(d.dirs, p)
	return os.MkdirAll(p, 0700)
}

func (d *directory) file(name string, size int64, at time.Time, r io.Reader) (rerr error) {
	p := filepath.Join(d.root, filepath.FromSlash(name))
	f, err := os.OpenFile(p, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0600)
	if err != nil {
		return err
	}
	defer func() { rerr = errors.Join(rerr, f.Close()) }()
	wrote, read := sha256.New(), sha256.New()
	n, err := io.Copy(io.MultiWriter(f, wrote), r)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if _, err := io.Copy(read, io.NewSectionReader(f, 0, size)); err != nil {
		return err
	}
	if n != size || !bytes.Equal(wrote.Sum(nil), read.Sum(nil)) {
		return fmt.Errorf("%s is not what was written", p)
	}
	return os.Chtimes(p, at, at)
}

func (d *directory) finish() error {
	for _, dir := range d.dirs {
		if err := safefile.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// tgz is an export into an archive.
type tgz struct {
	path string
	f    *os.File
	gz   *gzip.Writer
	tw   *tar.Writer
	sum  hash.Hash // Of names and content, to be compared with what is read again.
}

func newTgz(path string) (*tgz, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0600)
	if err != nil {
		return nil, err
	}
	gz := gzip.NewWriter(f)
	return &tgz{path, f, gz, tar.NewWriter(gz), sha256.New()}, nil
}

func (t *tgz) dir(name string) error {
	return t.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0700, Format: tar.FormatPAX})
}

func (t *tgz) file(name string, size int64, at time.Time, r io.Reader) error {
	if err := t.tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0600, Size: size, ModTime: at, Format: tar.FormatPAX}); err != nil {
		return err
	}
	fmt.Fprintf(t.sum, "%q %d\n", name, size)
	n, err := io.Copy(io.MultiWriter(t.tw, t.sum), r)
	if err == nil && n != size {
		err = fs.ErrInvalid
	}
	return err
}

func (t *tgz) finish() (rerr error) {
	defer func() { rerr = errors.Join(rerr, t.f.Close()) }()
	for _, fn := range []func() error{t.tw.Close, t.gz.Close, t.f.Sync} {
		if err := fn(); err != nil {
			return err
		}
	}
	if _, err := t.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	gz, err := gzip.NewReader(t.f)
	if err != nil {
		return err
	}
	sum := sha256.New()
	for tr := tar.NewReader(gz); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return fmt.Errorf("read %s again: %w", t.path, err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		fmt.Fprintf(sum, "%q %d\n", h.Name, h.Size)
		if _, err := io.Copy(sum, tr); err != nil {
			return fmt.Errorf("read %s again: %w", t.path, err)
		}
	}
	if !bytes.Equal(sum.Sum(nil), t.sum.Sum(nil)) {
		return fmt.Errorf("%s is not what was written", t.path)
	}
	return nil
}
