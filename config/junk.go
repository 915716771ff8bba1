package config

import (
	"regexp"
	"strings"
)

// JunkFilter is how the content of messages to an account is judged. Where a field
// of the parameters is zero, the filter has its own default.
type JunkFilter struct {
	Threshold   float64 // Probability from which on a message is junk.
	Onegrams    bool
	Twograms    bool
	Threegrams  bool
	MaxPower    float64
	TopWords    int
	IgnoreWords float64
	RareWords   int
}

// AutomaticJunkFlags says for which mailboxes messages are flagged as junk or as not
// junk. The expressions are for names in lower case; each can be nil.
type AutomaticJunkFlags struct {
	Enabled                bool
	Junk, Neutral, NotJunk *regexp.Regexp
}

// Flags returns the flags for messages in a mailbox with a name, of which at most one
// is set.
func (f AutomaticJunkFlags) Flags(mailbox string) (junk, notjunk bool) {
	if !f.Enabled {
		return false, false
	}
	mailbox = strings.ToLower(mailbox)
	res := [...]*regexp.Regexp{f.Junk, f.Neutral, f.NotJunk}
	class, empty := -1, 0
	for i, re := range res {
		if re == nil {
			class, empty = i, empty+1
		} else if re.MatchString(mailbox) {
			return i == 0, i == 2
		}
	}
	return empty == 1 && class == 0, empty == 1 && class == 2
}

// Values of JunkDelivery.
const (
	junkReject  = "reject"
	junkMailbox = "junk"
)

// accountJunk fills in what becomes of junk and of mail of strangers.
func (c *checker) accountJunk(field string, a *Account, f AccountFields) {
	if f.Introbox != "" {
		a.Introbox = c.otherMailbox(field+".Introbox", f.Introbox)
		if a.Introbox != "" && a.Introbox == a.RejectsMailbox {
			c.addf(field+".Introbox", "cannot be the same as RejectsMailbox")
		}
	}
	switch f.JunkDelivery {
	case "", junkReject:
	case junkMailbox:
		a.JunkToMailbox = true
	default:
		c.addf(field+".JunkDelivery", "unknown value %q, use %s or %s", f.JunkDelivery, junkReject, junkMailbox)
	}
	a.JunkFilter = c.junkFilter(field+".JunkFilter", f.JunkFilter)
	a.AutomaticJunkFlags = c.automaticJunkFlags(field+".AutomaticJunkFlags", f.AutomaticJunkFlags)
	a.SubjectPassPeriod = f.SubjectPass.Period
	c.notNegative(field+".SubjectPass.Period", int64(f.SubjectPass.Period))
	a.NoFirstTimeSenderDelay = f.NoFirstTimeSenderDelay
	a.TrustedForwarders = c.domains(field+".TrustedForwarders", f.TrustedForwarders)
}

func (c *checker) junkFilter(field string, f *JunkFilterFields) *JunkFilter {
	if f == nil {
		return nil
	}
	below := func(name string, v, limit float64) {
		if !(v >= 0 && v < limit) { // Also for NaN.
			c.addf(field+"."+name, "%v is not at least 0 and below %v", v, limit)
		}
	}
	p := f.Params
	below("Threshold", f.Threshold, 1)
	below("Params.MaxPower", p.MaxPower, 0.5)
	below("Params.IgnoreWords", p.IgnoreWords, 0.5)
	c.notNegative(field+".Params.TopWords", int64(p.TopWords))
	c.notNegative(field+".Params.RareWords", int64(p.RareWords))
	j := JunkFilter{f.Threshold, p.Onegrams, p.Twograms, p.Threegrams, p.MaxPower, p.TopWords, p.IgnoreWords, p.RareWords}
	if j.Threshold == 0 {
		j.Threshold = DefaultJunkThreshold
	}
	return &j
}

func (c *checker) automaticJunkFlags(field string, f AutomaticJunkFlagsFields) AutomaticJunkFlags {
	a := AutomaticJunkFlags{
		Enabled: f.Enabled,
		Junk:    c.regexp(field+".JunkMailboxRegexp", f.JunkMailboxRegexp, true),
		Neutral: c.regexp(field+".NeutralMailboxRegexp", f.NeutralMailboxRegexp, true),
		NotJunk: c.regexp(field+".NotJunkMailboxRegexp", f.NotJunkMailboxRegexp, true),
	}
	if f.Enabled && f.JunkMailboxRegexp == "" && f.NeutralMailboxRegexp == "" && f.NotJunkMailboxRegexp == "" {
		c.addf(field+".Enabled", "has no effect without a regular expression")
	}
	return a
}
