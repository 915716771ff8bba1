package dns

import (
	"errors"
	"net"
	"os"
	"time"
)

const (
	// resendAfter is how long an answer may take until the question is sent once more, as
	// datagrams get lost. Each further wait is twice as long. RFC 1035 §4.2.1
	resendAfter = time.Second

	// maxDatagrams is how many questions of a resolver are on their way at the same time:
	// a burst of more would not fit into the buffer of the socket of a server, and what
	// does not is lost. A question counts until its answer is there, or is slow.
	maxDatagrams = 128
)

// packetConn is a UDP connection: one message for each read and write. It must be
// a net.PacketConn, by which adns knows.
type packetConn struct {
	*net.UDPConn
	e        *exchanges
	server   int
	question []byte
	deadline time.Time // Zero is none.
	holds    bool      // A slot.
}

// SetDeadline implements net.Conn.
func (c *packetConn) SetDeadline(t time.Time) error {
	c.deadline = t
	return c.UDPConn.SetDeadline(t)
}

func (c *packetConn) Write(p []byte) (int, error) {
	c.hold()
	c.question = c.e.query(p, 0)
	return c.UDPConn.Write(c.question)
}

func (c *packetConn) Read(p []byte) (int, error) {
	defer c.release()
	for wait := resendAfter; ; wait *= 2 {
		end := time.Now().Add(wait)
		last := !c.deadline.IsZero() && !end.Before(c.deadline)
		if last {
			end = c.deadline
		}
		if err := c.SetReadDeadline(end); err != nil {
			return 0, err
		}
		n, err := c.UDPConn.Read(p)
		if err == nil {
			c.e.answer(p[:n], c.server, true)
			return n, nil
		}
		c.release()
		if !last && errors.Is(err, os.ErrDeadlineExceeded) {
			_, err = c.UDPConn.Write(c.question)
		}
		if err != nil {
			c.e.failed(c.server)
			return n, err
		}
	}
}

// Close implements net.Conn.
func (c *packetConn) Close() error {
	c.release()
	return c.UDPConn.Close()
}

func (c *packetConn) hold() {
	if c.e.slots == nil || c.holds {
		return
	}
	select {
	case c.e.slots <- struct{}{}:
		c.holds = true
	case <-time.After(resendAfter): // That of others may not take the time of this one.
	}
}

func (c *packetConn) release() {
	if c.holds {
		<-c.e.slots
		c.holds = false
	}
}
