package inbound

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mox/store"
)

// outcomes makes outcomes, newest first, from a text with "j" for junk and "h" for ham, of
// one author each, or of as many as given.
func outcomes(text string, authors ...uint32) []store.Outcome {
	var l []store.Outcome
	for i, c := range text {
		o := store.Outcome{Junk: c == 'j', Author: uint32(i)}
		if len(authors) > 0 {
			o.Author = authors[i%len(authors)]
		}
		l = append(l, o)
	}
	return l
}

func repeat(s string, n int) string { return strings.Repeat(s, n) }

// say is a signal in short: "junk!" is conclusive.
func (s signal) say() string {
	text := [...]string{"-", "ham", "junk"}[s.lean]
	if s.conclusive {
		text += "!"
	}
	return text
}

func TestAddressInFrom(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		outcomes  string
		validated bool
		want      string
	}{
		{"h", true, "ham!"}, {"hh", true, "ham!"}, {"hj", true, "ham!"}, {"jh", true, "ham!"}, {"j", true, "junk!"}, {"jj", true, "junk!"},
		{"h", false, "ham"}, {"hj", false, "ham"}, {"jh", false, "ham"}, {"j", false, "junk"}, {"jj", false, "junk"},
	} {
		if s := fromAddressSignal(outcomes(tc.outcomes), tc.validated); s.say() != tc.want || s.method != "msgfromfull" || s.why == "" {
			t.Errorf("%s, validated %v: %s by %s", tc.outcomes, tc.validated, s.say(), s.method)
		}
	}
	for _, tc := range []struct{ outcomes, want string }{{"h", "junk"}, {"jh", "junk"}, {"j", "junk!"}, {"jj", "junk!"}} {
		if s := forgedAddressSignal(outcomes(tc.outcomes)); s.say() != tc.want || s.method != "msgfromfull" {
			t.Errorf("%s, was validated before: %s by %s", tc.outcomes, s.say(), s.method)
		}
	}
}

func TestDomainInFrom(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		outcomes string
		authors  []uint32
		want     string
	}{
		{"h", nil, "ham!"},
		{repeat("h", 20), nil, "ham!"},
		{repeat("h", 17) + repeat("j", 3), nil, "ham!"}, // 85%
		{repeat("h", 16) + repeat("j", 4), nil, "-"},    // Exactly 80% are not more.
		{"hj", nil, "-"},
		{repeat("j", 19) + "h", nil, "-"},
		{"j", nil, "junk"},
		{"jj", nil, "junk"},
		{"jjj", nil, "junk!"},
		{"jjjjjjjj", []uint32{1, 2}, "junk"}, // Of two localparts.
		{"jjjjjjjj", []uint32{1, 2, 3}, "junk!"},
	} {
		if s := fromDomainSignal("msgfromdomain", outcomes(tc.outcomes, tc.authors...)); s.say() != tc.want || s.method != "msgfromdomain" {
			t.Errorf("%s of %v: %s", tc.outcomes, tc.authors, s.say())
		}
	}
	for _, tc := range []struct{ outcomes, want string }{{"h", "junk"}, {"hj", "junk"}, {"jh", "junk"}, {"j", "junk!"}, {"jjhhhh", "junk!"}} {
		if s := forgedDomainSignal("msgfromorgdomain", outcomes(tc.outcomes)); s.say() != tc.want || s.method != "msgfromorgdomain" {
			t.Errorf("%s, was validated before: %s", tc.outcomes, s.say())
		}
	}
}

