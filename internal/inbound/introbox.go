package inbound

import (
	"context"
	"slices"

	"mox/imap"
)

// chooseIntrobox sends mail for Inbox to the mailbox for people who are new, unless the
// account knows the very address: from earlier messages, or because it has sent to it.
func chooseIntrobox(_ context.Context, v *verdict) bool {
	if v.account.Introbox == "" || v.Mailbox != imap.Inbox || v.IsForward || v.Report != nil || slices.Contains([]string{methodFromFull, methodToFull}, v.past.method) {
		return false
	}
	v.Mailbox = v.account.Introbox
	v.explain("the sender is new, for " + v.account.Introbox)
	return false
}
