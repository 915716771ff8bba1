package config

import (
	"fmt"
	"slices"
	"time"

	"mox/smtp"
)

// Defaults and limits of the queue.
const (
	// DefaultQueueRetryPeriod makes 8 attempts, the last after 15 hours and 52 minutes.
	DefaultQueueRetryPeriod = 16 * time.Hour

	// MaxQueueRetryPeriod is what RFC 5321 §4.5.4.1 has as usual: 4 to 5 days.
	MaxQueueRetryPeriod = 5 * 24 * time.Hour

	minQueueRetryPeriod = 10 * time.Minute

	// DefaultQueueConcurrency is how many deliveries are made at a time, and
	// DefaultQueueDomainConcurrency how many of these to one domain.
	DefaultQueueConcurrency       = 20
	DefaultQueueDomainConcurrency = 3

	// MaxQueueConcurrency bounds both: each delivery can be a connection.
	MaxQueueConcurrency = 1000
)

// queue checks what mox.conf says of the queue.
func (c *checker) queue(s *Snapshot) {
	s.QueueRetryPeriod = s.Static.QueueRetryPeriod
	if s.QueueRetryPeriod == 0 {
		s.QueueRetryPeriod = DefaultQueueRetryPeriod
	}
	if s.QueueRetryPeriod < minQueueRetryPeriod || s.QueueRetryPeriod > MaxQueueRetryPeriod {
		c.addf("QueueRetryPeriod", "must be from %v to %v", minQueueRetryPeriod, MaxQueueRetryPeriod)
	}
	s.QueueConcurrency = c.concurrency("QueueConcurrency", s.Static.QueueConcurrency, DefaultQueueConcurrency)
	s.QueueDomainConcurrency = c.concurrency("QueueDomainConcurrency", s.Static.QueueDomainConcurrency, min(DefaultQueueDomainConcurrency, s.QueueConcurrency))
	if s.QueueDomainConcurrency > s.QueueConcurrency {
		c.addf("QueueDomainConcurrency", "is more than QueueConcurrency")
	}
}

func (c *checker) concurrency(field string, n, def int) int {
	if n == 0 {
		return def
	}
	if n < 0 || n > MaxQueueConcurrency {
		c.addf(field, "must be from 1 to %d", MaxQueueConcurrency)
		return def
	}
	return n
}

// accountQueue fills in what an account says about the mail it sends. Its
// destinations are known.
func (c *checker) accountQueue(s *Snapshot, field string, a *Account, f AccountFields) {
	a.Routes = c.routes(s, field+".Routes", f.Routes)
	a.KeepRetiredMessagePeriod = f.KeepRetiredMessagePeriod
	c.notNegative(field+".KeepRetiredMessagePeriod", int64(f.KeepRetiredMessagePeriod))
	for i, text := range f.FromIDLoginAddresses {
		field := fmt.Sprintf("%s.FromIDLoginAddresses[%d]", field, i)
		addr, err := smtp.ParseAddress(text, smtp.Lenient)
		if err != nil {
			c.addf(field, "%s", trimPkg(err))
			continue
		}
		d, ok := s.domains[addr.Domain]
		switch r := s.addresses[address{d.Canonical(addr.Localpart), addr.Domain}]; {
		case !ok || r.Account != a.Name || r.Report != ReportNone:
			c.addf(field, "%q is not an address of the account", text)
		case len(d.Separators) == 0:
			c.addf(field, "domain %q has no LocalpartCatchallSeparator, so addresses cannot have an id in them", addr.Domain.Name())
		}
		addr.Localpart = d.Canonical(addr.Localpart)
		if slices.Contains(a.FromIDLogins, addr) {
			c.addf(field, "address is listed twice")
		}
		a.FromIDLogins = append(a.FromIDLogins, addr)
	}
}
