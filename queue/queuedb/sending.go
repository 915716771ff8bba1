package queuedb

import (
	"fmt"
	"slices"
	"time"

	"github.com/mjl-/bstore"
)

const (
	// DefaultJumpFloor is to how many recipients an account can send in 24 hours,
	// whatever it has sent before.
	DefaultJumpFloor = 300

	// DefaultJumpFactor is how many times its busiest day an account can send.
	DefaultJumpFactor = 5

	// jumpPause is for how long after an operator has removed the hold for a jump the
	// account can send what it likes.
	jumpPause = 24 * time.Hour

	// historyDays is how many days are remembered before the last 24 hours.
	historyDays = 30

	// bulkRecipients is the number of recipients from which on a submission is bulk
	// mail.
	bulkRecipients = 20

	// burstSize is the number of recipients of late from which on a submission is bulk
	// mail, whatever its size: a run with a message for each recipient. They are
	// forgotten at burstRate a second, and no more than maxBurst are counted, so soon
	// after the end of a run, mail of its sender is that of a person again.
	burstSize = 50
	burstRate = 0.5
	maxBurst  = 2 * burstSize
)

// sending returns the history of an account, to be changed in place.
func (b *batch) sending(account string) (*sending, error) {
	if s := b.sendings[account]; s != nil {
		return s, nil
	}
	s := &sending{Account: account}
	if err := b.tx.Get(s); err != nil && err != bstore.ErrAbsent {
		return nil, fmt.Errorf("read history of sending: %w", err)
	}
	b.sendings[account] = s
	return s, nil
}

// flushSending writes a history.
func (b *batch) flushSending(s *sending) error {
	err := b.tx.Update(s)
	if err == bstore.ErrAbsent {
		err = b.tx.Insert(s)
	}
	return err
}

// classify fills in what depends on what else its account sends, and on the hold
// rules, before new messages are inserted.
func (b *batch) classify(l []Message, sub *Submission) error {
	bulk := sub.Bulk
	rules, err := b.holdRules()
	if err != nil {
		return err
	}
	m := &l[0]
	if sub.Limits != nil {
		s, err := b.sending(m.Account)
		if err != nil {
			return err
		}
		s.countLimited(int64(len(l)), sub.Limits.New, m.Queued)
	}
	if m.SenderDomain != "" && sub.JumpFloor >= 0 { // Notices and reports are not what a user sends.
		s, err := b.sending(m.Account)
		if err != nil {
			return err
		}
		bulk = s.burst(len(l), m.Queued) || bulk
		held := slices.ContainsFunc(rules, func(r HoldRule) bool { return r.Automatic && r.Account == m.Account })
		if !held {
			if err := b.countSending(s, len(l), m.Queued, sub.JumpFloor); err != nil {
				return err
			}
			rules = b.rules
		}
	}
	for i := range l {
		l[i].Bulk = bulk
		if l[i].Hold {
			l[i].HoldReason = "queued on hold"
		}
		applyRules(rules, &l[i])
	}
	return nil
}

// countSending counts recipients, and adds a hold rule if they are a jump.
func (b *batch) countSending(s *sending, n int, at time.Time, floor int64) error {
	s.count(int64(n), at)
	o := b.d.opts
	sent, busiest := s.today(), s.busiest()
	if o.JumpFloor < 0 || sent <= max(floor, o.JumpFloor) || sent <= o.JumpFactor*busiest || at.Sub(s.Cleared) < jumpPause {
		return nil
	}
	return b.sendingJumped(s.Account, at, sent, busiest)
}

// burst counts recipients and reports whether they are bulk mail.
func (s *sending) burst(n int, at time.Time) bool {
	if d := at.Sub(s.LevelAt).Seconds(); d > 0 {
		s.Level = max(0, s.Level-d*burstRate)
		s.LevelAt = at
	}
	s.Level = min(maxBurst, s.Level+float64(n))
	return n > bulkRecipients || s.Level > burstSize
}

const hoursPerDay = 24

// hourOf returns the hour of a time, UTC, since 1970.
func hourOf(at time.Time) int64 { return at.Unix() / int64(time.Hour/time.Second) }

// limited returns what counts for limits at a time.
func (s *sending) limited(at time.Time) (n, first int64) {
	for _, h := range s.Limited {
		if h.Hour > hourOf(at)-hoursPerDay {
			n += h.N
			first += h.First
		}
	}
	return n, first
}

// checkLimits returns ErrDayLimit or ErrFirstTimeLimit if n more recipients are too many.
func (s *sending) checkLimits(l *Limits, n int, at time.Time) error {
	sent, first := s.limited(at)
	if l.Recipients >= 0 && sent+int64(n) > l.Recipients {
		return fmt.Errorf("%w: %d and %d, at most %d", ErrDayLimit, sent, n, l.Recipients)
	}
	if l.FirstTime >= 0 && l.New > 0 && first+l.New > l.FirstTime {
		return fmt.Errorf("%w: %d and %d, at most %d", ErrFirstTimeLimit, first, l.New, l.FirstTime)
	}
	return nil
}

// countLimited counts recipients for limits, and forgets hours that do not count any more.
func (s *sending) countLimited(n, first int64, at time.Time) {
	hour := hourOf(at)
	for len(s.Limited) > 0 && s.Limited[0].Hour <= hour-hoursPerDay {
		s.Limited = s.Limited[1:]
	}
	// A clock that was set back counts for the last hour.
	k := len(s.Limited) - 1
	if k < 0 || s.Limited[k].Hour < hour {
		s.Limited = append(s.Limited, userCount{Hour: hour})
		k++
	}
	s.Limited[k].N += n
	s.Limited[k].First += first
}

// count adds recipients to the current hour. Hours that have left the last 24 go
// to their days.
func (s *sending) count(n int64, at time.Time) {
	hour := hourOf(at)
	for len(s.Hours) > 0 && s.Hours[0].Hour <= hour-hoursPerDay {
		h := s.Hours[0]
		s.Hours = s.Hours[1:]
		day := h.Hour / hoursPerDay
		if k := len(s.Days) - 1; k >= 0 && s.Days[k].Day == day {
			s.Days[k].N += h.N
		} else {
			s.Days = append(s.Days, dayCount{day, h.N})
		}
	}
	for len(s.Days) > 0 && s.Days[0].Day < hour/hoursPerDay-historyDays {
		s.Days = s.Days[1:]
	}
	// A clock that was set back counts for the last hour.
	if k := len(s.Hours) - 1; k >= 0 && s.Hours[k].Hour >= hour {
		s.Hours[k].N += n
	} else {
		s.Hours = append(s.Hours, hourCount{hour, n})
	}
}

// today returns the recipients of the last 24 hours.
func (s *sending) today() (n int64) {
	for _, h := range s.Hours {
		n += h.N
	}
	return n
}

// busiest returns the recipients of the busiest day before those.
func (s *sending) busiest() (n int64) {
	for _, d := range s.Days {
		n = max(n, d.N)
	}
	return n
}
