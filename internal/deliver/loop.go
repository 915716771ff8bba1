package deliver

import (
	"bufio"
	"bytes"
	"errors"
	"io"

	"mox/smtp"
)

// CheckLoop reads the header section of a message and returns a *smtp.Error if it
// has more than MaxReceived Received fields: it is in a loop. Memory does not grow
// with the header.
func CheckLoop(r io.Reader) error {
	b := bufio.NewReaderSize(r, 4096)
	n, start := 0, true
	for {
		line, err := b.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return localError(err)
		}
		if start && (len(line) == 0 || len(bytes.TrimRight(line, "\r\n")) == 0) {
			return nil // End of the header section.
		}
		if start && isReceived(line) {
			n++
			if n > MaxReceived {
				return smtp.Errorf(smtp.C550MailboxUnavailable, smtp.Se46RoutingLoop, "loop detected, more than %d Received header fields", MaxReceived)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		start = err == nil // Otherwise more of the line follows.
	}
}

var received = []byte("received")

// isReceived reports whether a line begins a Received field, with white space
// before the colon or not.
func isReceived(line []byte) bool {
	if len(line) <= len(received) || !bytes.EqualFold(line[:len(received)], received) {
		return false
	}
	rest := bytes.TrimLeft(line[len(received):], " \t")
	return len(rest) > 0 && rest[0] == ':'
}
