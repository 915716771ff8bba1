package cli

import (
	"errors"
	"fmt"
	"io"
	"net"

	"mox/message"
)

// connectStdio copies standard input to a connection, and what comes back to standard
// output, until the other side ends. Line ends are made CRLF for protocols with lines.
// It closes the connection.
func connectStdio(e *env, conn net.Conn, lines bool) error {
	var w io.Writer = conn
	if lines {
		w = message.NewCRLFWriter(conn)
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(w, e.in)
		if c, ok := conn.(interface{ CloseWrite() error }); ok && err == nil {
			err = c.CloseWrite()
		}
		sent <- err
	}()
	_, err := io.Copy(e.out, conn)
	cerr := conn.Close()
	select {
	case serr := <-sent:
		// That the other side has ended says enough.
		if serr != nil && err != nil {
			err = errors.Join(err, serr)
		}
	default: // There may be nothing on standard input for long.
	}
	if err != nil {
		return fmt.Errorf("connection: %w", err)
	}
	if cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		return fmt.Errorf("close connection: %w", cerr)
	}
	return nil
}
