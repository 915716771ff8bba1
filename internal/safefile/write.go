package safefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// WriteFile replaces the content of the file at path, or creates it, so that
// after a crash at any moment the file has either the old or the new content, and
// the new one once WriteFile has returned nil: it writes a temporary file in the
// same directory, syncs and renames it, and syncs the directory.
func WriteFile(path string, data []byte, perm fs.FileMode) error {
	return WriteFileFS(OS, path, data, perm)
}

// WriteFileFS is [WriteFile] on fsys. The permissions are set if the files of fsys
// have a method Chmod, as *os.File has, and are 0600 otherwise.
func WriteFileFS(fsys FS, path string, data []byte, perm fs.FileMode) (rerr error) {
	dir := filepath.Dir(path)
	f, err := fsys.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("create temporary file: %w", err)
	}
	tmp := f.Name()
	if err := fill(f, data, perm); err != nil {
		return errors.Join(err, fsys.Remove(tmp))
	}
	if err := fsys.Rename(tmp, path); err != nil {
		return errors.Join(fmt.Errorf("rename into place: %w", err), fsys.Remove(tmp))
	}
	if err := fsys.SyncDir(dir); err != nil {
		return fmt.Errorf("sync directory: %w", err)
	}
	return nil
}

// fill writes, syncs and closes f.
func fill(f File, data []byte, perm fs.FileMode) error {
	if _, err := f.Write(data); err != nil {
		return errors.Join(fmt.Errorf("write: %w", err), f.Close())
	}
	if c, ok := f.(interface{ Chmod(fs.FileMode) error }); ok {
		if err := c.Chmod(perm); err != nil {
			return errors.Join(fmt.Errorf("set permissions: %w", err), f.Close())
		}
	}
	if err := f.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync: %w", err), f.Close())
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// CreateExcl creates a file with data in it that must not exist yet, otherwise
// the error matches fs.ErrExist, and syncs the file. The directory is not synced.
// On failure there is no file.
func CreateExcl(path string, data []byte, perm fs.FileMode) error {
	return CreateExclFS(OS, path, data, perm)
}

// CreateExclFS is [CreateExcl] on fsys.
func CreateExclFS(fsys FS, path string, data []byte, perm fs.FileMode) error {
	f, err := fsys.CreateExcl(path, perm)
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return discard(fsys, f, path, fmt.Errorf("write: %w", err))
	}
	return syncClose(fsys, f, path)
}

// syncClose syncs and closes a new file, and removes it if that fails.
func syncClose(fsys FS, f File, path string) error {
	if err := f.Sync(); err != nil {
		return discard(fsys, f, path, fmt.Errorf("sync: %w", err))
	}
	if err := f.Close(); err != nil {
		return errors.Join(fmt.Errorf("close: %w", err), fsys.Remove(path))
	}
	return nil
}

// discard closes and removes a new file and returns err with what went wrong on
// top.
func discard(fsys FS, f File, path string, err error) error {
	return errors.Join(err, f.Close(), fsys.Remove(path))
}

// SyncDir commits the names in a directory to stable storage.
func SyncDir(path string) error {
	return OS.SyncDir(path)
}

// LinkOrCopy makes dst, which must not exist, a file with the content of src: a
// hard link where the file system can, otherwise a copy with permissions 0600.
// The files must not be changed afterwards, since they may be one. If sync is
// set, the content (not the directory) is synced.
func LinkOrCopy(dst, src string, sync bool) error {
	return LinkOrCopyFS(OS, dst, src, sync)
}

// LinkOrCopyFS is [LinkOrCopy] on fsys.
func LinkOrCopyFS(fsys FS, dst, src string, sync bool) error {
	f, err := fsys.OpenFile(src, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	err = linkOrCopy(fsys, dst, f, sync)
	return errors.Join(err, f.Close())
}

func linkOrCopy(fsys FS, dst string, src File, sync bool) error {
	err := fsys.Link(src.Name(), dst)
	if err == nil {
		if !sync {
			return nil
		}
		if err := src.Sync(); err != nil {
			return errors.Join(fmt.Errorf("sync: %w", err), fsys.Remove(dst))
		}
		return nil
	}
	if !cannotLink(err) {
		return err
	}
	return copyExcl(fsys, dst, src, sync, 0600)
}

// cannotLink reports whether err says that a link cannot be made between these
// two places, and a copy may be: another file system, a file system without
// links, too many links, or a policy against it.
func cannotLink(err error) bool {
	for _, e := range []error{syscall.EXDEV, syscall.EPERM, syscall.EMLINK, syscall.ENOSYS, errors.ErrUnsupported} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// copyExcl copies src from its start to a new file.
func copyExcl(fsys FS, dst string, src File, sync bool, perm fs.FileMode) error {
	if _, err := src.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("seek: %w", err)
	}
	f, err := fsys.CreateExcl(dst, perm)
	if err != nil {
		return err
	}
	// With two *os.File on Linux this is copy_file_range, which clones where the file
	// system can.
	if _, err := io.Copy(f, src); err != nil {
		return discard(fsys, f, dst, fmt.Errorf("copy: %w", err))
	}
	if sync {
		return syncClose(fsys, f, dst)
	}
	if err := f.Close(); err != nil {
		return errors.Join(fmt.Errorf("close: %w", err), fsys.Remove(dst))
	}
	return nil
}
