package wire

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"mox/imap"
)

// The first ones are examples of RFC 4467 §8, 4469 Appendix A and 5092 §10.
func TestURLsOfMessages(t *testing.T) {
	t.Parallel()
	token := strings.Repeat("91354a47", 4)
	rump := "imap://joe@example.com/INBOX/;uid=20/;section=1.2;urlauth=submit+fred"
	for s, want := range map[string]URL{
		rump: {Absolute: true, User: "joe", Host: "example.com", Mailbox: "INBOX", UID: 20,
			Section: imap.Section{Part: []uint32{1, 2}}, Access: "submit+fred", Rump: rump},
		rump + ":internal:" + token: {Absolute: true, User: "joe", Host: "example.com", Mailbox: "INBOX", UID: 20,
			Section: imap.Section{Part: []uint32{1, 2}}, Access: "submit+fred", Rump: rump, Mechanism: "INTERNAL", Token: token},
		"/Drafts;UIDVALIDITY=385759045/;UID=20/;section=1.MIME": {Mailbox: "Drafts", UIDValidity: 385759045, UID: 20,
			Section: imap.Section{Part: []uint32{1}, Spec: imap.SpecMIME}},
		"imap://minbari.example.org/gray-council;UIDVALIDITY=385759045/;UID=20/;PARTIAL=0.1024": {Absolute: true, Host: "minbari.example.org",
			Mailbox: "gray-council", UIDValidity: 385759045, UID: 20, Partial: &imap.Partial{Count: 1024}},
		"imap://john;AUTH=*@minbari.example.org:1143/babylon5/personel/;UID=2": {Absolute: true, User: "john", Host: "minbari.example.org:1143",
			Mailbox: "babylon5/personel", UID: 2},
		";UID=20/;SECTION=HEADER": {Relative: true, UID: 20, Section: imap.Section{Spec: imap.SpecHeader}},
		"a%20b/%C3%A9/;UID=1":     {Relative: true, Mailbox: "a b/é", UID: 1},
		"/x/;UID=4294967295/;SECTION=HEADER.FIELDS%20(SUBJECT%20TO)": {Mailbox: "x", UID: 4294967295,
			Section: imap.Section{Spec: imap.SpecHeaderFields, Fields: []string{"SUBJECT", "TO"}}},
		"IMAP://a%40b.example@h/x/;UID=1;EXPIRE=2026-01-02T03:04:05Z;URLAUTH=anonymous": {Absolute: true, User: "a@b.example", Host: "h", Mailbox: "x", UID: 1,
			Expire: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Access: "anonymous",
			Rump: "IMAP://a%40b.example@h/x/;UID=1;EXPIRE=2026-01-02T03:04:05Z;URLAUTH=anonymous"},
	} {
		if got, err := ParseURL(s); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v; want %+v", s, got, err, want)
		}
	}
}

func TestWhatIsNoURLOfAMessage(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"", "/", "imap://h", "imap://h/", "imap://h/x", "imap:///x/;UID=1", "imap://u@/x/;UID=1", "//h/x/;UID=1", "http://h/x/;UID=1/;SECTION=x",
		"/x;UIDVALIDITY=0/;UID=1", "/x/;UID=0", "/x/;UID=01", "/x/;UID=+1", "/x/;UID=4294967296", "/x/;UID=", "/x/;UID=1x", "/;UID=1", "/;UIDVALIDITY=1/;UID=1",
		"/x/;UID=1/;SECTION=", "/x/;UID=1/;SECTION=HEADER]", "/x/;UID=1/;SECTION=1.", "/x/;UID=1/;SECTION=BODY", "/x/;UID=1/;SECTION=%0a",
		"/x/;UID=1/;SECTION=HEADER.FIELDS%20({3}", "/x/;UID=1/;PARTIAL=1.0", "/x/;UID=1/;PARTIAL=a", "/x/;UID=1/;PARTIAL=1/;SECTION=1",
		"/x y/;UID=1", "/é/;UID=1", "/%ff/;UID=1", "/%00/;UID=1", "/%zz/;UID=1", "/x/;UID=1;URLAUTH=", "/x/;UID=1;URLAUTH=root", "/x/;UID=1;URLAUTH=user+",
		"/x/;UID=1;URLAUTH=authuser+x", "/x/;UID=1;URLAUTH=authuser:INTERNAL:12", "/x/;UID=1;URLAUTH=authuser::" + strings.Repeat("0", 32),
		"/x/;UID=1;URLAUTH=authuser:INTERNAL:" + strings.Repeat("g", 32), "/x/;UID=1;EXPIRE=never;URLAUTH=authuser", "/" + strings.Repeat("x", MaxURL) + "/;UID=1",
	} {
		if u, err := ParseURL(s); err == nil {
			t.Errorf("%s: %+v", s, u)
		}
	}
}

func FuzzParseURL(f *testing.F) {
	f.Add("imap://joe@example.com/INBOX/;uid=20/;section=1.2;expire=2026-01-02T03:04:05Z;urlauth=submit+fred:internal:91354a473744909de610943775f92038")
	f.Add("/Drafts;UIDVALIDITY=385759045/;UID=20/;section=HEADER.FIELDS%20(a)/;PARTIAL=1.2")
	f.Add(";UID=20")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURL(s)
		if err != nil {
			return
		}
		if u.UID == 0 || u.Access != "" && !strings.HasPrefix(s, u.Rump) || u.Mailbox == "" && !u.Relative {
			t.Fatalf("%q: %+v", s, u)
		}
	})
}
