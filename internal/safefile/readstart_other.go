//go:build !unix

package safefile

import (
	"io"
	"os"
)

func readStart(name string, b []byte) (n int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer f.Close() // It was only read.
	n, err = io.ReadFull(f, b)
	if err == io.ErrUnexpectedEOF {
		err = io.EOF
	}
	return n, err
}
