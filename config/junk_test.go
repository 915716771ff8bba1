package config

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"mox/dns"
	"mox/smtp"
)

// withAccount adds fields to the account bob of testDynamic.
func withAccount(t *testing.T, fields ...string) string {
	t.Helper()
	return change(t, testDynamic, "\t\tCRAMMD5: true\n", "\t\t"+strings.Join(fields, "\n\t\t")+"\n")
}

func TestAccountHasWhatBecomesOfJunk(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic, withAccount(t,
		"RejectsMailbox: Rejects", "Introbox: introbox", "JunkDelivery: junk",
		"JunkFilter:", "	Threshold: 0.9", "	Params:", "		Twograms: true", "		MaxPower: 0.01", "		TopWords: 5", "		IgnoreWords: 0.1", "		RareWords: 2",
		"SubjectPass:", "	Period: 12h", "NoFirstTimeSenderDelay: true", "TrustedForwarders:", "	- lists.example.org", "	- ☺.example"))
	if err != nil {
		t.Fatal(err)
	}
	bob, _ := s.Account("bob")
	if bob.Introbox != "introbox" || !bob.JunkToMailbox || bob.SubjectPassPeriod != 12*time.Hour || !bob.NoFirstTimeSenderDelay {
		t.Errorf("got %+v", bob)
	}
	if want := (JunkFilter{0.9, false, true, false, 0.01, 5, 0.1, 2}); bob.JunkFilter == nil || *bob.JunkFilter != want {
		t.Errorf("got %+v", bob.JunkFilter)
	}
	if l := bob.TrustedForwarders; len(l) != 2 || l[0] != (dns.Domain{ASCII: "lists.example.org"}) || l[1].Name() != "☺.example" {
		t.Errorf("got %v", l)
	}
	ann, _ := s.Account("ann")
	if ann.Introbox != "" || ann.JunkToMailbox || ann.JunkFilter != nil || ann.AutomaticJunkFlags.Enabled || ann.SubjectPassPeriod != 0 || ann.NoFirstTimeSenderDelay || ann.TrustedForwarders != nil {
		t.Errorf("got %+v", ann)
	}
}

func TestWhatBecomesOfJunkIsChecked(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		fields []string
		want   string
	}{
		{"introbox is Inbox", []string{"Introbox: INBOX"}, "domains.conf:24: Accounts.bob.Introbox: cannot be Inbox"},
		{"introbox is for rejects", []string{"RejectsMailbox: X", "Introbox: X"}, "domains.conf:25: Accounts.bob.Introbox: cannot be the same as RejectsMailbox"},
		{"junk delivery", []string{"JunkDelivery: drop"}, `domains.conf:24: Accounts.bob.JunkDelivery: unknown value "drop", use reject or junk`},
		{"threshold", []string{"JunkFilter:", "	Threshold: 1"}, "domains.conf:25: Accounts.bob.JunkFilter.Threshold: 1 is not at least 0 and below 1"},
		{"threshold is no number", []string{"JunkFilter:", "	Threshold: NaN"}, "domains.conf:25: Accounts.bob.JunkFilter.Threshold: NaN is not at least 0 and below 1"},
		{"max power", []string{"JunkFilter:", "	Params:", "		MaxPower: 0.5"}, "domains.conf:26: Accounts.bob.JunkFilter.Params.MaxPower: 0.5 is not at least 0 and below 0.5"},
		{"ignore words", []string{"JunkFilter:", "	Params:", "		IgnoreWords: -0.1"}, "domains.conf:26: Accounts.bob.JunkFilter.Params.IgnoreWords: -0.1 is not at least 0 and below 0.5"},
		{"top words", []string{"JunkFilter:", "	Params:", "		TopWords: -1"}, "domains.conf:26: Accounts.bob.JunkFilter.Params.TopWords: cannot be negative"},
		{"rare words", []string{"JunkFilter:", "	Params:", "		RareWords: -1"}, "domains.conf:26: Accounts.bob.JunkFilter.Params.RareWords: cannot be negative"},
		{"flags without expressions", []string{"AutomaticJunkFlags:", "	Enabled: true"}, "domains.conf:25: Accounts.bob.AutomaticJunkFlags.Enabled: has no effect without a regular expression"},
		{"flags with upper case", []string{"AutomaticJunkFlags:", "	Enabled: true", "	JunkMailboxRegexp: ^Junk"}, `domains.conf:26: Accounts.bob.AutomaticJunkFlags.JunkMailboxRegexp: regular expression "^Junk" has upper case, but is for text in lower case`},
		{"period", []string{"SubjectPass:", "	Period: -1h"}, "domains.conf:25: Accounts.bob.SubjectPass.Period: cannot be negative"},
		{"forwarder", []string{"TrustedForwarders:", "	- Example.org"}, `domains.conf:25: Accounts.bob.TrustedForwarders[0]: domain "Example.org" must be written in unicode and lower case, as "example.org"`},
		{"forwarder twice", []string{"TrustedForwarders:", "	- example.org", "	- example.org"}, `domains.conf:26: Accounts.bob.TrustedForwarders[1]: domain "example.org" is listed twice`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := testLoad(testStatic, withAccount(t, tc.fields...))
			if got := strings.TrimSuffix(errorLines(t, err), "\n"); got != tc.want {
				t.Fatalf("got:\n%s\nexpected:\n%s", got, tc.want)
			}
		})
	}
}

