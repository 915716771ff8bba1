package config

import (
	"errors"
	"net"
	"reflect"
	"testing"
	"time"

	"mox/dns"
	"mox/smtp"
)

func parsePath(t *testing.T, s string) smtp.Path {
	t.Helper()
	p, err := smtp.ParseForwardPath("<"+s+">", smtp.Lenient)
	if err != nil {
		t.Fatalf("parse path %q: %v", s, err)
	}
	return p
}

func parseAddress(t *testing.T, s string) smtp.Address {
	t.Helper()
	a, err := smtp.ParseAddress(s, smtp.Lenient)
	if err != nil {
		t.Fatalf("parse address %q: %v", s, err)
	}
	return a
}

func TestLookupAddress(t *testing.T) {
	t.Parallel()
	s := testSnapshot(t)
	tests := []struct {
		name, path string
		account    string
		mailbox    string
		canonical  string
		err        error
	}{
		{"exact address", "ann@example.org", "ann", "Inbox", "ann@example.org", nil},
		{"upper case", "ANN@EXAMPLE.org", "ann", "Inbox", "ann@example.org", nil},
		{"quoted localpart", `"ann"@example.org`, "ann", "Inbox", "ann@example.org", nil},
		{"separator", "ann+list+x@example.org", "ann", "Inbox", "ann@example.org", nil},
		{"character that is a separator elsewhere", "ann-list@example.org", "", "", "", ErrAddressUnknown},
		{"case matters", "Ann@case.example", "ann", "Inbox", "Ann@case.example", nil},
		{"other case is another address", "ann@case.example", "bob", "Inbox", "ann@case.example", nil},
		{"second separator", "Ann-x@case.example", "ann", "Inbox", "Ann@case.example", nil},
		{"both separators", "Ann-x+y@case.example", "ann", "Inbox", "Ann@case.example", nil},
		{"catchall", "other@case.example", "bob", "Other", "other@case.example", nil},
		{"catchall for what is empty before a separator", "+x@case.example", "bob", "Other", `""@case.example`, nil},
		{"catchall for empty localpart", `""@case.example`, "bob", "Other", `""@case.example`, nil},
		{"empty localpart without catchall", `+x@example.org`, "", "", "", ErrAddressUnknown},
		{"domain in unicode", "ann@☺.example", "ann", "Inbox/Smile", "ann@☺.example", nil},
		{"domain in ASCII", "ann@xn--74h.example", "ann", "Inbox/Smile", "ann@☺.example", nil},
		{"unknown localpart", "eve@example.org", "", "", "", ErrAddressUnknown},
		{"unknown domain", "ann@example.com", "", "", "", ErrDomainUnknown},
		{"subdomain", "ann@sub.example.org", "", "", "", ErrDomainUnknown},
		{"disabled domain", "ann@off.example", "", "", "", ErrDomainDisabled},
		{"unknown localpart in disabled domain", "eve@off.example", "", "", "", ErrDomainDisabled},
		{"address literal", "ann@[192.0.2.10]", "", "", "", ErrDomainUnknown},
		{"postmaster without domain", "PostMaster", "ann", "Postmaster", "postmaster@mx.example.org", nil},
		{"postmaster at hostname", "Postmaster@mx.example.org", "ann", "Postmaster", "postmaster@mx.example.org", nil},
		{"other at hostname", "ann@mx.example.org", "", "", "", ErrDomainUnknown},
		{"postmaster at domain without", "POSTMASTER@example.org", "ann", "Postmaster", "postmaster@example.org", nil},
		{"postmaster at domain with its own", "postmaster@case.example", "bob", "Inbox", "postmaster@case.example", nil},
		{"postmaster of disabled domain", "postmaster@off.example", "", "", "", ErrDomainDisabled},
		{"postmaster of unknown domain", "postmaster@example.com", "", "", "", ErrDomainUnknown},
		{"postmaster at address literal", "postmaster@[192.0.2.10]", "", "", "", ErrDomainUnknown},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, err := s.LookupAddress(parsePath(t, tc.path))
			if !errors.Is(err, tc.err) {
				t.Fatalf("got error %v, expected %v", err, tc.err)
			}
			if r.Account != tc.account || r.Destination.Mailbox != tc.mailbox || r.Canonical.String() != tc.canonical {
				t.Fatalf("got account %q, mailbox %q, canonical %q", r.Account, r.Destination.Mailbox, r.Canonical)
			}
		})
	}
}

func TestLookupAddressTellsWhatMatched(t *testing.T) {
	t.Parallel()
	s := testSnapshot(t)
	for path, want := range map[string][2]bool{ // Catchall, postmaster.
		"ann@example.org":         {false, false},
		"other@case.example":      {true, false},
		"postmaster@example.org":  {false, true},
		"postmaster":              {false, true},
		"postmaster@case.example": {false, false},
	} {
		r, err := s.LookupAddress(parsePath(t, path))
		if err != nil || r.CatchAll != want[0] || r.Postmaster != want[1] {
			t.Errorf("%s: got catchall %v, postmaster %v, error %v", path, r.CatchAll, r.Postmaster, err)
		}
	}
}

