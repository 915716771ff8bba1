package imapclient

import (
	"slices"
	"testing"

	"mox/imap"
)

// The example is that of Google's description of its extensions.
func TestItemsOfGmail(t *testing.T) {
	t.Parallel()
	c := dial(t, Options{}, `C: c1 UID FETCH 1 (UID X-GM-MSGID X-GM-LABELS)
		S: * 1 FETCH (X-GM-MSGID 1278455344230334865 X-GM-LABELS (\Inbox "\\Sent" Important "Muy Importante") UID 1)
		S: * 2 FETCH (X-GM-LABELS () UID 2)
		S: c1 OK done
		`)
	l, _, err := c.Fetch(ctxbg, UID, imap.NewRanges[uint32](1).NumSet(), []imap.FetchItem{{Attr: imap.FetchUID}}, FetchOptions{Gmail: true})
	if err != nil || len(l) != 2 {
		t.Fatalf("got %v, %v", l, err)
	}
	if l[0].GmailID != 1278455344230334865 || !slices.Equal(l[0].GmailLabels, []string{`\Inbox`, `\Sent`, "Important", "Muy Importante"}) || l[0].UID != 1 || l[1].UID != 2 {
		t.Errorf("got %+v, %+v", l[0], l[1])
	}
}
