package transport

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// pipeBuffer is how many octets one side of a pipe can write before the other reads:
// more than a pipelined transaction, less than a message that is large.
const pipeBuffer = 64 << 10

// newPipe returns both ends of a connection as between sockets: with buffers, so that
// both sides can write at the same time, and with deadlines. All that waits waits in a
// bubble of testing/synctest, so that time passes as fast as it can.
func newPipe() (a, b net.Conn) {
	p := &pipe{}
	p.cond.L = &p.mu
	return &pipeEnd{p: p, in: &p.halves[0], out: &p.halves[1]}, &pipeEnd{p: p, in: &p.halves[1], out: &p.halves[0]}
}

type pipe struct {
	mu     sync.Mutex // Guards what follows.
	cond   sync.Cond
	halves [2]pipeHalf
}

// A pipeHalf is one direction.
type pipeHalf struct {
	buf           []byte
	ended         bool // By who writes.
	gone          bool // Who reads is gone.
	readDeadline  time.Time
	writeDeadline time.Time
	readTimer     *time.Timer
	writeTimer    *time.Timer
}

type pipeEnd struct {
	p       *pipe
	in, out *pipeHalf
}

func (e *pipeEnd) Read(b []byte) (int, error) {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	for {
		switch {
		case e.in.gone:
			return 0, net.ErrClosed
		case passed(e.in.readDeadline):
			return 0, os.ErrDeadlineExceeded
		case len(e.in.buf) > 0:
			n := copy(b, e.in.buf)
			e.in.buf = e.in.buf[n:]
			e.p.cond.Broadcast()
			return n, nil
		case e.in.ended:
			return 0, io.EOF
		}
		e.p.cond.Wait()
	}
}

func (e *pipeEnd) Write(b []byte) (n int, err error) {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	for n < len(b) {
		room := pipeBuffer - len(e.out.buf)
		switch {
		case e.out.ended:
			return n, net.ErrClosed
		case e.out.gone:
			return n, syscall.EPIPE
		case passed(e.out.writeDeadline):
			return n, os.ErrDeadlineExceeded
		case room > 0:
			k := min(room, len(b)-n)
			e.out.buf = append(e.out.buf, b[n:n+k]...)
			n += k
			e.p.cond.Broadcast()
		default:
			e.p.cond.Wait()
		}
	}
	return n, nil
}

func (e *pipeEnd) Close() error {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	e.in.gone, e.out.ended = true, true
	e.in.buf = nil
	e.p.cond.Broadcast()
	return nil
}

func (e *pipeEnd) SetDeadline(t time.Time) error {
	_ = e.SetReadDeadline(t) // Neither fails.
	return e.SetWriteDeadline(t)
}

func (e *pipeEnd) SetReadDeadline(t time.Time) error {
	return e.setDeadline(&e.in.readDeadline, &e.in.readTimer, t)
}

func (e *pipeEnd) SetWriteDeadline(t time.Time) error {
	return e.setDeadline(&e.out.writeDeadline, &e.out.writeTimer, t)
}

func (e *pipeEnd) setDeadline(which *time.Time, timer **time.Timer, t time.Time) error {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	if t.Equal(*which) {
		return nil
	}
	*which = t
	if *timer != nil {
		(*timer).Stop()
	}
	if t.IsZero() {
		return nil
	}
	*timer = time.AfterFunc(time.Until(t), e.wake)
	return nil
}

func (e *pipeEnd) wake() {
	e.p.mu.Lock()
	defer e.p.mu.Unlock()
	e.p.cond.Broadcast()
}

func passed(t time.Time) bool { return !t.IsZero() && !time.Now().Before(t) }

func (e *pipeEnd) LocalAddr() net.Addr { return pipeAddr{} }

func (e *pipeEnd) RemoteAddr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }

func (pipeAddr) String() string { return "pipe" }
