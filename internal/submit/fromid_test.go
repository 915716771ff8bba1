package submit

import (
	"errors"
	"strings"
	"testing"

	"mox/config"
	"mox/queue/queuedb"
	"mox/smtp"
)

const fromIDMessage = "From: <ann@example.org>\r\nSubject: hi\r\n\r\nbody\r\n"

func TestProgramsGetASenderWithAnID(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, func(a *config.AccountFields) { a.FromIDLoginAddresses = []string{"ann@example.org"} })
	submit := func(login, from string, rcpts ...string) ([]queuedb.Message, error) {
		t.Helper()
		sub := submission(t, fromIDMessage, rcpts...)
		sub.Login = login
		sub.Mail.ReversePath = path(t, from)
		r, err := e.s.Submit(ctxbg, sub)
		return r.Messages, err
	}
	l, err := submit("Ann+x@example.org", "ann@example.org", "a@one.example", "b@one.example")
	tcheck(t, err)
	if len(l) != 2 || l[0].FromID == "" || l[0].FromID == l[1].FromID {
		t.Fatalf("messages %+v", l)
	}
	for _, m := range l {
		if m.SenderLocalpart != "ann+"+m.FromID || m.SenderDomain != "example.org" {
			t.Errorf("sender %s with id %q", m.Sender(), m.FromID)
		}
		if got := FromID(e.s.opts.Config.Snapshot(), m.Sender()); got != m.FromID {
			t.Errorf("id in address: %q", got)
		}
	}
	l, err = submit("ann@example.org", "ann+mine@example.org", "a@one.example")
	tcheck(t, err)
	if l[0].FromID != "mine" || l[0].SenderLocalpart != "ann+mine" {
		t.Errorf("own id: %+v", l[0])
	}
	for _, tc := range []struct {
		from     string
		rcpts    []string
		code     int
		enhanced string
	}{
		{"ann+mine@example.org", []string{"b@one.example"}, 554, "5.1.7"},
		{"ann+other@example.org", []string{"b@one.example", "c@one.example"}, 554, "5.5.3"},
	} {
		_, err := submit("ann@example.org", tc.from, tc.rcpts...)
		if se := smtp.AsError(err); se == nil || se.Code != tc.code || se.Enhanced != tc.enhanced || !errors.Is(err, ErrFromID) || Kind(err) != "badfromid" {
			t.Errorf("%s: got %v", tc.from, err)
		}
	}
	for _, tc := range []struct{ login, from string }{
		{"ü@example.org", "ann@example.org"},
		{"", "ann@example.org"},
		{"ann@example.org", ""},
		{"ann@example.org", "ann@elsewhere.example"},
		{"ann@example.org", strings.Repeat("a", 50) + "@example.org"},
	} {
		l, err := submit(tc.login, tc.from, "a@one.example")
		tcheck(t, err)
		if l[0].FromID != "" || l[0].Sender().String() != path(t, tc.from).String() {
			t.Errorf("%q, %q: got sender %s with id %q", tc.login, tc.from, l[0].Sender(), l[0].FromID)
		}
	}
}

func TestMailOfListsIsBulk(t *testing.T) {
	t.Parallel()
	e := testEnv(t, false, nil)
	for header, want := range map[string]bool{
		"":                                  false,
		"List-Id: <list.example.org>\r\n":   true,
		"List-Unsubscribe: <https://x>\r\n": true,
		"Precedence:  Bulk\r\n":             true,
		"Precedence: first-class\r\n":       false,
	} {
		r, err := e.s.Submit(ctxbg, submission(t, header+fromIDMessage, "a@one.example"))
		tcheck(t, err)
		if r.Messages[0].Bulk != want {
			t.Errorf("%q: bulk %v", header, r.Messages[0].Bulk)
		}
	}
}
