package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/mjl-/adns"
	"golang.org/x/net/dns/dnsmessage"
)

// Parts of the header of a DNS message, RFC 1035 §4.1.1 and RFC 4035 §3.2.3.
const (
	flagsOffset = 3    // Of the second byte of the flags.
	flagAD      = 0x20 // In that byte: authentic data.
)

// exchanges makes the connections for one lookup and looks at what goes over
// them. There are two reasons. The adns package takes its servers and its trust in
// them from resolv.conf alone, so for configured servers this asks for the AD bit
// and reads it. And for aliases, adns asks for addresses too, of which the bit is
// about the whole chain, where DANE needs to know about the one record (RFC 7672
// §2.1.3).
type exchanges struct {
	servers []string        // Empty for those that adns knows.
	only    dnsmessage.Type // Type of the answers that count. Zero is all.
	slots   chan struct{}   // Has one element for each of the datagrams on their way, see maxDatagrams. Nil is no limit.

	mu       sync.Mutex // Guards what follows. Several types are asked for at the same time.
	trust    bool       // Whether the AD bit is asked for and believed.
	cur      int        // Index of the server to ask.
	answers  int        // Answers that can be used.
	verified int        // Of those, with AD.
	absent   int        // Of those, with NXDOMAIN.
	ttl      uint32     // The least of those, in seconds.
	cname    string     // Target of the CNAME record of the name asked for, if any.

	failures map[dnsmessage.Type]*kindError // By type that was asked for, until it is answered.
}

// resolver returns an adns resolver that uses e. There is one for each lookup: adns
// joins concurrent lookups of one resolver for the same host, of which just one
// would see the answers.
func (e *exchanges) resolver() *adns.Resolver {
	return &adns.Resolver{PreferGo: true, StrictErrors: true, Dial: e.dial}
}

func (e *exchanges) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	e.mu.Lock()
	i := e.cur
	e.mu.Unlock()
	if len(e.servers) > 0 {
		addr = e.servers[i]
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		e.failed(i)
		return nil, err
	}
	if uc, ok := conn.(*net.UDPConn); ok {
		return &packetConn{UDPConn: uc, e: e, server: i}, nil
	}
	return &streamConn{Conn: conn, e: e, server: i}, nil
}

// failed makes the next attempt go to the server after i.
func (e *exchanges) failed(i int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.cur == i && len(e.servers) > 0 {
		e.cur = (i + 1) % len(e.servers)
	}
}

// authentic reports whether all answers that were used have the AD bit.
func (e *exchanges) authentic() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.trust && e.answers > 0 && e.answers == e.verified
}

// noDomain reports whether all answers that were used say that the name does not
// exist.
func (e *exchanges) noDomain() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.answers > 0 && e.answers == e.absent
}

// lifetime returns for how long the answers that were used may be.
func (e *exchanges) lifetime() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return time.Duration(e.ttl) * time.Second
}

// target returns the target of the alias at the name that was asked for, or "".
func (e *exchanges) target() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.cname
}

// query returns p with the AD bit set in the message at offset off, which asks for
// the bit in the answer (RFC 6840 §5.7). For its own servers adns has set the bit
// if it trusts them.
func (e *exchanges) query(p []byte, off int) []byte {
	if len(p) <= off+flagsOffset {
		return p
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case len(e.servers) == 0:
		e.trust = p[off+flagsOffset]&flagAD != 0
	case e.trust:
		p = bytes.Clone(p)
		p[off+flagsOffset] |= flagAD
	}
	return p
}

// answer notes an answer from server i. Forged packets are noted too, and can only
// take authenticity away.
func (e *exchanges) answer(msg []byte, i int, datagram bool) {
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || !h.Response {
		return
	}
	if datagram && h.Truncated {
		return // Will be asked again over TCP.
	}
	usable := h.RCode == dnsmessage.RCodeSuccess || h.RCode == dnsmessage.RCodeNameError
	if !usable {
		e.failed(i)
	}
	q, err := p.Question()
	if err != nil || e.only != 0 && q.Type != e.only {
		return
	}
	if !usable {
		e.noteFailure(q.Type, failureOf(&p, h))
		return
	}
	ttl := ttlOf(p)
	cname := aliasOf(&p, q)
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.failures, q.Type)
	if e.answers == 0 || ttl < e.ttl {
		e.ttl = ttl
	}
	e.answers++
	if h.AuthenticData {
		e.verified++
	}
	if h.RCode == dnsmessage.RCodeNameError {
		e.absent++
	}
	if cname != "" {
		e.cname = cname
	}
}

