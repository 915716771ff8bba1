package inbound

import (
	"context"
	"net/netip"
	"time"

	"mox/internal/ratelimit"
	"mox/smtp"
)

// What an account takes from one network, by how much it has accepted from there. It is
// counted in memory: the limits are for floods, and who restarts a server during one
// has seen it.
const (
	messagesPerMinute = 500
	messagesPerDay    = 10_000
	kibPerMinute      = 1000 << 10
	kibPerDay         = 3000 << 10
)

// rates counts what was accepted, for each account by network.
type rates struct {
	messages, kib *ratelimit.Keyed
}

func newRates() *rates {
	windows := func(minute, day int) ratelimit.KeyedOptions {
		return ratelimit.KeyedOptions{Windows: []ratelimit.Window{
			{Period: time.Minute, Limits: ratelimit.Factors(minute)},
			{Period: 24 * time.Hour, Limits: ratelimit.Factors(day)},
		}}
	}
	return &rates{ratelimit.NewKeyed(windows(messagesPerMinute, messagesPerDay)), ratelimit.NewKeyed(windows(kibPerMinute, kibPerDay))}
}

func (r *rates) fits(account string, ip netip.Addr, now time.Time, size int64) bool {
	return r.messages.CanAdd(account, ip, now, 1) && r.kib.CanAdd(account, ip, now, kib(size))
}

func (r *rates) add(account string, ip netip.Addr, now time.Time, size int64) {
	r.messages.Count(account, ip, now, 1)
	r.kib.Count(account, ip, now, kib(size))
}

// kib returns a size in KiB, rounded up.
func kib(size int64) int { return int((size + 1023) >> 10) }

// limitRate refuses mail from a network that has sent too much to the account.
func limitRate(_ context.Context, v *verdict) bool {
	if v.Exempt || v.d.rates.fits(v.Recipient.Account, v.RemoteIP, v.now, v.Size) {
		return false
	}
	v.Slow = true
	return v.refuse(ReasonHighRate, "too much mail to this account from the network of "+v.RemoteIP.String(),
		smtp.Errorf(smtp.C452InsufficientStorage, smtp.Se22MailboxFull, "too much mail from your network, try again later"))
}

// countRate counts a message that is accepted.
func countRate(v *verdict) {
	if !v.Exempt {
		v.d.rates.add(v.Recipient.Account, v.RemoteIP, v.now, v.Size)
	}
}
