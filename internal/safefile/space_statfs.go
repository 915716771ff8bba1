//go:build linux || darwin || freebsd || dragonfly

package safefile

import (
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const errQuota = syscall.EDQUOT

func freeSpace(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	// The types differ per system. On FreeBSD, free blocks below the reserve are
	// negative.
	avail := int64(st.Bavail)
	if avail <= 0 {
		return 0, nil
	}
	size := int64(st.Bsize)
	if avail > math.MaxInt64/size {
		return math.MaxInt64, nil
	}
	return avail * size, nil
}
