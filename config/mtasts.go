package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"mox/mtasts"
)

// MTASTSFields is the section MTASTS of a domain in domains.conf.
type MTASTSFields struct {
	PolicyID string        `sconf-doc:"Letters and digits, at most 32, that are also in the MTA-STS record in DNS as id. They must change with the policy, in both places: a date with time, such as 20260131T120000, is a good choice."`
	Mode     string        `sconf-doc:"With enforce others do not deliver without verified TLS; with testing they do, and tell about it in TLS reports; with none there is no policy any more, which must be so for as long as MaxAge was before the section is removed."`
	MaxAge   time.Duration `sconf-doc:"For how long others keep to the policy, also if it cannot be fetched any more. Start with 24h, and make it weeks when all works."`
	MX       []string      `sconf:"optional" sconf-doc:"Names of servers for mail, as in MX records. *.example.org stands for all names with one more label. [hostname of this machine]"`
}

// MTASTS is the MTA-STS policy of a domain, RFC 8461.
type MTASTS struct {
	PolicyID string
	Policy   mtasts.Policy
}

// maxMX is how many servers a policy names. With names as long as they can be, a policy
// stays well below the size that others read.
const maxMX = 100

// mtasts checks the section MTASTS of a domain.
func (c *checker) mtasts(s *Snapshot, field string, f *MTASTSFields) *MTASTS {
	if f == nil {
		return nil
	}
	m := &MTASTS{PolicyID: f.PolicyID, Policy: mtasts.Policy{Mode: mtasts.Mode(f.Mode), MaxAge: f.MaxAge}}
	if rec, err := mtasts.ParseRecord(mtasts.Record{ID: f.PolicyID}.String()); err != nil || rec.ID != f.PolicyID {
		c.addf(field+".PolicyID", "%q is not possible, it must be 1 to 32 letters and digits", f.PolicyID)
	}
	switch m.Policy.Mode {
	case mtasts.ModeEnforce, mtasts.ModeTesting, mtasts.ModeNone:
	default:
		c.addf(field+".Mode", "unknown mode %q, use one of enforce, testing, none", f.Mode)
	}
	if f.MaxAge <= 0 || f.MaxAge > mtasts.MaxAge || f.MaxAge%time.Second != 0 {
		c.addf(field+".MaxAge", "must be in whole seconds, more than 0s and at most %s, which is a year", mtasts.MaxAge)
	}
	if len(f.MX) > maxMX {
		c.addf(field+".MX", "more than %d servers", maxMX)
	}
	for i, pattern := range f.MX {
		field := fmt.Sprintf("%s.MX[%d]", field, i)
		name, wildcard := strings.CutPrefix(pattern, "*.")
		mx := mtasts.MX{Wildcard: wildcard, Domain: c.domain(field, name)}
		if slices.Contains(m.Policy.MX, mx) {
			c.addf(field, "%q is listed twice", pattern)
		}
		m.Policy.MX = append(m.Policy.MX, mx)
	}
	if len(f.MX) == 0 && !s.Hostname.IsZero() {
		m.Policy.MX = []mtasts.MX{{Domain: s.Hostname}}
	}
	if !slices.ContainsFunc(s.Listeners, func(l Listener) bool { return l.MTASTSHTTPS.Enabled }) {
		c.addf(field, "no listener in %s has MTASTSHTTPS, so that others could not get the policy", StaticName)
	}
	return m
}