func TestJunkFilterHasADefaultThreshold(t *testing.T) {
	t.Parallel()
	s, err := testLoad(testStatic, withAccount(t, "JunkFilter:", "	Threshold: 0"))
	if err != nil {
		t.Fatal(err)
	}
	if bob, _ := s.Account("bob"); bob.JunkFilter == nil || *bob.JunkFilter != (JunkFilter{Threshold: 0.95}) {
		t.Errorf("got %+v", bob.JunkFilter)
	}
}

func TestAutomaticJunkFlagsFollowNamesOfMailboxes(t *testing.T) {
	t.Parallel()
	type flags struct{ junk, notjunk bool }
	junk, neutral, notjunk := flags{true, false}, flags{false, false}, flags{false, true}
	def := NewAutomaticJunkFlags()
	for _, tc := range []struct {
		name   string
		fields AutomaticJunkFlagsFields
		want   map[string]flags
	}{
		{"defaults", def, map[string]flags{
			"Junk": junk, "SPAM/2026": junk, "Inbox": neutral, "Inbox/x": neutral, "Introbox": neutral, "Postmaster": neutral, "TLSRPT": neutral,
			"Rejects": neutral, "Archive": notjunk, "My junk": notjunk, "Trash": notjunk, "": notjunk,
		}},
		{"not enabled", AutomaticJunkFlagsFields{JunkMailboxRegexp: "junk", NeutralMailboxRegexp: "inbox"}, map[string]flags{"Junk": neutral, "Archive": neutral}},
		{"junk is the rest", AutomaticJunkFlagsFields{Enabled: true, NeutralMailboxRegexp: "inbox", NotJunkMailboxRegexp: "archive"}, map[string]flags{
			"Inbox": neutral, "Archive": notjunk, "Other": junk,
		}},
		{"neutral is the rest", AutomaticJunkFlagsFields{Enabled: true, JunkMailboxRegexp: "junk", NotJunkMailboxRegexp: "archive"}, map[string]flags{
			"Junk": junk, "Archive": notjunk, "Other": neutral,
		}},
		{"two empty", AutomaticJunkFlagsFields{Enabled: true, JunkMailboxRegexp: "junk"}, map[string]flags{"Junk": junk, "Archive": neutral}},
		{"none empty", AutomaticJunkFlagsFields{Enabled: true, JunkMailboxRegexp: "a", NeutralMailboxRegexp: "b", NotJunkMailboxRegexp: "c"}, map[string]flags{
			"abc": junk, "bc": neutral, "c": notjunk, "d": neutral, // In this order.
		}},
		{"unicode", AutomaticJunkFlagsFields{Enabled: true, JunkMailboxRegexp: "^müll"}, map[string]flags{"MÜLL": junk}},
	} {
		c := &checker{}
		f := c.automaticJunkFlags("x", tc.fields)
		if len(c.errs) > 0 {
			t.Fatalf("%s: %v", tc.name, c.errs)
		}
		for mailbox, want := range tc.want {
			var got flags
			if got.junk, got.notjunk = f.Flags(mailbox); got != want {
				t.Errorf("%s: %q: got %v, expected %v", tc.name, mailbox, got, want)
			}
		}
	}
	if j, n := (AutomaticJunkFlags{}).Flags("Junk"); j || n {
		t.Errorf("zero value sets flags")
	}
}

