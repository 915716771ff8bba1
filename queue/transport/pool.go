package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"mox/mlog"
	"mox/smtpclient"
)

// ErrPoolClosed is the error of attempts after Pool.Close.
var ErrPoolClosed = errors.New("transport: pool of connections is closed")

// PoolOptions are for NewPool. Zero values are defaults.
type PoolOptions struct {
	Idle           time.Duration // How long a connection waits for another message.
	PerDestination int           // Connections to one address of a host.
	Total          int           // Connections in all.
	MaxMessages    int           // Messages on one connection.
	MaxAge         time.Duration // Of a connection that is given another message.
	Log            *slog.Logger  // Nil logs nothing.
}

// A Pool keeps connections for further messages, and bounds how many there are. It
// can be shared by transports: a connection is used again only by the transport that
// has made it, for the same host, address, requirement for TLS and credentials.
//
// It is safe for concurrent use.
type Pool struct {
	opts PoolOptions
	log  *slog.Logger

	mu      sync.Mutex // Guards what follows.
	closed  bool
	total   int                 // Connections, and those that are being made or closed.
	perDest map[destination]int // Of those.
	idle    map[key][]*conn     // The latest last.
	waiting int                 // Idle ones.
	changed chan struct{}       // Closed, and replaced, when there may be room.
}

// A destination is what PerDestination is about.
type destination struct {
	via  *Network // Of the transport: through which proxy, with which certificates.
	host string
	addr netip.AddrPort
}

// A key is what connections must have in common to stand for one another.
type key struct {
	destination
	tls  string
	auth string
}

// A conn is a connection in a pool. It is used by one goroutine at a time.
type conn struct {
	key      key
	client   *smtpclient.Client
	local    string        // Our address.
	dialed   time.Duration // How long it took to connect.
	born     time.Time
	since    time.Time // When it became idle.
	messages int
	spent    bool      // The server does not want another message on it.
	rec      *recorder // Of the attempt that uses it, nil when idle.
	timer    *time.Timer
}

// session returns which TLS there is, see queue.Result.
func (c *conn) session() string {
	cs := c.client.TLS().State
	if cs == nil {
		return "none"
	}
	return tls.VersionName(cs.Version) + " " + tls.CipherSuiteName(cs.CipherSuite)
}

// observe is called for each reply.
func (c *conn) observe(command string, r smtpclient.Reply, took time.Duration) {
	observeCommand(command, r, took)
	c.rec.reply(command, r)
}

// NewPool returns an empty pool.
func NewPool(opts PoolOptions) *Pool {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&opts.PerDestination, DefaultPerDestination)
	set(&opts.Total, DefaultTotal)
	set(&opts.MaxMessages, DefaultMaxMessages)
	if opts.Idle <= 0 {
		opts.Idle = DefaultIdle
	}
	if opts.MaxAge <= 0 {
		opts.MaxAge = DefaultMaxAge
	}
	if opts.Log == nil {
		opts.Log = mlog.Discard()
	}
	return &Pool{
		opts:    opts,
		log:     opts.Log,
		perDest: map[destination]int{},
		idle:    map[key][]*conn{},
		changed: make(chan struct{}),
	}
}

