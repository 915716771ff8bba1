//go:build unix

package backup

import (
	"os"
	"syscall"
)

// owner is whom restored files are to belong to.
type owner struct {
	uid, gid int
	known    bool
}

// ownerOf returns the owner of a directory, if we can give files to others: what root
// restores must be readable for the server.
func ownerOf(dir string) (owner, error) {
	if os.Geteuid() != 0 {
		return owner{}, nil
	}
	info, err := os.Stat(dir)
	if err != nil {
		return owner{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return owner{}, nil
	}
	return owner{int(st.Uid), int(st.Gid), true}, nil
}

func (o owner) set(file string) error {
	if !o.known {
		return nil
	}
	return os.Lchown(file, o.uid, o.gid)
}
