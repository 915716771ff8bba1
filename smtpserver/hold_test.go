package smtpserver

import (
	"testing"
	"time"

	"mox/sasl"
)

// TestSubmissionIsHeldUntilATime asks for times near the limits, which the script for
// FUTURERELEASE cannot name.
func TestSubmissionIsHeldUntilATime(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	c := dialClient(t, ts.submissions)
	c.startTLS()
	c.hello()
	if got := c.auth(mechanismClient(t, sasl.Plain, credentials("ann@example.org", testPassword), nil), true); got[:4] != "235 " {
		t.Fatalf("login: %q", got)
	}
	until := time.Now().Add(maxFutureRelease - time.Hour).UTC().Truncate(time.Second)
	c.cmd("MAIL FROM:<ann@example.org> HOLDUNTIL="+until.Add(2*time.Hour).Format(time.RFC3339), "501 5.5.4 ")
	c.cmd("MAIL FROM:<ann@example.org> HOLDUNTIL="+time.Now().Add(-time.Minute).UTC().Format(time.RFC3339), "501 5.5.4 ")
	c.cmd("MAIL FROM:<ann@example.org> HOLDFOR=60 HOLDUNTIL="+until.Format(time.RFC3339), "501 5.5.4 ")
	c.cmd("MAIL FROM:<ann@example.org> HOLDUNTIL="+until.Format(time.RFC3339), "250 2.1.0 ")
	c.cmd("RCPT TO:<bob@elsewhere.example>", "250 ")
	c.cmd("DATA", "354 ")
	c.cmd("From: <ann@example.org>\r\n\r\nx\r\n.", "250 2.2.0 ")
	l := ts.fake.submissions()
	if len(l) != 1 || !l[0].mail.HoldUntil.Equal(until) || l[0].mail.HoldFor != 0 {
		t.Errorf("submitted %+v, expected to be held until %v", l, until)
	}
}
