package config

import (
	"fmt"
	"slices"
	"time"
)

// DKIMRotationFields is the section Rotation of DKIM in domains.conf.
type DKIMRotationFields struct {
	Sign  []string `sconf-doc:"Names in Selectors of the keys that are to sign."`
	Old   []string `sconf-doc:"Names in Selectors of the keys that go away. All others there are new."`
	Since string   `sconf:"optional" sconf-doc:"When the new keys began to sign, as 2006-01-02T15:04:05Z. If absent, the old ones sign, until the records of all new keys are in DNS."`
}

// Started returns when new keys began to sign, the zero time if they do not yet.
func (f DKIMRotationFields) Started() (time.Time, error) {
	if f.Since == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339, f.Since)
}

// dkimRotation checks the section Rotation.
func (c *checker) dkimRotation(field string, f *DKIMFields) {
	r := f.Rotation
	if r == nil {
		return
	}
	if _, err := r.Started(); err != nil {
		c.addf(field+".Since", "%q is not a time such as 2006-01-02T15:04:05Z", r.Since)
	}
	if len(r.Sign) == 0 || len(r.Sign) > maxSign {
		c.addf(field+".Sign", "must be from 1 to %d keys", maxSign)
	}
	for name, l := range map[string][]string{"Sign": r.Sign, "Old": r.Old} {
		for i, sel := range l {
			if _, ok := f.Selectors[sel]; !ok {
				c.addf(fmt.Sprintf("%s.%s[%d]", field, name, i), "selector %q is not in Selectors", sel)
			}
			if name == "Old" && slices.Contains(r.Sign, sel) {
				c.addf(fmt.Sprintf("%s.%s[%d]", field, name, i), "selector %q cannot be in Sign too", sel)
			}
		}
	}
}