func TestServers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		groups []string
		want   string
	}{
		{[]string{"h"}, "ham!"},
		{[]string{"j"}, "junk"}, // One message is not enough,
		{[]string{"j", "j"}, "junk"},
		{[]string{"jj"}, "junk!"},
		{[]string{"h", "jj"}, "-"},
		{[]string{"hhhhhhhhhj"}, "-"}, // Exactly 0.1.
		{[]string{repeat("h", 10) + "j"}, "ham!"},
		{[]string{"hjjjjjjjjj"}, "-"}, // Exactly 0.9.
		{[]string{"h" + repeat("j", 10)}, "junk!"},
		{[]string{"hj", "h"}, "ham!"}, // Mixed says nothing.
		{[]string{"hj", "jj"}, "junk!"},
		{[]string{"hj"}, "-"},
	} {
		var groups [][]store.Outcome
		for _, g := range tc.groups {
			groups = append(groups, outcomes(g))
		}
		if s := serverSignal(groups); s.say() != tc.want || s.method != "dkimspf" {
			t.Errorf("%v: %s", tc.groups, s.say())
		}
	}
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		size     int
		outcomes string
		want     string
	}{
		{0, "h", "ham"}, {0, "hh", "ham!"}, {0, "j", "junk"}, {0, "jj", "junk!"}, {0, "hj", "-"},
		{0, "jhhh", "-"}, {0, "jhhhh", "ham"}, {0, "jjjh", "-"}, {0, "jjjjh", "junk"}, // Exactly 0.25 and 0.75 say nothing.
		{0, "j" + repeat("h", 9), "ham!"}, {0, "j" + repeat("h", 8), "ham"}, // 0.1, and a bit more.
		{0, "h" + repeat("j", 9), "junk!"}, {0, "h" + repeat("j", 8), "junk"},
		{1, repeat("h", 4), "ham"}, {1, repeat("h", 5), "ham!"}, {1, repeat("j", 4), "junk"}, {1, repeat("j", 5), "junk!"},
		{2, repeat("h", 9), "ham"}, {2, repeat("h", 10), "ham!"}, {2, repeat("j", 9), "junk"}, {2, repeat("j", 10), "junk!"},
	} {
		s := networkSignal(tc.size, outcomes(tc.outcomes))
		if s.say() != tc.want || s.method != fmt.Sprintf("ip%d", tc.size+1) {
			t.Errorf("%d %s: %s by %s", tc.size, tc.outcomes, s.say(), s.method)
		}
	}
}

// testBook has outcomes by "evidence+value" and "evidence-value", and contacts by "kind
// value". It notes what is asked, with the window and the number.
type testBook struct {
	now      time.Time
	outcomes map[string]string
	sent     map[string]time.Time
	asked    []string
	err      error
}

func (b *testBook) Outcomes(mailbox string, e store.Evidence, validated bool, value string, since time.Time, n int) ([]store.Outcome, error) {
	sign := map[bool]string{true: "+", false: "-"}[validated]
	b.asked = append(b.asked, fmt.Sprintf("%s%s %d %d", e, sign, int(b.now.Sub(since)/day), n))
	if mailbox != "Inbox" {
		return nil, errors.New("other mailbox")
	}
	return outcomes(b.outcomes[string(e)+sign+value]), b.err
}

func (b *testBook) SentTo(k store.ContactKind, value string) (time.Time, error) {
	b.asked = append(b.asked, string(k))
	return b.sent[string(k)+value], b.err
}

