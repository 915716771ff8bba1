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

// keepAwake keeps processors from sleeping until what it returns is called, for which one must
// be root: Documentation/power/pm_qos_interface.rst of Linux.
func keepAwake() (func(), error) {
	f, err := os.OpenFile("/dev/cpu_dma_latency", os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write(make([]byte, 4)); err != nil { // Microseconds that waking may take.
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