func TestPostmasterOfListenerHostnameIsTakenIfItHasSMTP(t *testing.T) {
	t.Parallel()
	static := change(t, testStatic, "\tpublic:\n", "\tpublic:\n\t\tHostname: in.example.org\n")
	s, err := testLoad(static, testDynamic)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"postmaster@in.example.org", "postmaster@mx.example.org"} {
		if r, err := s.LookupAddress(parsePath(t, path)); err != nil || r.Account != "ann" {
			t.Errorf("%s: got account %q, error %v", path, r.Account, err)
		}
	}
	static = change(t, static, "\t\tSMTP:\n\t\t\tEnabled: true\n", "")
	if s, err = testLoad(static, testDynamic); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LookupAddress(parsePath(t, "postmaster@in.example.org")); !errors.Is(err, ErrDomainUnknown) {
		t.Errorf("without SMTP: got error %v", err)
	}
}

func TestDestinationWithSMTPErrorHasReply(t *testing.T) {
	t.Parallel()
	s := testSnapshot(t)
	for path, want := range map[string]smtp.Error{
		"gone@example.org": {Code: 550, Enhanced: "5.1.1", Text: "moved to carrier pigeon"},
		"away@example.org": {Code: 451, Enhanced: "4.3.0", Text: "mail for this address is not accepted at the moment"},
	} {
		r, err := s.LookupAddress(parsePath(t, path))
		if err != nil || r.Destination.SMTPError == nil || *r.Destination.SMTPError != want {
			t.Errorf("%s: got %v, error %v", path, r.Destination.SMTPError, err)
		}
	}
}

func TestAccountOwns(t *testing.T) {
	t.Parallel()
	s := testSnapshot(t)
	tests := []struct {
		account, address string
		owns             bool
		err              error
	}{
		{"ann", "ann@example.org", true, nil},
		{"ann", "Ann+x@example.org", true, nil},
		{"bob", "ann@example.org", false, nil},
		{"bob", "anything@case.example", true, nil},
		{"ann", "anything@case.example", false, nil},
		{"ann", "postmaster@example.org", false, nil},
		{"ann", "postmaster@mx.example.org", false, nil},
		{"bob", "postmaster@case.example", true, nil},
		{"ann", "ann@off.example", true, ErrDomainDisabled},
		{"bob", "ann@off.example", false, nil},
		{"ann", "ann@example.com", false, nil},
		{"", "eve@example.org", false, nil},
	}
	for _, tc := range tests {
		owns, err := s.AccountOwns(tc.account, parseAddress(t, tc.address))
		if owns != tc.owns || !errors.Is(err, tc.err) {
			t.Errorf("%s %s: got %v, %v", tc.account, tc.address, owns, err)
		}
	}
}

func TestLoginAccount(t *testing.T) {
	t.Parallel()
	s := testSnapshot(t)
	for address, want := range map[string]string{
		"ann@example.org":        "ann",
		"ANN+phone@example.org":  "ann",
		"ann@off.example":        "ann", // Logging in goes on while a domain is disabled.
		"any@case.example":       "bob",
		"postmaster@example.org": "",
		"eve@example.org":        "",
		"ann@example.com":        "",
	} {
		a, ok := s.LoginAccount(parseAddress(t, address))
		if a.Name != want || ok != (want != "") {
			t.Errorf("%s: got account %q, %v", address, a.Name, ok)
		}
	}
}

func TestCanonicalComposesAndLowersUnicode(t *testing.T) {
	t.Parallel()
	d := Domain{Domain: dns.Domain{ASCII: "example.org"}, Separators: []string{"+"}}
	for in, want := range map[smtp.Localpart]smtp.Localpart{
		"E\u0301ric+x": "\u00e9ric",
		"ÉRIC":         "éric",
		"a":            "a",
		"+":            "",
		"":             "",
	} {
		got := d.Canonical(in)
		if got != want {
			t.Errorf("%q: got %q, expected %q", in, got, want)
		}
		if again := d.Canonical(got); again != got {
			t.Errorf("%q: canonical form %q has canonical form %q", in, got, again)
		}
	}
}

