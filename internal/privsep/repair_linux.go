package privsep

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"mox/config"
	"mox/mlog"
)

// maxDepth is how far down permissions are put right.
const maxDepth = 20

// modes are what a kind of file must have and what it may have. What else it has is
// removed, so that a file with fewer permissions stays as it is.
type modes struct{ must, may fs.FileMode }

var (
	fileModes      = modes{0600, 0660}
	dirModes       = modes{0700 | unix.S_ISGID, 0750 | unix.S_ISGID}
	configDirModes = modes{0770 | unix.S_ISVTX | unix.S_ISGID, 0770 | unix.S_ISVTX | unix.S_ISGID}
	staticModes    = modes{0640, 0640}
	workDirModes   = modes{0751, 0751}
	binaryModes    = modes{0750, 0750}
)

// shared are directories that are not for the files of one program.
var shared = []string{"/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root", "/run", "/sbin",
	"/srv", "/sys", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/usr/local/bin", "/usr/local/etc", "/usr/local/lib", "/usr/sbin", "/usr/share", "/var", "/var/cache", "/var/lib", "/var/log", "/var/mail", "/var/spool", "/var/tmp"}

// prepare makes the data directory if there is none, and puts owners and permissions of
// the directories of the configuration and of data right, unless the configuration says
// not to:
//
//   - The user can write to both, and others can read nothing.
//   - What root relies on at the next start stays root's: mox.conf, the directory that of
//     the configuration is in, and the program. The directory of the configuration is
//     root's and sticky, so that the user can replace domains.conf but not mox.conf.
//   - Certificates in files, and their keys, stay as they are: root opens them.
//
// What cannot be changed is logged.
func prepare(s *config.Snapshot, a Account, log *slog.Logger) error {
	made := false
	if _, err := os.Stat(s.DataDir); errors.Is(err, fs.ErrNotExist) {
		made = true
		if err := os.MkdirAll(s.DataDir, 0750); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
		if err := os.Lchown(s.DataDir, a.UID, a.GID); err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
	}
	if s.Static.NoFixPermissions {
		return nil
	}
	confDir, err := realDir(configDir(s))
	if err != nil {
		return err
	}
	dataDir, err := realDir(s.DataDir)
	if err != nil {
		return err
	}
	for _, dir := range []string{confDir, dataDir} {
		if slices.Contains(shared, dir) {
			return fmt.Errorf("%s is not for one program alone: give the configuration and data a directory each, or set NoFixPermissions in mox.conf", dir)
		}
	}
	r := &repairer{account: a, log: log}
	r.config(s, confDir, dataDir)
	r.data(dataDir, confDir, made)
	r.trusted(confDir)
	if err := CheckPlace(filepath.Dir(confDir), a); err != nil {
		log.Warn("configuration is in an unsafe place", mlog.Err(err))
	}
	if r.changed > 0 {
		log.Info("permissions were put right", "changed", r.changed, "user", a.Name)
	}
	return nil
}

// realDir returns the absolute path of a directory, without links.
func realDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// repairer puts permissions right. The user may write to what it works on at the same
// time, so it follows no links, and works on descriptors.
type repairer struct {
	account Account
	log     *slog.Logger
	changed int
}

// config puts the directory of the configuration right.
func (r *repairer) config(s *config.Snapshot, dir, dataDir string) {
	skip := map[string]bool{dataDir: true}
	for _, l := range s.Listeners {
		if l.TLS != nil {
			for _, kc := range l.TLS.KeyCerts {
				skip[absolute(kc.CertFile)], skip[absolute(kc.KeyFile)] = true, true
			}
		}
	}
	d, err := os.Open(dir)
	if err != nil {
		r.log.Warn("permissions", mlog.Err(err))
		return
	}
	defer d.Close() // Read only.
	static := absolute(s.Path)
	r.set(d, 0, r.account.GID, configDirModes)
	r.entries(d, 0, func(path string) bool { return skip[path] || path == static })
	if f, err := openFile(d, filepath.Base(static)); err != nil {
		r.log.Warn("permissions", "path", static, mlog.Err(err))
	} else {
		r.set(f, 0, r.account.GID, staticModes)
		_ = f.Close() // Read only.
	}
}

func absolute(path string) string {
	if p, err := filepath.Abs(path); err == nil {
		return p
	}
	return path
}

// data puts the data directory right. Directories of messages are only looked at if the
// data directory itself needs it: there can be many, and nobody but the server writes
// there.
func (r *repairer) data(dir, confDir string, made bool) {
	d, err := os.Open(dir)
	if err != nil {
		r.log.Warn("permissions", mlog.Err(err))
		return
	}
	defer d.Close() // Read only.
	all := r.set(d, r.account.UID, r.account.GID, dirModes) || made
	r.entries(d, 0, func(path string) bool { return path == confDir || !all && filepath.Base(path) == "msg" })
}

// trusted keeps what root uses at the next start from the user.
func (r *repairer) trusted(confDir string) {
	r.reclaim(filepath.Dir(confDir), workDirModes)
	if path, err := os.Executable(); err == nil {
		r.reclaim(path, binaryModes)
	}
}

// reclaim makes a file or directory root's if it is the user's.
func (r *repairer) reclaim(path string, m modes) {
	f, err := openFile(nil, path)
	if err != nil {
		r.log.Warn("permissions", "path", path, mlog.Err(err))
		return
	}
	defer f.Close() // Read only.
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err == nil && int(st.Uid) == r.account.UID {
		r.set(f, 0, r.account.GID, m)
	}
}

// openFile opens a file in a directory, or that with a path if dir is nil. The last
// element must not be a link.
func openFile(dir *os.File, name string) (*os.File, error) {
	at, path := unix.AT_FDCWD, name
	if dir != nil {
		at, path = int(dir.Fd()), filepath.Join(dir.Name(), name)
	}
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// entries puts what is in a directory right, and what is below it.
func (r *repairer) entries(dir *os.File, depth int, skip func(path string) bool) {
	if depth > maxDepth {
		r.log.Warn("permissions are left as they are, directories are nested too deep", "path", dir.Name())
		return
	}
	for {
		entries, err := dir.ReadDir(1000)
		for _, e := range entries {
			if kind := e.Type(); (kind.IsRegular() || kind.IsDir()) && !skip(filepath.Join(dir.Name(), e.Name())) {
				r.entry(dir, e.Name(), depth, skip)
			}
		}
		if err == io.EOF {
			return
		} else if err != nil {
			r.log.Warn("permissions", "path", dir.Name(), mlog.Err(err))
			return
		}
	}
}

func (r *repairer) entry(dir *os.File, name string, depth int, skip func(path string) bool) {
	f, err := openFile(dir, name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	} else if err != nil {
		r.log.Warn("permissions", mlog.Err(err))
		return
	}
	defer f.Close() // Read only.
	info, err := f.Stat()
	switch {
	case err != nil:
		r.log.Warn("permissions", mlog.Err(err))
	case info.IsDir():
		r.set(f, r.account.UID, r.account.GID, dirModes)
		r.entries(f, depth+1, skip)
	case info.Mode().IsRegular():
		r.set(f, r.account.UID, r.account.GID, fileModes)
	}
}

// set sets the owner and mode of a file, and reports whether they were others.
func (r *repairer) set(f *os.File, uid, gid int, m modes) bool {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		r.log.Warn("permissions", "path", f.Name(), mlog.Err(err))
		return false
	}
	mode := fs.FileMode(st.Mode & 07777)
	want := mode&m.may | m.must
	owned := int(st.Uid) == uid && int(st.Gid) == gid
	if owned && mode == want {
		return false
	}
	dir := st.Mode&unix.S_IFMT == unix.S_IFDIR
	if !dir && st.Nlink > 1 && int(st.Uid) != r.account.UID {
		r.log.Warn("file has other names and belongs to someone else, its permissions are left as they are", "path", f.Name(), "uid", st.Uid)
		return false
	}
	if !owned {
		if err := f.Chown(uid, gid); err != nil {
			r.log.Warn("owner cannot be put right", mlog.Err(err))
			return false
		}
	}
	err := unix.Fchmod(int(f.Fd()), uint32(want))
	if errors.Is(err, unix.EPERM) && want&unix.S_ISGID != 0 {
		// Services may have been forbidden to set that bit, which is for files that root makes.
		if want &^= unix.S_ISGID; owned && mode == want {
			return false
		}
		err = unix.Fchmod(int(f.Fd()), uint32(want))
	}
	if err != nil {
		r.log.Warn("mode cannot be put right", "path", f.Name(), mlog.Err(err))
		return false
	}
	r.changed++
	r.log.Debug("permissions were put right", "path", f.Name(),
		"old", fmt.Sprintf("%d:%d %04o", st.Uid, st.Gid, uint32(mode)), "new", fmt.Sprintf("%d:%d %04o", uid, gid, uint32(want)))
	return true
}