// get returns a connection for k: an idle one, unless fresh is set, or else one that
// open makes, when there is room for it. It is to be given back with put.
func (p *Pool) get(ctx context.Context, k key, fresh bool, open func(c *conn) error) (c *conn, reused bool, err error) {
	for {
		p.mu.Lock()
		if p.closed {
			p.mu.Unlock()
			return nil, false, ErrPoolClosed
		}
		if c := p.takeIdle(k); c != nil && !fresh {
			p.gauge()
			p.mu.Unlock()
			return c, true, nil
		} else if c != nil {
			// The others of its kind will be no better.
			p.gauge()
			p.mu.Unlock()
			p.quit(c)
			continue
		}
		if p.perDest[k.destination] < p.opts.PerDestination && p.total < p.opts.Total {
			p.perDest[k.destination]++
			p.total++
			p.gauge()
			p.mu.Unlock()
			return p.open(k, open)
		}
		victim := p.victim(k.destination)
		changed := p.changed
		p.mu.Unlock()
		if victim != nil {
			p.quit(victim)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// open makes a connection for which there is room.
func (p *Pool) open(k key, open func(c *conn) error) (rc *conn, reused bool, err error) {
	defer func() {
		if rc == nil { // Also after a panic.
			p.free(k)
		}
	}()
	c := &conn{key: k, born: time.Now()}
	if err := open(c); err != nil {
		return nil, false, err
	}
	return c, false, nil
}

// put gives a connection back. It is kept for another message if it can be used for
// one. That never takes time.
func (p *Pool) put(c *conn) {
	c.rec = nil
	p.mu.Lock()
	if p.closed || c.spent || !c.client.Usable() || c.messages >= p.opts.MaxMessages || time.Since(c.born) >= p.opts.MaxAge {
		p.mu.Unlock()
		p.quit(c)
		return
	}
	p.idle[c.key] = append(p.idle[c.key], c)
	p.waiting++
	c.since = time.Now()
	c.timer = time.AfterFunc(p.opts.Idle, func() { p.expire(c) })
	p.announce()
	p.gauge()
	p.mu.Unlock()
}

// expire closes a connection that has been idle for too long.
func (p *Pool) expire(c *conn) {
	p.mu.Lock()
	removed := p.remove(c)
	p.gauge()
	p.mu.Unlock()
	if removed {
		p.quit(c)
	}
}

// quit says QUIT and closes a connection that is not idle, without waiting for it.
func (p *Pool) quit(c *conn) {
	go func() {
		defer p.free(c.key)
		if err := c.client.Close(); err != nil {
			p.log.Debug("closing connection to mail server", mlog.Err(err), slog.String("host", c.key.host))
		}
	}()
}

// free makes room after a connection is closed.
func (p *Pool) free(k key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total--
	if p.perDest[k.destination]--; p.perDest[k.destination] == 0 {
		delete(p.perDest, k.destination)
	}
	p.announce()
	p.gauge()
}

// announce wakes those who wait for room. The lock is held.
func (p *Pool) announce() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// gauge sets the metrics. The lock is held.
func (p *Pool) gauge() {
	metricPool.WithLabelValues("idle").Set(float64(p.waiting))
	metricPool.WithLabelValues("busy").Set(float64(p.total - p.waiting))
}

// takeIdle returns the idle connection for k that was used last, nil if there is
// none. The lock is held.
func (p *Pool) takeIdle(k key) *conn {
	l := p.idle[k]
	if len(l) == 0 {
		return nil
	}
	c := l[len(l)-1]
	p.remove(c)
	return c
}

// remove takes an idle connection out, and reports whether it was there. The lock is
// held.
func (p *Pool) remove(c *conn) bool {
	l := p.idle[c.key]
	for i := range l {
		if l[i] != c {
			continue
		}
		c.timer.Stop()
		p.waiting--
		l[i] = nil
		if len(l) == 1 {
			delete(p.idle, c.key)
		} else {
			p.idle[c.key] = append(l[:i:i], l[i+1:]...)
		}
		return true
	}
	return false
}

// hasIdle reports whether there is an idle connection for k.
func (p *Pool) hasIdle(k key) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle[k]) > 0
}

// victim takes out an idle connection in favour of one to d: to d itself if that has
// too many, else the one that has been idle for longest. Nil if none would help. The lock is held.
func (p *Pool) victim(d destination) *conn {
	full := p.perDest[d] >= p.opts.PerDestination
	var oldest *conn
	for k, l := range p.idle {
		if full && k.destination != d {
			continue
		}
		if c := l[0]; oldest == nil || c.since.Before(oldest.since) {
			oldest = c
		}
	}
	if oldest != nil {
		p.remove(oldest)
	}
	return oldest
}

// Close closes idle connections, and waits until those in use are given back and all
// are closed, or ctx ends. Attempts end by their own contexts. There are no
// connections after that.
func (p *Pool) Close(ctx context.Context) error {
	p.mu.Lock()
	p.closed = true
	p.announce()
	var l []*conn
	for _, conns := range p.idle {
		l = append(l, conns...)
	}
	for _, c := range l {
		p.remove(c)
	}
	p.mu.Unlock()
	for _, c := range l {
		p.quit(c)
	}
	for {
		p.mu.Lock()
		total, changed := p.total, p.changed
		p.mu.Unlock()
		if total == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