func TestSnapshotHasDefaults(t *testing.T) {
	t.Parallel()
	s := testSnapshot(t)
	if s.DataDir != "/etc/data" || s.MinimumFreeSpace != 500<<20 || len(s.Listeners) != 1 {
		t.Fatalf("got data directory %q, free space %d, %d listeners", s.DataDir, s.MinimumFreeSpace, len(s.Listeners))
	}
	if s.MaxConnections != DefaultMaxConnections {
		t.Errorf("got %d connections", s.MaxConnections)
	}
	use := SpecialUseMailboxes{"Sent", "Archive", "Trash", "Drafts", "Junk"}
	if s.InitialMailboxes.SpecialUse != use || len(s.InitialMailboxes.Regular) != 0 {
		t.Errorf("got initial mailboxes %v", s.InitialMailboxes)
	}
	l := s.Listeners[0]
	if l.MaxMessageSize != 100<<20 || l.Hostname != s.Hostname {
		t.Errorf("got size %d, hostname %s", l.MaxMessageSize, l.Hostname)
	}
	if want := (Limits{300, 30, 10, 50, 100, nil}); !reflect.DeepEqual(l.Limits, want) {
		t.Errorf("got limits %v, expected %v", l.Limits, want)
	}
	if want := []Service{{"SMTP", 25}, {"Submissions", 465}, {"IMAPS", 993}}; !reflect.DeepEqual(l.Services(), want) {
		t.Errorf("got services %v, expected %v", l.Services(), want)
	}
	if want := []KeyCert{{"/etc/mox/mx.crt", "/etc/mx.key"}}; l.TLS == nil || !reflect.DeepEqual(l.TLS.KeyCerts, want) {
		t.Errorf("got certificates %v, expected %v", l.TLS, want)
	}
	ann, _ := s.Account("ann")
	bob, _ := s.Account("bob")
	if ann.QuotaMessageSize != 0 || ann.MaxOutgoingMessagesPerDay != 1000 || ann.MaxFirstTimeRecipientsPerDay != 200 || ann.CRAMMD5 {
		t.Errorf("got account %v", ann)
	}
	if bob.QuotaMessageSize != 1000 || !bob.CRAMMD5 || !s.AnyCRAMMD5() {
		t.Errorf("got account %v", bob)
	}
}

func TestQuotaOfAccountOverridesDefault(t *testing.T) {
	t.Parallel()
	static := change(t, testStatic, "LogLevel: info\n", "LogLevel: info\nQuotaMessageSize: 5000\n")
	for text, want := range map[string]int64{
		"QuotaMessageSize: 1000": 1000,
		"QuotaMessageSize: 0":    5000,
		"QuotaMessageSize: -1":   0, // None.
	} {
		s, err := testLoad(static, change(t, testDynamic, "QuotaMessageSize: 1000", text))
		if err != nil {
			t.Fatal(err)
		}
		ann, _ := s.Account("ann")
		bob, _ := s.Account("bob")
		if ann.QuotaMessageSize != 5000 || bob.QuotaMessageSize != want {
			t.Errorf("%s: got %d and %d", text, ann.QuotaMessageSize, bob.QuotaMessageSize)
		}
	}
}

func TestQuotaOfMessagesOverridesDefault(t *testing.T) {
	t.Parallel()
	static := change(t, testStatic, "LogLevel: info\n", "LogLevel: info\nQuotaMessages: 5000\n")
	for n, want := range map[string]int64{"1000": 1000, "0": 5000, "-1": 0} {
		s, err := testLoad(static, change(t, testDynamic, "QuotaMessageSize: 1000", "QuotaMessages: "+n))
		if err != nil {
			t.Fatal(err)
		}
		ann, _ := s.Account("ann")
		bob, _ := s.Account("bob")
		if ann.QuotaMessages != 5000 || bob.QuotaMessages != want {
			t.Errorf("%s: got %d and %d", n, ann.QuotaMessages, bob.QuotaMessages)
		}
	}
}

func TestNewMakesSnapshotWithoutFiles(t *testing.T) {
	t.Parallel()
	s := testSnapshot(t)
	n, err := New(s.Static, s.Dynamic)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := n.LookupAddress(smtp.Path{Localpart: "ann", IPDomain: dns.IPDomain{Domain: dns.Domain{ASCII: "example.org"}}}); err != nil || r.Account != "ann" {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := n.LookupAddress(smtp.Path{Localpart: "ann", IPDomain: dns.IPDomain{IP: net.IPv4(127, 0, 0, 1)}}); !errors.Is(err, ErrDomainUnknown) {
		t.Errorf("got error %v", err)
	}
	st := s.Static
	st.Hostname = ""
	if _, err := New(st, s.Dynamic); err == nil || err.Error() != "Hostname: domain name is empty" {
		t.Errorf("got error %v", err)
	}
}

func TestUndeleteWindowIsTakenFromTheConfig(t *testing.T) {
	t.Parallel()
	static := change(t, testStatic, "LogLevel: info\n", "LogLevel: info\nUndeleteWindow: 36h\nUndeleteSize: 7000\n")
	s, err := testLoad(static, testDynamic)
	if err != nil {
		t.Fatal(err)
	}
	if s.UndeleteWindow != 36*time.Hour || s.UndeleteSize != 7000 {
		t.Errorf("got %v and %d", s.UndeleteWindow, s.UndeleteSize)
	}
	if _, err := testLoad(change(t, static, "7000", "-1"), testDynamic); err == nil {
		t.Error("negative UndeleteSize is taken")
	}
}
