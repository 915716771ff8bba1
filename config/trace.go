package config

import "time"

// Limits of KeepTracePeriod, unless it is negative.
const (
	minKeepTracePeriod = time.Hour
	maxKeepTracePeriod = 366 * 24 * time.Hour
)

// trace checks what mox.conf says of what is kept about messages.
func (c *checker) trace(s *Snapshot) {
	p := s.Static.KeepTracePeriod
	if p > 0 && (p < minKeepTracePeriod || p > maxKeepTracePeriod) {
		c.addf("KeepTracePeriod", "must be from %v to %v, or negative", minKeepTracePeriod, maxKeepTracePeriod)
	}
	s.KeepTracePeriod = p
}
