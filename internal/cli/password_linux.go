package cli

import (
	"os"

	"golang.org/x/sys/unix"
)

// hideInput makes a terminal not show what is typed, until restore is called.
func hideInput(f *os.File) (restore func() error, err error) {
	fd := int(f.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, err
	}
	hidden := *before
	hidden.Lflag &^= unix.ECHO
	hidden.Lflag |= unix.ICANON | unix.ISIG
	hidden.Iflag |= unix.ICRNL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &hidden); err != nil {
		return nil, err
	}
	return func() error { return unix.IoctlSetTermios(fd, unix.TCSETS, before) }, nil
}

// readHidden reads a line from a terminal that does not show it.
func readHidden(f *os.File) (string, error) { return firstLine(f) }
