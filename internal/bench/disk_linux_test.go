package bench

import (
	"os"
	"syscall"
)

// datasync syncs what is needed to read a file again, as the database does.
func datasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); err != syscall.EINTR {
			return err
		}
	}
}

// dropCaches writes what is not on the disk yet and empties the page cache, for which
// one must be root.
func dropCaches() error {
	syscall.Sync()
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0)
}
