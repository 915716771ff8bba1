package deliver

import (
	"path/filepath"
	"testing"

	"mox/config"
)

func TestPolicyIsThatOfTheConfiguration(t *testing.T) {
	t.Parallel()
	snap, err := config.New(config.Static{
		DataDir: filepath.Join(t.TempDir(), "data"), LogLevel: "info", Hostname: "mx.example.org",
		Listeners:  map[string]config.ListenerFields{"local": {IPs: []string{"127.0.0.1"}}},
		Postmaster: config.PostmasterFields{Account: "bob", Mailbox: "Inbox"},
	}, config.Dynamic{
		Domains: map[string]config.DomainFields{"example.org": {}},
		Accounts: map[string]config.AccountFields{
			"ann": {Domain: "example.org", RejectsMailbox: "Refused", Introbox: "New", JunkFilter: &config.JunkFilterFields{}, AutomaticJunkFlags: config.NewAutomaticJunkFlags()},
			"bob": {Domain: "example.org"},
		},
	})
	tcheck(t, err)
	policy := Policy(config.NewHolder(snap))
	ann := policy("ann")
	if ann.RejectsMailbox != "Refused" || ann.Introbox != "New" || !ann.Train {
		t.Errorf("policy %+v", ann)
	}
	for mailbox, want := range map[string][2]bool{"Junk": {true, false}, "Inbox": {}, "Work": {false, true}, "Refused": {}, "New": {}, "Newer": {false, true}} {
		if junk, notJunk := ann.JunkFlags(mailbox); junk != want[0] || notJunk != want[1] {
			t.Errorf("%s: %v %v", mailbox, junk, notJunk)
		}
	}
	for _, name := range []string{"bob", "nobody"} {
		if p := policy(name); p.JunkFlags != nil || p.Train || p.RejectsMailbox != "" {
			t.Errorf("policy of %s %+v", name, p)
		}
	}
}
