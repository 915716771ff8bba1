//go:build !linux && !darwin && !freebsd && !dragonfly && !openbsd

package safefile

import (
	"errors"
	"os"
	"syscall"
)

const errQuota = syscall.ENOSPC

func freeSpace(path string) (int64, error) {
	return 0, &os.PathError{Op: "statfs", Path: path, Err: errors.ErrUnsupported}
}
