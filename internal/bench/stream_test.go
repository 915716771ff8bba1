package bench

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// poolStart is the number of the first message that is sent: none of a mailbox.
const poolStart = 10_000_000

// pool returns the messages that are sent, again and again, with a number of their own.
var pool = sync.OnceValue(func() []mixed {
	l := make([]mixed, 1_000)
	for i := range l {
		l[i] = mix(poolStart + i)
	}
	return l
})

// sent numbers all messages that are sent.
var sent atomic.Int64

// next returns the next message to send.
func next() (m mixed, number int64) {
	number = sent.Add(1)
	return pool()[number%int64(len(pool()))], number
}

// rate runs fn on n goroutines until time is up, again and again, and returns how often
// a second. The time of what has begun then counts.
func rate(t testing.TB, d time.Duration, n int, fn func(worker int) error) float64 {
	t.Helper()
	var wg sync.WaitGroup
	var count atomic.Int64
	errs := make([]error, n)
	begin := time.Now()
	for worker := range n {
		wg.Go(func() {
			for time.Since(begin) < d {
				if errs[worker] = fn(worker); errs[worker] != nil {
					return
				}
				count.Add(1)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(begin)
	check(t, errors.Join(errs...))
	return float64(count.Load()) / elapsed.Seconds()
}

// senders are clients that deliver to one account over SMTP.
type senders []*smtpConn

// dialSenders connects n clients, and has each send a message.
func dialSenders(t testing.TB, s *server, n int, recipient string) senders {
	t.Helper()
	var l senders
	for range n {
		l = append(l, dialSMTP(t, s.addrs["smtp"], recipient))
		check(t, l.send(len(l)-1))
	}
	return l
}

// send sends a message over one of the connections.
func (l senders) send(worker int) error {
	m, number := next()
	text := dotted(m.text)
	stamp(text, number)
	return l[worker].send(text)
}

// close says goodbye to nobody.
func (l senders) close() {
	for _, c := range l {
		_ = c.nc.Close() // All was answered.
	}
}

// appendNext appends the next n messages to Inbox, with one command.
func (c *imapConn) appendNext(n int) error {
	msgs := make([]mixed, n)
	for i := range msgs {
		m, number := next()
		text := []byte(m.text)
		stamp(text, number)
		m.text = string(text)
		msgs[i] = m
	}
	_, err := c.run(appendCommand("INBOX", msgs...), nil)
	return err
}
