package queue

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"mox/queue/queuedb"
)

const (
	// DefaultMaxAttempts is how often delivery of a message is tried.
	DefaultMaxAttempts = 8

	// firstBackoff is the time between the first two attempts. Each further one is
	// double the one before.
	firstBackoff = 7*time.Minute + 30*time.Second

	// maxBackoff bounds the time between attempts, for messages with more attempts
	// than usual.
	maxBackoff = 16 * time.Hour

	// jitter is by how much firstBackoff varies, in both directions: what failed
	// together is not tried again all at the same moment.
	jitter = 5 * time.Second

	// delayAttempt is the number of the failed attempt after which the sender is told
	// that the message is delayed.
	delayAttempt = 5

	// overtime is when a message is tried once more that was in its last attempt when
	// the process ended.
	overtime = time.Hour

	// maxNotices is how often telling the sender of a failed message is tried, and
	// postmasterNotice the attempt from which on the postmaster is told instead.
	maxNotices       = 8
	postmasterNotice = 5
)

// maxAttempts returns how often delivery of a message is tried.
func maxAttempts(m queuedb.Message) int {
	if m.MaxAttempts > 0 {
		return int(m.MaxAttempts)
	}
	return DefaultMaxAttempts
}

// backoff returns the time between attempt n, counted from 1, and the next one. It
// depends on the content, so that recipients who are tried together stay together,
// and is the same whenever it is computed.
func backoff(content int64, n int) time.Duration {
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(content))
	binary.LittleEndian.PutUint64(b[8:], uint64(n))
	h.Write(b[:])
	d := firstBackoff - jitter + time.Duration(h.Sum64()%uint64(2*jitter))
	for range n - 1 {
		d *= 2
		if d >= maxBackoff {
			return maxBackoff
		}
	}
	return d
}

// nextAttempt returns when a message that is being tried at now is to be tried
// again. The message counts the attempt.
func nextAttempt(m queuedb.Message, now time.Time) time.Time {
	switch {
	case m.Failed:
		return now.Add(backoff(m.ContentID, int(m.Notices)))
	case int(m.Attempts) >= maxAttempts(m):
		return now.Add(overtime)
	}
	return now.Add(backoff(m.ContentID, int(m.Attempts)))
}

// lastAttempt returns when the last attempt of a message will be, given when the
// next one is, and how many are left.
func lastAttempt(m queuedb.Message, next time.Time) (at time.Time, left int) {
	at = next
	left = maxAttempts(m) - int(m.Attempts)
	for n := int(m.Attempts) + 1; n < maxAttempts(m); n++ {
		at = at.Add(backoff(m.ContentID, n))
	}
	return at, left
}
