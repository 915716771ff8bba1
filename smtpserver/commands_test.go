package smtpserver

import (
	"strings"
	"testing"

	"mox/smtp"
)

func TestCommandTable(t *testing.T) {
	t.Parallel()
	has := func(name string, f flags) bool { return byName[name].flags&f == f }
	seen := map[string]bool{}
	for _, c := range table {
		if seen[c.name] || c.name != strings.ToUpper(c.name) || c.run == nil {
			t.Errorf("bad row for %q", c.name)
		}
		seen[c.name] = true
		if c.flags&inTxn != 0 && c.flags&(noTxn|preHello) != 0 {
			t.Errorf("%s: in a transaction only, and not", c.name)
		}
	}
	// RFC 2920 §3.1.
	for _, name := range []string{"EHLO", "DATA", "VRFY", "EXPN", "TURN", "QUIT", "NOOP", "AUTH", "STARTTLS"} {
		if !has(name, lastInPipeline) {
			t.Errorf("%s must be the last of a group", name)
		}
	}
	for _, name := range []string{"RSET", "MAIL", "RCPT"} {
		if has(name, lastInPipeline) {
			t.Errorf("%s may be anywhere in a group", name)
		}
	}
	// RFC 3207 §4.
	for _, name := range []string{"NOOP", "EHLO", "STARTTLS", "QUIT"} {
		if !has(name, preTLS) {
			t.Errorf("%s must be possible without TLS", name)
		}
	}
	for _, name := range []string{"MAIL", "RCPT", "DATA", "RSET", "VRFY", "EXPN", "HELP"} {
		if has(name, preTLS) {
			t.Errorf("%s must not be possible without TLS where it is required", name)
		}
	}
	// RFC 5321 §4.1.4.
	for _, name := range []string{"NOOP", "HELP", "EXPN", "VRFY", "RSET", "QUIT", "EHLO", "HELO"} {
		if !has(name, preHello) {
			t.Errorf("%s must be possible without EHLO", name)
		}
	}
	if !has("AUTH", noLogArgs|noTxn) || !has("MAIL", noTxn|needLogin) || !has("RCPT", inTxn) || !has("DATA", inTxn) {
		t.Errorf("flags of AUTH, MAIL, RCPT or DATA")
	}
}

// All commands that are implemented are in the text of HELP.
func TestHelpNamesTheCommands(t *testing.T) {
	t.Parallel()
	help := func(k Kind) smtp.Reply {
		r, err := runHELP(t.Context(), &session{lis: &listener{ListenerOptions: ListenerOptions{Kind: k}}}, "")
		if err != nil {
			t.Fatalf("help: %v", err)
		}
		return r
	}
	r, lmtp := help(Delivery), help(LMTP)
	for _, c := range table {
		implemented := c.flags&budgeted == 0 || !strings.Contains("ETRN SAML SEND SOML TURN", c.name)
		if strings.Contains(r.Text, " "+c.name) != (implemented && c.flags&lmtpOnly == 0) {
			t.Errorf("HELP and %s: %q", c.name, r.Text)
		}
		if strings.Contains(lmtp.Text, " "+c.name) != (implemented && c.flags&notLMTP == 0) {
			t.Errorf("HELP of LMTP and %s: %q", c.name, lmtp.Text)
		}
	}
}

func TestParseAUTH(t *testing.T) {
	t.Parallel()
	tests := []struct {
		args, mechanism string
		initial         string
		has             bool
		strict          bool
		code            int
	}{
		{args: "PLAIN", mechanism: "PLAIN"},
		{args: "scram-sha-256-plus", mechanism: "SCRAM-SHA-256-PLUS"},
		{args: "PLAIN =", mechanism: "PLAIN", has: true},
		{args: "PLAIN AAAA", mechanism: "PLAIN", initial: "\x00\x00\x00", has: true},
		{args: "PLAIN   AAAA", mechanism: "PLAIN", initial: "\x00\x00\x00", has: true},
		{args: "PLAIN  AAAA", strict: true, code: 501},
		{args: "", code: 501},
		{args: " PLAIN", code: 501},
		{args: "PLAIN\tAAAA", code: 501},
		{args: "PLAIN ", code: 501},
		{args: "PLAIN ==", code: 501},
		{args: "PLAIN AAA", code: 501},
		{args: "PLAIN AAB=", code: 501}, // Bits that are not zero.
		{args: "PLAIN AAAA ", code: 501},
		{args: "PLAIN AAAA\rAAAA", code: 501},
		{args: "PLAIN _-__", code: 501},
	}
	for _, tc := range tests {
		g := grammar{kind: Submission}
		if tc.strict {
			g.mode = smtp.Strict
		}
		req, err := parseAUTH(g, tc.args)
		if tc.code != 0 {
			if err == nil || syntaxError(err).Code != tc.code {
				t.Errorf("%q: got %v, %v", tc.args, req, err)
			}
			continue
		}
		if err != nil || req.mechanism != tc.mechanism || string(req.initial) != tc.initial || (req.initial != nil) != tc.has {
			t.Errorf("%q: got %+v, %v", tc.args, req, err)
		}
	}
}

func TestSimulations(t *testing.T) {
	t.Parallel()
	tests := []struct {
		localpart, stage string
		code             int
	}{
		{"ann", "", 0},
		{"a", "", 0},
		{"", "", 0},
		{"x-TempError", "", 451},
		{"permerror", "", 550},
		{"mailfrompermerror", stageMail, 550},
		{"rcptto-timeout", stageRcpt, codeHang},
		{"rcptto400", stageRcpt, 400},
		{"a599", "", 599},
		{"a600", "", 0},
		{"a399", "", 0},
		{"a5x0", "", 0},
		{"a-50", "", 0},
		{"a+50", "", 0},
		{"queue451", stageQueue, 451},
	}
	for _, tc := range tests {
		if stage, code := simulation(tc.localpart); stage != tc.stage || code != tc.code {
			t.Errorf("%q: got %q, %d", tc.localpart, stage, code)
		}
	}
}