func TestNewAccountIsAsDocumented(t *testing.T) {
	t.Parallel()
	addr := smtp.Address{Localpart: "ann", Domain: dns.Domain{ASCII: "example.org"}}
	static := testSnapshot(t).Static
	l := static.Listeners["public"]
	delay := 3 * time.Second
	l.SMTP.FirstTimeSenderDelay = &delay
	static.Listeners = map[string]ListenerFields{"public": l}
	dynamic := Dynamic{
		Domains:  map[string]DomainFields{"example.org": {LocalpartCatchallSeparator: "+"}},
		Accounts: map[string]AccountFields{"ann": NewAccount(addr)},
	}
	dir := t.TempDir()
	if err := Create(dir, static, dynamic); err != nil {
		t.Fatal(err)
	}
	s, err := Load(filepath.Join(dir, StaticName))
	if err != nil {
		t.Fatal(err)
	}
	if d := s.Listeners[0].SMTP.FirstTimeSenderDelay; d != delay {
		t.Errorf("got delay %s, expected %s", d, delay)
	}
	ann, _ := s.Account("ann")
	if ann.Domain != addr.Domain || ann.RejectsMailbox != "Rejects" || ann.KeepRejects || ann.SubjectPassPeriod != 12*time.Hour || !ann.AutomaticJunkFlags.Enabled {
		t.Errorf("got %+v", ann)
	}
	if ann.JunkFilter == nil || !reflect.DeepEqual(*ann.JunkFilter, JunkFilter{Threshold: 0.95}) {
		t.Errorf("got %+v", ann.JunkFilter)
	}
	if r, err := s.LookupAddress(addr.Path()); err != nil || r.Account != "ann" || r.Destination.Mailbox != "Inbox" {
		t.Errorf("got %+v, error %v", r, err)
	}
}

func TestListenersHaveBlocklistsAndADelayForStrangers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		fields, zones string
		delay         time.Duration
		want          string
	}{
		{"", "[]", 15 * time.Second, ""},
		{"\t\t\tFirstTimeSenderDelay: 0s\n", "[]", 0, ""},
		{"\t\t\tFirstTimeSenderDelay: 3s\n\t\t\tDNSBLs:\n\t\t\t\t- bl.example\n\t\t\t\t- b.example\n", "[bl.example b.example]", 3 * time.Second, ""},
		{"\t\t\tFirstTimeSenderDelay: -1s\n", "", 0, "mox.conf:17: Listeners.public.SMTP.FirstTimeSenderDelay: must be between 0s and 2m0s: senders do not wait longer for the answer\n"},
		{"\t\t\tFirstTimeSenderDelay: 1h\n", "", 0, "mox.conf:17: Listeners.public.SMTP.FirstTimeSenderDelay: must be between 0s and 2m0s: senders do not wait longer for the answer\n"},
		{"\t\t\tDNSBLs:\n\t\t\t\t- b.example\n\t\t\t\t- b.example\n", "", 0, "mox.conf:19: Listeners.public.SMTP.DNSBLs[1]: domain \"b.example\" is listed twice\n"},
	} {
		s, err := testLoad(change(t, testStatic, "\t\tSMTP:\n\t\t\tEnabled: true\n", "\t\tSMTP:\n\t\t\tEnabled: true\n"+tc.fields), testDynamic)
		if got := errorLines(t, err); got != tc.want {
			t.Fatalf("got:\n%s\nexpected:\n%s", got, tc.want)
		}
		if err != nil {
			continue
		}
		var zones []string
		for _, d := range s.Listeners[0].SMTP.DNSBLs {
			zones = append(zones, d.Name())
		}
		if got := "[" + strings.Join(zones, " ") + "]"; got != tc.zones || s.Listeners[0].SMTP.FirstTimeSenderDelay != tc.delay {
			t.Errorf("got %s and %s", got, s.Listeners[0].SMTP.FirstTimeSenderDelay)
		}
	}
}
