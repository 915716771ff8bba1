package dns

import (
	"bytes"
	"context"
	"net"
	"sync"
)

// Parts of the header of a DNS message, RFC 1035 §4.1.1 and RFC 4035 §3.2.3.
const (
	headerLen  = 4    // What we need of it: id and flags.
	flagQR     = 0x80 // In byte 2: a response.
	flagTC     = 0x02 // In byte 2: truncated.
	flagAD     = 0x20 // In byte 3: authentic data.
	maskRcode  = 0x0f // In byte 3.
	rcodeOK    = 0
	rcodeNameX = 3 // The name does not exist.
)

// exchanges makes the connections for one lookup at servers of our choice, and
// notes the AD bit of their answers. The adns package takes its servers and
// whether to trust them from resolv.conf alone, so for configured servers this
// asks for the bit and reads it.
type exchanges struct {
	servers []string
	trust   bool

	mu       sync.Mutex // Guards what follows. A and AAAA are asked for at the same time.
	cur      int        // Index of the server to ask.
	answers  int        // Answers that can be used.
	verified int        // Of those, with AD.
}

func (e *exchanges) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	e.mu.Lock()
	i := e.cur
	e.mu.Unlock()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, e.servers[i])
	if err != nil {
		e.failed(i)
		return nil, err
	}
	if uc, ok := conn.(*net.UDPConn); ok {
		return &packetConn{uc, e, i}, nil
	}
	return &streamConn{Conn: conn, e: e, server: i}, nil
}

// failed makes the next attempt go to the server after i.
func (e *exchanges) failed(i int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cur == i {
		e.cur = (i + 1) % len(e.servers)
	}
}

// authentic reports whether all answers that were used have the AD bit.
func (e *exchanges) authentic() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.trust && e.answers > 0 && e.answers == e.verified
}

// query returns a copy of p with the AD bit set in the message at offset off,
// which asks for the bit in the answer (RFC 6840 §5.7).
func (e *exchanges) query(p []byte, off int) []byte {
	if !e.trust || len(p) < off+headerLen {
		return p
	}
	p = bytes.Clone(p)
	p[off+3] |= flagAD
	return p
}

// answer notes the first bytes of an answer from server i. Forged packets are
// noted too, and can only take authenticity away.
func (e *exchanges) answer(msg []byte, i int, datagram bool) {
	if len(msg) < headerLen || msg[2]&flagQR == 0 {
		return
	}
	if datagram && msg[2]&flagTC != 0 {
		return // Will be asked again over TCP.
	}
	if rc := msg[3] & maskRcode; rc != rcodeOK && rc != rcodeNameX {
		e.failed(i)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answers++
	if msg[3]&flagAD != 0 {
		e.verified++
	}
}

// packetConn is a UDP connection: one message for each read and write. It must be
// a net.PacketConn, by which adns knows.
type packetConn struct {
	*net.UDPConn
	e      *exchanges
	server int
}

func (c *packetConn) Write(p []byte) (int, error) {
	return c.UDPConn.Write(c.e.query(p, 0))
}

func (c *packetConn) Read(p []byte) (int, error) {
	n, err := c.UDPConn.Read(p)
	if err != nil {
		c.e.failed(c.server)
		return n, err
	}
	c.e.answer(p[:n], c.server, true)
	return n, nil
}

// streamLen is the length of the size in front of a message over TCP, RFC 1035
// §4.2.2.
const streamLen = 2

// streamConn is a TCP connection for one question and answer.
type streamConn struct {
	net.Conn
	e      *exchanges
	server int
	sent   int                         // Bytes written.
	got    int                         // Bytes read.
	head   [streamLen + headerLen]byte // The first of them.
}

func (c *streamConn) Write(p []byte) (int, error) {
	if c.sent == 0 {
		p = c.e.query(p, streamLen)
	}
	n, err := c.Conn.Write(p)
	c.sent += n
	return n, err
}

func (c *streamConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.got < len(c.head) {
		copy(c.head[c.got:], p[:n])
		c.got += n
		if c.got >= len(c.head) {
			c.e.answer(c.head[streamLen:], c.server, false)
		}
	}
	if err != nil && c.got < len(c.head) {
		c.e.failed(c.server)
	}
	return n, err
}