func TestMethodsAreAskedInOrder(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	const address, domain, org = "Joe@mail.b.example", "mail.b.example", "b.example"
	full := func(validated bool) *store.Origin {
		return &store.Origin{
			MsgFrom: address, MsgFromDomain: domain, MsgFromOrgDomain: org, MsgFromValidated: validated,
			DKIMDomains: []string{"d1.example", "d2.example"}, MailFrom: "B@b.example", MailFromDomain: org, MailFromValidated: true,
			EHLODomain: "h.example", EHLOValidated: true, RemoteIP: "192.0.2.77",
		}
	}
	forwarded := full(true)
	forwarded.IsForward, forwarded.DKIMDomains, forwarded.MailFromValidated, forwarded.EHLOValidated = true, nil, false, false
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	// In the order of the methods: each one counts although those after it would say otherwise.
	ips := map[string]string{"ip1+192.0.2.77/32": "jj", "ip2+192.0.2.64/26": "hhhhh", "ip3+192.0.0.0/21": repeat("j", 10)}
	with := func(more ...string) map[string]string {
		m := map[string]string{}
		for k, v := range ips {
			m[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	for _, tc := range []struct {
		name     string
		origin   *store.Origin
		outcomes map[string]string
		sent     map[string]time.Time
		want     string
	}{
		{"nothing", full(true), nil, nil, "none -"},
		{"no author", &store.Origin{RemoteIP: "192.0.2.77"}, nil, nil, "none -"},
		{"address", full(true), with("from+joe@mail.b.example", "h", "fromdom+mail.b.example", "jjj"), nil, "msgfromfull ham!"},
		{"address not validated now", full(false), with("from+joe@mail.b.example", "h"), nil, "msgfromfull junk"},
		{"address never validated", full(false), with("from-joe@mail.b.example", "h", "from+joe@mail.b.example", "j"), nil, "msgfromfull ham"},
		{"address validated now for the first time", full(true), map[string]string{"from-joe@mail.b.example": "j"}, nil, "none -"},
		{"sent to", full(false), with("fromdom-mail.b.example", "jjj"), map[string]time.Time{"a:joe@mail.b.example": ago(toFullWindow)}, "msgtofull ham!"},
		{"sent to long ago", full(false), nil, map[string]time.Time{"a:joe@mail.b.example": ago(toFullWindow + time.Second)}, "none -"},
		{"domain", full(true), with("fromdom+mail.b.example", "h", "fromorg+b.example", "jjj"), nil, "msgfromdomain ham!"},
		{"domain not validated now", full(false), with("fromdom+mail.b.example", "h"), nil, "msgfromdomain junk"},
		{"domain sent to", full(true), with("fromorg+b.example", "jjj"), map[string]time.Time{"d:mail.b.example": ago(toDomainWindow)}, "msgtodomain ham!"},
		{"domain sent to long ago", full(true), nil, map[string]time.Time{"d:mail.b.example": ago(toDomainWindow + time.Second)}, "none -"},
		{"organization", full(true), with("fromorg+b.example", "hj", "dkim+d1.example", "h"), nil, "msgfromorgdomain -"},
		{"organization not validated now", full(false), with("fromorg+b.example", "jj"), nil, "msgfromorgdomain junk!"},
		{"organization sent to", full(true), with("dkim+d1.example", "jj"), map[string]time.Time{"o:b.example": ago(day)}, "msgtoorgdomain ham!"},
		{"dkim", full(true), with("dkim+d2.example", "jj"), nil, "dkimspf junk!"},
		{"dkim and spf differ", full(true), with("dkim+d2.example", "jj", "mailfrom+b@b.example", "h"), nil, "dkimspf -"},
		{"reverse-path before its domain", full(true), with("mailfrom+b@b.example", "h", "mailfdom+b.example", "jj"), nil, "dkimspf ham!"},
		{"domain of reverse-path before ehlo", full(true), with("mailfdom+b.example", "h", "ehlo+h.example", "jj"), nil, "dkimspf ham!"},
		{"ehlo", full(true), with("ehlo+h.example", "h"), nil, "dkimspf ham!"},
		{"address of client", full(true), ips, nil, "ip1 junk!"},
		{"network of client", full(true), map[string]string{"ip2+192.0.2.64/26": "hhhhh", "ip3+192.0.0.0/21": "j"}, nil, "ip2 ham!"},
		{"wide network of client", full(true), map[string]string{"ip3+192.0.0.0/21": repeat("j", 10)}, nil, "ip3 junk!"},
		{"forwarded", forwarded, ips, nil, "none -"},
	} {
		b := &testBook{now: now, outcomes: tc.outcomes, sent: tc.sent}
		s, err := reputationOf(b, "Inbox", tc.origin, now)
		if got := s.method + " " + s.say(); err != nil || got != tc.want || s.why == "" {
			t.Errorf("%s: %s (%s), %v", tc.name, got, s.why, err)
		}
	}

	b := &testBook{now: now}
	if _, err := reputationOf(b, "Inbox", full(false), now); err != nil {
		t.Fatal(err)
	}
	want := "from- 1095 2, from+ 1095 2, a:, fromdom- 730 20, fromdom+ 730 20, d:, fromorg- 730 20, fromorg+ 730 20, o:, " +
		"dkim+ 182 50, dkim+ 182 50, mailfrom+ 182 50, mailfdom+ 182 50, ehlo+ 182 50, ip1+ 91 50, ip2+ 91 50, ip3+ 91 50"
	if got := strings.Join(b.asked, ", "); got != want {
		t.Errorf("asked %s\nwant %s", got, want)
	}

	// What does not matter is not read, and nothing after an error.
	b = &testBook{now: now, outcomes: map[string]string{"from+joe@mail.b.example": "h"}}
	if _, err := reputationOf(b, "Inbox", full(true), now); err != nil || len(b.asked) != 1 {
		t.Errorf("asked %v, %v", b.asked, err)
	}
	b = &testBook{now: now, err: errors.New("disk")}
	if _, err := reputationOf(b, "Inbox", full(true), now); !errors.Is(err, b.err) || len(b.asked) != 1 {
		t.Errorf("asked %v, %v", b.asked, err)
	}
}
