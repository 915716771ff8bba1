package deliver

import (
	"mox/config"
	"mox/store"
)

// Policy returns a function for store.Options that returns what the configuration says of
// flags for junk in an account, as it is when it is asked. Mailboxes for refused messages
// and for new people say nothing, whatever their names are: nobody has judged yet what
// comes in there.
func Policy(conf *config.Holder) func(account string) store.Policy {
	return func(account string) store.Policy {
		a, _ := conf.Snapshot().Account(account)
		p := store.Policy{RejectsMailbox: a.RejectsMailbox, Introbox: a.Introbox, Train: a.JunkFilter != nil}
		if a.AutomaticJunkFlags.Enabled {
			p.JunkFlags = func(mailbox string) (junk, notJunk bool) {
				if mailbox == a.RejectsMailbox || mailbox == a.Introbox {
					return false, false
				}
				return a.AutomaticJunkFlags.Flags(mailbox)
			}
		}
		return p
	}
}
