package privsep

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
)

// CheckPlace returns an error if a directory is no place for the files of a server that root
// starts: others could replace them by what they like, or the user that it runs as cannot get
// there. The directory may belong to that user, and need not exist.
func CheckPlace(dir string, a Account) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	for place := dir; ; place = filepath.Dir(place) {
		if err := checkPlace(place, a, place == dir); err != nil {
			return fmt.Errorf("%w; or choose another directory, such as /home/%s, made by root", err, a.Name)
		}
		if place == filepath.Dir(place) {
			return nil
		}
	}
}

// Reclaim makes a directory root's if it is the user's, whose home directory it may be. What
// goes wrong is logged.
func Reclaim(dir string, a Account, log *slog.Logger) {
	r := &repairer{account: a, log: log}
	r.reclaim(dir, workDirModes)
}

func checkPlace(dir string, a Account, last bool) error {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // It is made by root.
	} else if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if owner := int(st.Uid); owner != 0 && !(last && owner == a.UID) {
		return fmt.Errorf("directory %s belongs to the user with number %d, who could replace what root relies on: chown root %[1]s", dir, owner)
	}
	if info.Mode().Perm()&0022 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("directory %s can be written by others, who could replace what root relies on: chmod go-w %[1]s", dir)
	}
	if !permitted(info, a, 1) {
		return fmt.Errorf("user %s cannot get through directory %s: chmod o+x %[2]s", a.Name, dir)
	}
	return nil
}
