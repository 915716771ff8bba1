package store

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mjl-/bstore"

	"mox/imap"
)

// testOrigin is of a message from sender n, all of it validated.
func testOrigin(n int) *Origin {
	domain := fmt.Sprintf("d%d.example.org", n)
	return &Origin{
		RemoteIP:          fmt.Sprintf("192.0.%d.%d", n/200, n%200+1),
		EHLODomain:        "mx." + domain,
		EHLOValidated:     true,
		MailFrom:          "Bounce@" + domain,
		MailFromDomain:    domain,
		MailFromValidated: true,
		MsgFrom:           fmt.Sprintf("Ann%d@%s", n, domain),
		MsgFromDomain:     domain,
		MsgFromOrgDomain:  "example.org",
		MsgFromValidated:  true,
		DKIMDomains:       []string{domain, "dkim.example"},
	}
}

// outcomes returns what is known of a sender to a mailbox, newest first: "jhh" for a
// junk message after two that are not.
func (j *judgeTest) outcomes(mailbox string, e Evidence, validated bool, value string) string {
	j.Helper()
	var s strings.Builder
	err := j.Reputation(ctx, func(r *Reputation) error {
		l, err := r.Outcomes(mailbox, e, validated, value, time.Time{}, 1000)
		for i, o := range l {
			if i > 0 && o.Received.After(l[i-1].Received) {
				j.Errorf("outcomes are not in order: %v", l)
			}
			s.WriteByte("hj"[map[bool]int{true: 1}[o.Junk]])
		}
		return err
	})
	if err != nil {
		j.Fatal(err)
	}
	return s.String()
}

func TestOutcomesAreKnownByEachEvidence(t *testing.T) {
	t.Parallel()
	change := func(fn func(o *Origin)) *Origin {
		o := testOrigin(1)
		fn(o)
		return o
	}
	const domain = "d1.example.org"
	type ask struct {
		e         Evidence
		validated bool
		value     string
	}
	full := []ask{
		{EvidenceFrom, true, "ann1@" + domain}, {EvidenceFromDomain, true, domain}, {EvidenceFromOrg, true, "example.org"},
		{EvidenceDKIM, true, domain}, {EvidenceDKIM, true, "dkim.example"},
		{EvidenceMailFrom, true, "bounce@" + domain}, {EvidenceMailFromDomain, true, domain}, {EvidenceEHLO, true, "mx." + domain},
		{EvidenceIP1, true, "192.0.0.2/32"}, {EvidenceIP2, true, "192.0.0.0/26"}, {EvidenceIP3, true, "192.0.0.0/21"},
	}
	without := func(l []ask, evidence ...Evidence) []ask {
		return slices.DeleteFunc(slices.Clone(l), func(a ask) bool { return slices.Contains(evidence, a.e) })
	}
	tests := []struct {
		name   string
		origin *Origin
		want   []ask
	}{
		{"all validated", testOrigin(1), full},
		{"From not validated", change(func(o *Origin) { o.MsgFromValidated = false }), append([]ask{
			{EvidenceFrom, false, "ann1@" + domain}, {EvidenceFromDomain, false, domain}, {EvidenceFromOrg, false, "example.org"},
		}, without(full, EvidenceFrom, EvidenceFromDomain, EvidenceFromOrg)...)},
		{"no SPF", change(func(o *Origin) { o.MailFromValidated, o.EHLOValidated = false, false }), without(full, EvidenceMailFrom, EvidenceMailFromDomain, EvidenceEHLO)},
		{"no DKIM", change(func(o *Origin) { o.DKIMDomains = nil }), without(full, EvidenceDKIM)},
		{"forwarded", change(func(o *Origin) { o.IsForward = true }), without(full, EvidenceIP1, EvidenceIP2, EvidenceIP3)},
		{"address unknown", change(func(o *Origin) { o.RemoteIP = "" }), without(full, EvidenceIP1, EvidenceIP2, EvidenceIP3)},
		{"IPv6", change(func(o *Origin) { o.RemoteIP = "2001:db8:1:2:3::4" }), append([]ask{
			{EvidenceIP1, true, "2001:db8:1:2::/64"}, {EvidenceIP2, true, "2001:db8:1::/48"}, {EvidenceIP3, true, "2001:db8::/32"},
		}, without(full, EvidenceIP1, EvidenceIP2, EvidenceIP3)...)},
		{"nothing", &Origin{}, nil},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			j := newJudgeTest(t, Policy{})
			j.flag(j.deliver("Inbox", tc.origin), FlagsAdd, imap.FlagJunk)
			known := 0
			for _, a := range tc.want {
				if got := j.outcomes("Inbox", a.e, a.validated, a.value); got != "j" {
					t.Errorf("%v: got %q", a, got)
				}
				if got := j.outcomes("Archive", a.e, a.validated, a.value); got != "" {
					t.Errorf("%v: another mailbox has %q", a, got)
				}
			}
			err := j.read(ctx, func(tx *bstore.Tx) (err error) {
				known, err = bstore.QueryTx[reputation](tx).Count()
				return err
			})
			if err != nil || known != len(tc.want) {
				t.Errorf("%d records, expected %d: %v", known, len(tc.want), err)
			}
		})
	}
}