func (e *exchanges) noteFailure(typ dnsmessage.Type, err *kindError) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failures == nil {
		e.failures = map[dnsmessage.Type]*kindError{}
	}
	e.failures[typ] = err
}

// failure returns the error of a question that was not answered, or nil. The adns
// package is content with answers to the other questions of a lookup: with IPv4
// addresses when those for IPv6 are bogus, or with addresses when the question for an
// alias has failed.
func (e *exchanges) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var first *kindError
	for _, err := range e.failures {
		if first == nil || err.kind == ErrBogus {
			first = err
		}
	}
	if first == nil {
		return nil // Not a nil *kindError in an interface.
	}
	return first
}

// answered reports whether there was an answer that counts.
func (e *exchanges) answered() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.answers > 0
}

// optionEDE is the option for extended errors, RFC 8914 §2.
const optionEDE = 15

// failureOf returns the error of a response that is one.
func failureOf(p *dnsmessage.Parser, h dnsmessage.Header) *kindError {
	err := &kindError{ErrTemporary, fmt.Errorf("response from dns server: %s", h.RCode)}
	if p.SkipAllQuestions() != nil || p.SkipAllAnswers() != nil || p.SkipAllAuthorities() != nil {
		return err
	}
	for {
		rh, herr := p.AdditionalHeader()
		if herr != nil {
			return err
		}
		if rh.Type != dnsmessage.TypeOPT {
			if p.SkipAdditional() != nil {
				return err
			}
			continue
		}
		opt, oerr := p.OPTResource()
		if oerr != nil {
			return err
		}
		for _, o := range opt.Options {
			if o.Code != optionEDE || len(o.Data) < 2 {
				continue
			}
			code := adns.ErrorCode(binary.BigEndian.Uint16(o.Data))
			err.cause = adns.ExtendedError{InfoCode: code, ExtraText: string(o.Data[2:])}
			if code.IsAuthentication() {
				err.kind = ErrBogus
				return err
			}
		}
		return err
	}
}

// ttlOf returns the least TTL of the records in an answer, or without any the one for
// that, RFC 2308 §5. It is zero if the answer does not tell.
func ttlOf(p dnsmessage.Parser) uint32 {
	if p.SkipAllQuestions() != nil {
		return 0
	}
	least, n := uint32(0), 0
	for {
		h, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			break
		} else if err != nil || p.SkipAnswer() != nil {
			return 0
		}
		if n == 0 || h.TTL < least {
			least = h.TTL
		}
		n++
	}
	for n == 0 {
		h, err := p.AuthorityHeader()
		if err != nil {
			return 0
		}
		if h.Type != dnsmessage.TypeSOA {
			if p.SkipAuthority() != nil {
				return 0
			}
			continue
		}
		soa, err := p.SOAResource()
		if err != nil {
			return 0
		}
		return min(h.TTL, soa.MinTTL)
	}
	return least
}

// aliasOf returns the target of the CNAME record of the name in the question.
func aliasOf(p *dnsmessage.Parser, q dnsmessage.Question) string {
	if q.Type != dnsmessage.TypeCNAME || p.SkipAllQuestions() != nil {
		return ""
	}
	for {
		h, err := p.AnswerHeader()
		if err != nil {
			return ""
		}
		if h.Type != dnsmessage.TypeCNAME || !strings.EqualFold(h.Name.String(), q.Name.String()) {
			if p.SkipAnswer() != nil {
				return ""
			}
			continue
		}
		r, err := p.CNAMEResource()
		if err != nil {
			return ""
		}
		return r.CNAME.String()
	}
}

// streamLen is the length of the size in front of a message over TCP, RFC 1035
// §4.2.2. It bounds a message to 64 KiB.
const streamLen = 2

// streamConn is a TCP connection for one question and one answer.
type streamConn struct {
	net.Conn
	e      *exchanges
	server int
	sent   bool   // The question, in one write.
	got    []byte // Of the answer, with its size in front.
	done   bool   // Got all of it.
}

func (c *streamConn) Write(p []byte) (int, error) {
	if !c.sent {
		c.sent = true
		p = c.e.query(p, streamLen)
	}
	return c.Conn.Write(p)
}

func (c *streamConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.done {
		return n, err
	}
	c.got = append(c.got, p[:n]...)
	if len(c.got) >= streamLen {
		if end := streamLen + int(binary.BigEndian.Uint16(c.got)); len(c.got) >= end {
			c.done = true
			c.e.answer(c.got[streamLen:end], c.server, false)
		}
	}
	if err != nil && !c.done {
		c.e.failed(c.server)
	}
	return n, err
}
