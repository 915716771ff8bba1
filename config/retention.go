package config

import (
	"maps"
	"slices"
	"time"
)

// maxRetentionDays is a hundred years.
const maxRetentionDays = 36500

// accountKeep fills in what an account says of deleted messages.
func (c *checker) accountKeep(field string, a *Account, f AccountFields) {
	c.notNegative(field+".UndeleteSize", f.UndeleteSize)
	a.UndeleteWindow, a.UndeleteSize = f.UndeleteWindow, f.UndeleteSize
	for _, key := range slices.Sorted(maps.Keys(f.Retention)) {
		rf := join(field+".Retention", key)
		name, days := c.mailbox(rf, key), f.Retention[key]
		if days < 1 || days > maxRetentionDays {
			c.addf(rf, "must be from 1 to %d days", maxRetentionDays)
			continue
		}
		if _, ok := a.Retention[name]; ok {
			c.addf(rf, "mailbox %q is there twice", name)
		}
		if a.Retention == nil {
			a.Retention = map[string]time.Duration{}
		}
		a.Retention[name] = time.Duration(days) * 24 * time.Hour
	}
}