func TestUnvalidatedIsApartFromValidated(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{})
	forged := testOrigin(1)
	forged.MsgFromValidated = false
	j.flag(j.deliver("Inbox", testOrigin(1)), FlagsAdd, imap.FlagNotJunk)
	j.flag(j.deliver("Inbox", forged), FlagsAdd, imap.FlagJunk)
	for validated, want := range map[bool]string{true: "h", false: "j"} {
		if got := j.outcomes("Inbox", EvidenceFrom, validated, "ann1@d1.example.org"); got != want {
			t.Errorf("validated %v: got %q, expected %q", validated, got, want)
		}
	}
}

func TestOutcomesFollowTheUser(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{RejectsMailbox: "Rejects", Introbox: "Introbox"})
	at := time.Now().Add(-time.Hour)
	deliver := func(mailbox, destined string) Message {
		at = at.Add(time.Minute)
		return j.deliver(mailbox, testOrigin(1), func(m *NewMessage) { m.Received, m.Destined = at, destined })
	}
	want := func(mailbox, want string) {
		t.Helper()
		if got := j.outcomes(mailbox, EvidenceFromDomain, true, "d1.example.org"); got != want {
			t.Errorf("%s: got %q, expected %q", mailbox, got, want)
		}
	}
	a, b, c := deliver("Inbox", ""), deliver("Inbox", ""), deliver("Inbox", "")
	want("Inbox", "")
	j.flag(b, FlagsAdd, imap.FlagJunk)
	j.flag(a, FlagsAdd, imap.FlagNotJunk)
	j.flag(c, FlagsAdd, imap.FlagNotJunk)
	want("Inbox", "hjh") // By when they came, not by when they were judged.
	j.flag(b, FlagsSet, imap.FlagNotJunk)
	want("Inbox", "hhh")
	b = j.transfer(b, "Junk", false)
	want("Inbox", "hjh") // Moved, but for the mailbox it came to.
	want("Junk", "")
	copied := j.transfer(b, "Archive", true)
	want("Inbox", "hjh")
	j.expunge(b)
	want("Inbox", "hjh") // There is a copy.
	j.expunge(copied)
	want("Inbox", "hh")
	ids := expungedIDs(t, j.Account, b.MailboxID, b.UID)
	j.update(func(tx *Tx) error {
		_, err := tx.Undelete(ids, "")
		return err
	})
	want("Inbox", "hjh")
	j.flag(c, FlagsSet, 0)
	want("Inbox", "jh")
	intro := deliver("Introbox", "Inbox")
	j.transfer(intro, "Inbox", false)
	want("Inbox", "hjh")
	rejected := deliver("Rejects", "Lists")
	j.transfer(rejected, "Archive", false)
	want("Inbox", "hjh")
	want("Lists", "h")
	want("Archive", "")
}

