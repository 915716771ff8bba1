package imapclient

import (
	"errors"
	"testing"

	"mox/imap"
	"mox/sasl"
)

func TestAuthenticatePlain(t *testing.T) {
	t.Parallel()
	cred := sasl.Credentials{Identity: sasl.Identity{Authentication: "tim"}, Password: "tanstaaftanstaaf"}
	// RFC 4616 §4 has these credentials.
	const response = "AHRpbQB0YW5zdGFhZnRhbnN0YWFm"
	for _, tc := range []struct{ name, caps, script string }{
		{"with an initial response", "SASL-IR", "C: c1 AUTHENTICATE PLAIN " + response + "\n"},
		{"with an initial response, for IMAP4rev2", "IMAP4rev2", "C: c1 AUTHENTICATE PLAIN " + response + "\n"},
		{"without", "IMAP4rev1", "C: c1 AUTHENTICATE PLAIN\nS: * 1 EXISTS\nS: + \nC: " + response + "\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := dialGreeting(t, Options{}, "S: * OK [CAPABILITY "+tc.caps+"] hi\n"+tc.script+"S: c1 OK done\n")
			if _, err := c.Authenticate(ctxbg, sasl.NewPlainClient(cred)); err != nil || c.State() != StateAuthenticated || c.Caps() != nil {
				t.Errorf("state %d, %v", c.State(), err)
			}
		})
	}
}

// scriptMechanism expects challenges and gives responses.
type scriptMechanism struct {
	first bool
	steps []step // Of which the first is the initial response if first is set.
	n     int
}

type step struct {
	challenge, response string
	last                bool
	err                 error
}

func (m *scriptMechanism) Name() string      { return "X-SCRIPT" }
func (m *scriptMechanism) ClientFirst() bool { return m.first }

func (m *scriptMechanism) Next(challenge []byte) ([]byte, bool, error) {
	s := m.steps[m.n]
	m.n++
	if string(challenge) != s.challenge {
		return nil, false, errors.New("unexpected challenge " + string(challenge))
	}
	return []byte(s.response), s.last, s.err
}

func TestAuthenticateExchange(t *testing.T) {
	t.Parallel()
	m := &scriptMechanism{first: true, steps: []step{{"", "", false, nil}, {"abc", "def", false, nil}, {"proof", "", true, nil}}}
	c := dial(t, Options{}, `C: c1 AUTHENTICATE X-SCRIPT =
		S: + YWJj
		C: ZGVm
		S: + cHJvb2Y=
		C: 
		S: c1 OK [CAPABILITY IMAP4rev2] done
		`)
	if _, err := c.Authenticate(ctxbg, m); err != nil || m.n != 3 || !c.Caps().Has(imap.CapIMAP4rev2) {
		t.Errorf("got %v after %d steps", err, m.n)
	}
}

func TestAuthenticateServerFirst(t *testing.T) {
	t.Parallel()
	m := &scriptMechanism{steps: []step{{"abc", "def", true, nil}}}
	c := dial(t, Options{}, "C: c1 AUTHENTICATE X-SCRIPT\nS: + YWJj\nC: ZGVm\nS: c1 OK done\n")
	if _, err := c.Authenticate(ctxbg, m); err != nil {
		t.Error(err)
	}
}

func TestAuthenticateFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	def := []step{{"abc", "def", true, nil}}
	for _, tc := range []struct {
		name   string
		m      *scriptMechanism
		script string
		usable bool
	}{
		{"refused", &scriptMechanism{steps: def}, "C: c1 AUTHENTICATE X-SCRIPT\nS: + YWJj\nC: ZGVm\nS: c1 NO [AUTHENTICATIONFAILED] no\n", true},
		{"refused at once", &scriptMechanism{steps: def}, "C: c1 AUTHENTICATE X-SCRIPT\nS: c1 NO [CANNOT] unknown\n", true},
		{"the mechanism fails before", &scriptMechanism{first: true, steps: []step{{"", "", false, boom}}}, "", true},
		{"the mechanism fails", &scriptMechanism{steps: []step{{"abc", "", false, boom}}}, "C: c1 AUTHENTICATE X-SCRIPT\nS: + YWJj\nC: *\nS: c1 BAD cancelled\n", true},
		{"a challenge that is not base64", &scriptMechanism{steps: def}, "C: c1 AUTHENTICATE X-SCRIPT\nS: + ???\nC: *\nS: c1 BAD cancelled\n", true},
		{"a challenge before the initial response", &scriptMechanism{first: true, steps: def}, "", false},
		{"a challenge after the last", &scriptMechanism{steps: def}, "C: c1 AUTHENTICATE X-SCRIPT\nS: + YWJj\nC: ZGVm\nS: + YWJj\nC: *\nS: c1 BAD cancelled\n", true},
		{"success before the last", &scriptMechanism{steps: []step{{"abc", "def", false, nil}}}, "C: c1 AUTHENTICATE X-SCRIPT\nS: + YWJj\nC: ZGVm\nS: c1 OK done\n", false},
		{"success after a cancelled exchange", &scriptMechanism{steps: []step{{"abc", "", false, boom}}}, "C: c1 AUTHENTICATE X-SCRIPT\nS: + YWJj\nC: *\nS: c1 OK done\n", false},
		{"the end", &scriptMechanism{steps: def}, "C: c1 AUTHENTICATE X-SCRIPT\nS!", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var c *Client
			if tc.name == "a challenge before the initial response" {
				tc.m.steps = []step{{"", "first", true, nil}}
				c = dialGreeting(t, Options{}, "S: * OK [CAPABILITY IMAP4rev1] hi\nC: c1 AUTHENTICATE X-SCRIPT\nS: + YWJj\nC: *\nS: c1 OK done\n")
			} else {
				c = dial(t, Options{}, tc.script)
			}
			if _, err := c.Authenticate(ctxbg, tc.m); err == nil {
				t.Error("no error")
			}
			if c.State() != StateNotAuthenticated || (c.broken == nil) != tc.usable {
				t.Errorf("state %d, broken %v", c.State(), c.broken)
			}
		})
	}
}
