package queue

import (
	"encoding/binary"
	"hash/fnv"
	"time"

	"mox/config"
	"mox/queue/queuedb"
)

const (
	// DefaultMaxAttempts is how often delivery of a message is tried, if it is not for
	// longer than config.DefaultQueueRetryPeriod.
	DefaultMaxAttempts = 8

	// firstBackoff is the time between the first two attempts. Each further one is
	// double the one before, up to maxBackoff.
	firstBackoff = 7*time.Minute + 30*time.Second
	maxBackoff   = 8 * time.Hour

	// jitter is by which part of it an interval varies, in both directions: what failed
	// together is not tried again all at the same moment.
	jitter = 90

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

// A Schedule has the times between attempts, one less than there are attempts. It
// has at least one, and what senders are told follows from it too.
type Schedule []time.Duration

// NewSchedule returns the schedule that doubles the time between attempts up to 8
// hours, with the last attempt within a period after the first one. The period is at
// most config.MaxQueueRetryPeriod.
func NewSchedule(period time.Duration) Schedule {
	period = min(period, config.MaxQueueRetryPeriod)
	s := Schedule{firstBackoff}
	sum, d := firstBackoff, firstBackoff
	for {
		d = min(2*d, maxBackoff)
		if sum += d; sum > period {
			return s
		}
		s = append(s, d)
	}
}

// noticeSchedule is for telling senders.
var noticeSchedule = NewSchedule(config.DefaultQueueRetryPeriod)

// attempts returns how often delivery of a message is tried.
func (s Schedule) attempts(m queuedb.Message) int {
	if m.MaxAttempts > 0 {
		return int(m.MaxAttempts)
	}
	return len(s) + 1
}

// backoff returns the time between attempt n, counted from 1, and the next one. It
// depends on the content, so that recipients who are tried together stay together,
// and is the same whenever it is computed.
func (s Schedule) backoff(content int64, n int) time.Duration {
	h := fnv.New64a()
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:8], uint64(content))
	binary.LittleEndian.PutUint64(b[8:], uint64(n))
	h.Write(b[:])
	d := s[min(max(n, 1), len(s))-1]
	slack := d / jitter
	return d - slack + time.Duration(h.Sum64()%uint64(2*slack+1))
}

// pause returns for how long a message that is being tried is left alone after an
// attempt, however long that has taken: RFC 5321 §4.5.4.1 wants a delay after a failure,
// and a server that does not answer needs it most.
func (s Schedule) pause(m queuedb.Message) time.Duration {
	return s.backoff(m.ContentID, int(m.Attempts)) / 2
}

// nextAttempt returns when a message that is being tried at now is to be tried
// again. The message counts the attempt.
func (s Schedule) nextAttempt(m queuedb.Message, now time.Time) time.Time {
	switch {
	case m.Failed:
		return now.Add(noticeSchedule.backoff(m.ContentID, int(m.Notices)))
	case int(m.Attempts) >= s.attempts(m):
		return now.Add(overtime)
	}
	return now.Add(s.backoff(m.ContentID, int(m.Attempts)))
}

// lastAttempt returns when the last attempt of a message will be, given when the
// next one is, and how many are left.
func (s Schedule) lastAttempt(m queuedb.Message, next time.Time) (at time.Time, left int) {
	at = next
	left = s.attempts(m) - int(m.Attempts)
	for n := int(m.Attempts) + 1; n < s.attempts(m); n++ {
		at = at.Add(s.backoff(m.ContentID, n))
	}
	return at, left
}