func TestOutcomesAreBounded(t *testing.T) {
	t.Parallel()
	c := &clock{time.Now()}
	j := newJudgeTest(t, Policy{}, func(o *Options) { o.Now = c.now })
	start := c.t
	var msgs []Message
	judge := func(at time.Time, f Flags) {
		msgs = append(msgs, j.deliver("Inbox", testOrigin(1), func(m *NewMessage) { m.Received, m.Flags = at, f }))
	}
	for i := range maxOutcomes + 10 {
		judge(start.Add(time.Duration(i)*time.Minute), imap.FlagNotJunk)
	}
	judge(start.Add(-time.Hour), imap.FlagJunk) // Older than all of them.
	ask := func() string { return j.outcomes("Inbox", EvidenceEHLO, true, "mx.d1.example.org") }
	if got := ask(); got != strings.Repeat("h", maxOutcomes) {
		t.Errorf("got %q", got)
	}
	judge(start.Add(2*time.Hour), imap.FlagJunk)
	if got := ask(); got != "j"+strings.Repeat("h", maxOutcomes-1) {
		t.Errorf("got %q", got)
	}
	j.flag(msgs[len(msgs)-3], FlagsSet, 0)
	if got := ask(); got != "j"+strings.Repeat("h", maxOutcomes-2) {
		t.Errorf("got %q", got)
	}
	err := j.Reputation(ctx, func(r *Reputation) error {
		l, err := r.Outcomes("Inbox", EvidenceEHLO, true, "mx.d1.example.org", start.Add(time.Hour), 1000)
		if err != nil || len(l) != 14 { // 13 of the first, from minute 60 to 72, and the last.
			t.Errorf("since a time: got %d, %v", len(l), err)
		}
		l, err = r.Outcomes("Inbox", EvidenceEHLO, true, "mx.d1.example.org", time.Time{}, 2)
		if err != nil || len(l) != 2 || !l[0].Junk || l[0].Author != AuthorHash("ann1@d1.EXAMPLE.org") || l[0].Received.Unix() != start.Add(2*time.Hour).Unix() {
			t.Errorf("the newest: got %v, %v", l, err)
		}
		l, err = r.Outcomes("nowhere", EvidenceEHLO, true, "mx.d1.example.org", time.Time{}, 2)
		if err != nil || len(l) != 0 {
			t.Errorf("mailbox that does not exist: got %v, %v", l, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestOldOutcomesAreForgotten(t *testing.T) {
	t.Parallel()
	c := &clock{time.Now()}
	j := newJudgeTest(t, Policy{}, func(o *Options) { o.Now = c.now })
	records := func() (n int) {
		t.Helper()
		err := j.read(ctx, func(tx *bstore.Tx) (err error) {
			n, err = bstore.QueryTx[reputation](tx).Count()
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	judge := func(o *Origin) {
		j.deliver("Inbox", o, func(m *NewMessage) { m.Received, m.Flags = c.t, imap.FlagJunk })
	}
	judge(testOrigin(1))
	judge(testOrigin(2))
	c.t = c.t.Add(ReputationWindow - time.Hour)
	judge(testOrigin(2))
	if got := j.outcomes("Inbox", EvidenceFromDomain, true, "d2.example.org"); got != "jj" {
		t.Errorf("within the window: got %q", got)
	}
	c.t = c.t.Add(2 * time.Hour)
	judge(testOrigin(2))
	if got := j.outcomes("Inbox", EvidenceFromDomain, true, "d2.example.org"); got != "jj" {
		t.Errorf("beyond the window: got %q", got)
	}
	before := records()
	c.t = c.t.Add(70 * 24 * time.Hour) // What is pruned is so by months.
	if err := j.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if after := records(); after >= before || j.outcomes("Inbox", EvidenceFromDomain, true, "d1.example.org") != "" {
		t.Errorf("%d records, %d before", after, before)
	}
	if got := j.outcomes("Inbox", EvidenceFromDomain, true, "d2.example.org"); got != "jj" {
		t.Errorf("newer ones: got %q", got)
	}
}

func TestReputationGoesWithItsMailbox(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{})
	inbox := j.deliver("Lists", testOrigin(1))
	kept := j.transfer(j.deliver("Lists", testOrigin(1)), "Archive", false)
	j.flag(inbox, FlagsAdd, imap.FlagJunk)
	j.flag(kept, FlagsAdd, imap.FlagNotJunk)
	if got := j.outcomes("Lists", EvidenceDKIM, true, "dkim.example"); len(got) != 2 {
		t.Errorf("got %q", got)
	}
	j.update(func(tx *Tx) error {
		// Also with a judgement in the same change.
		if _, err := tx.SetFlags(inbox.MailboxID, []uint32{inbox.UID}, FlagChange{Op: FlagsSet}, -1); err != nil {
			return err
		}
		return tx.DeleteMailbox(j.id("Lists"))
	})
	j.flag(kept, FlagsSet, imap.FlagJunk) // It was for a mailbox that is gone.
	j.update(func(tx *Tx) error { _, err := tx.CreateMailbox("Lists", 0); return err })
	if got := j.outcomes("Lists", EvidenceDKIM, true, "dkim.example"); got != "" {
		t.Errorf("of a new mailbox of that name: %q", got)
	}
	err := j.read(ctx, func(tx *bstore.Tx) error {
		if n, err := bstore.QueryTx[reputation](tx).Count(); err != nil || n != 0 {
			t.Errorf("%d records left, %v", n, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNetworksOf(t *testing.T) {
	t.Parallel()
	tests := []struct {
		ip   string
		want [3]string
	}{
		{"192.0.2.200", [3]string{"192.0.2.200/32", "192.0.2.192/26", "192.0.0.0/21"}},
		{"::ffff:192.0.2.200", [3]string{"192.0.2.200/32", "192.0.2.192/26", "192.0.0.0/21"}},
		{"2001:db8:1:2:3:4:5:6", [3]string{"2001:db8:1:2::/64", "2001:db8:1::/48", "2001:db8::/32"}},
		{"fe80::1%eth0", [3]string{"fe80::/64", "fe80::/48", "fe80::/32"}},
		{"", [3]string{}},
	}
	for _, tc := range tests {
		ip, _ := netip.ParseAddr(tc.ip)
		if got := NetworksOf(ip); got != tc.want {
			t.Errorf("%q: got %q, expected %q", tc.ip, got, tc.want)
		}
	}
}
