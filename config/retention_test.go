package config

import (
	"maps"
	"strings"
	"testing"
	"time"
)

func TestAccountSaysWhatIsKept(t *testing.T) {
	t.Parallel()
	const where = "\tann:\n"
	with := func(text string) string {
		return change(t, testDynamic, where, where+text)
	}
	s, err := testLoad(testStatic, with("\t\tUndeleteWindow: 36h\n\t\tUndeleteSize: 7000\n\t\tRetention:\n\t\t\tTrash: 30\n\t\t\tinbox: 2\n"))
	if err != nil {
		t.Fatal(err)
	}
	a, ok := s.Account("ann")
	want := map[string]time.Duration{"Trash": 30 * 24 * time.Hour, "Inbox": 48 * time.Hour}
	if !ok || a.UndeleteWindow != 36*time.Hour || a.UndeleteSize != 7000 || !maps.Equal(a.Retention, want) {
		t.Errorf("got %v, %d, %v", a.UndeleteWindow, a.UndeleteSize, a.Retention)
	}
	for _, test := range []struct{ text, err string }{
		{"\t\tUndeleteSize: -1\n", "UndeleteSize: cannot be negative"},
		{"\t\tRetention:\n\t\t\tTrash: 0\n", "Trash: must be from 1 to 36500 days"},
		{"\t\tRetention:\n\t\t\tTrash: 36501\n", "Trash: must be from 1 to 36500 days"},
		{"\t\tRetention:\n\t\t\ta//b: 3\n", "a//b"},
		{"\t\tRetention:\n\t\t\tinbox: 3\n\t\t\tInbox: 3\n", `mailbox "Inbox" is there twice`},
	} {
		if _, err := testLoad(testStatic, with(test.text)); err == nil || !strings.Contains(err.Error(), test.err) {
			t.Errorf("%q: error %v, expected %q", test.text, err, test.err)
		}
	}
}
