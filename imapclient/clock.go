package imapclient

import (
	"context"
	"net"
	"sync"
	"time"
)

// past is a deadline that makes running reads and writes fail.
var past = time.Unix(1, 0)

// A connClock reads and writes a connection, and keeps its deadline in line with a context
// and a time-out, which is for each read and write.
type connClock struct {
	timeout time.Duration

	mu    sync.Mutex // Also against the function that waits for the end of a context.
	conn  net.Conn
	ctx   context.Context // Of the running operation, or nil.
	timed bool            // The operation has a time-out.
	gen   int             // Counts operations.
}

// start takes the context of an operation. Without timed, only the end of the context ends
// it. The returned function ends the operation.
func (k *connClock) start(ctx context.Context, timed bool) (stop func()) {
	k.mu.Lock()
	k.gen++
	gen := k.gen
	k.ctx, k.timed = ctx, timed
	k.mu.Unlock()
	cancel := context.AfterFunc(ctx, func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.ctx != nil && k.gen == gen {
			k.setDeadline(past)
		}
	})
	return func() {
		cancel()
		k.mu.Lock()
		k.ctx = nil
		k.mu.Unlock()
	}
}

// Read reads from the connection.
func (k *connClock) Read(p []byte) (int, error) {
	k.extend()
	return k.conn.Read(p)
}

// Write writes to the connection.
func (k *connClock) Write(p []byte) (int, error) {
	k.extend()
	return k.conn.Write(p)
}

// extend gives the server another time-out, within the deadline of the context.
func (k *connClock) extend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ctx == nil || k.ctx.Err() != nil {
		k.setDeadline(past)
		return
	}
	var t time.Time
	if k.timed {
		t = time.Now().Add(k.timeout)
	}
	if d, ok := k.ctx.Deadline(); ok && (t.IsZero() || d.Before(t)) {
		t = d
	}
	k.setDeadline(t)
}

// setConn makes conn the connection.
func (k *connClock) setConn(conn net.Conn) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conn = conn
}

// setDeadline sets the deadline of the connection. If that fails, so does the next read or
// write, which tells why.
func (k *connClock) setDeadline(t time.Time) {
	_ = k.conn.SetDeadline(t)
}
