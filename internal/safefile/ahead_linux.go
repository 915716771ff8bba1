package safefile

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// aheadStep is how much the system takes note of with one call, whatever the device.
const aheadStep = 128 << 10

// ReadAhead has the system read the first size bytes of a file into memory that it has to
// spare, in the order in which they are on the disk. It does not wait for that.
func ReadAhead(path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	for off := int64(0); off < size && err == nil; off += aheadStep {
		err = unix.Fadvise(int(f.Fd()), off, aheadStep, unix.FADV_WILLNEED)
	}
	return errors.Join(err, f.Close())
}
