package smtpserver

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// smuggled is what an attacker has another message look like, to a server that has
// taken for the end of the data what comes before it.
const (
	smuggled     = "MAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: evil\r\n\r\nevil\r\n.\r\n"
	smuggledBDAT = "MAIL FROM:<evil@elsewhere.example>\r\nRCPT TO:<bob@example.org>\r\nBDAT 15 LAST\r\nSubject: evil\r\n\r\n"
)

// lookAlikes returns all that could be taken for the end of message data: a dot
// between line ends of all kinds, with NULs where some leave them out. Those with the
// true end in them are left out.
func lookAlikes() (l []string) {
	ends := []string{"\n", "\r", "\r\n", "\n\r", "\r\r\n", "\r\r", "\n\n", "\r\x00\n"}
	for _, before := range append(ends, "\r\n\x00", "\n\x00", "\r\x00", "\x00\n", "\x00\r") {
		for _, dot := range []string{".", ".\x00", "\x00.", "\x00.\x00"} {
			for _, after := range append(ends, "\x00\n", "\x00\r", "\x00\r\n") {
				s := before + dot + after
				if !strings.Contains(s, "\r\n.\r\n") {
					l = append(l, s)
				}
			}
		}
	}
	return l
}

// stuffed returns what is no end where dot stuffing is undone, and could be one where
// it is undone twice or not at all.
func stuffed() (l []string) {
	ends := []string{"\n", "\r", "\r\n", "\r\n\x00", "\x00\r\n"}
	for _, before := range ends {
		for _, dot := range []string{"..", "...", "..\x00", ".\x00.", ".. ", ". ", ".\t"} {
			for _, after := range ends {
				l = append(l, before+dot+after)
			}
		}
	}
	return l
}

// smugglingClient is a client from a network without delays. What it writes at once
// arrives at once.
func smugglingClient(t *testing.T) (*testServer, *client) {
	setup := testSetup{listener: func(l *ListenerOptions) { l.Limits.Exempt = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} }}
	ts := unstartedServer(t, setup)
	c := ts.pipeClient(setup, ListenerOptions{})
	c.hello()
	return ts, c
}

func (c *client) envelope() {
	c.t.Helper()
	c.cmd("MAIL FROM:<a@elsewhere.example>", "250 ")
	c.cmd("RCPT TO:<ann@example.org>", "250 ")
}

// send writes data in two parts, of which the second begins some octets after what
// comes before, or, for zero, an octet at a time.
func (c *client) send(before, data string, split int) {
	c.t.Helper()
	parts := strings.Split(data, "")
	if at := len(before) + split - 1; split > 0 {
		parts = []string{data[:at], data[at:]}
	}
	for _, p := range parts {
		if p != "" {
			c.write("%s", p)
		}
	}
}

// TestSmugglingIsRefused sends all look-alikes of the end of the data, whole and split
// in all ways, as the first message and after one with BDAT. The message is read to its
// true end and refused, and nothing in it is executed.
func TestSmugglingIsRefused(t *testing.T) {
	t.Parallel()
	all := lookAlikes()
	if len(all) < 500 {
		t.Fatalf("only %d look-alikes", len(all))
	}
	for _, after := range []string{"", "BDAT"} {
		ts, c := smugglingClient(t)
		delivered := 0
		for _, end := range all {
			for split := 0; split <= len(end)+1; split++ {
				if after != "" {
					c.envelope()
					c.write("BDAT 7 LAST\r\na: b\r\n.")
					c.want("250 2.2.0 ")
					delivered++
				}
				c.envelope()
				c.cmd("DATA", "354 ")
				const start = "Subject: x\r\n\r\nx"
				c.send(start, start+end+smuggled, split)
				if got := c.reply(); !strings.HasPrefix(got, "500 5.5.2 ") {
					t.Fatalf("%q, split at %d: got %q", end, split, got)
				}
				c.cmd("NOOP", "250 ")
				c.cmd("DATA", "503 ")
				if l := ts.fake.messages(); len(l) != delivered {
					t.Fatalf("%q, split at %d: delivered %q", end, split, l[len(l)-1].content)
				}
				if after == "" {
					c.cmd("RSET", "250 ") // Nothing is accepted that would forgive errors.
				}
			}
		}
	}
}

// TestStuffedDotsAreNoEnd sends dots that are doubled, or have something else on their
// line. If that is accepted, it is one message, with all that follows them.
func TestStuffedDotsAreNoEnd(t *testing.T) {
	t.Parallel()
	ts, c := smugglingClient(t)
	delivered := 0
	for _, end := range stuffed() {
		for split := 0; split <= len(end)+1; split++ {
			c.envelope()
			c.cmd("DATA", "354 ")
			const start = "Subject: x\r\n\r\nx"
			c.send(start, start+end+smuggled, split)
			got := c.reply()
			accepted := strings.HasPrefix(got, "250 2.2.0 ")
			if bareCR := strings.Contains(strings.ReplaceAll(end, "\r\n", ""), "\r"); bareCR && accepted || !accepted && !strings.HasPrefix(got, "500 5.5.2 ") {
				t.Fatalf("%q: got %q", end, got)
			}
			if accepted {
				delivered++
			}
			c.cmd("NOOP", "250 ")
			l := ts.fake.messages()
			if len(l) != delivered || accepted && (l[delivered-1].rcpt != "ann@example.org" || !strings.HasSuffix(l[delivered-1].content, strings.TrimSuffix(smuggled, ".\r\n"))) {
				t.Fatalf("%q: %d messages instead of %d: %q", end, len(l), delivered, l)
			}
		}
	}
	if delivered < 100 {
		t.Errorf("only %d were accepted", delivered)
	}
}

// TestNothingInAChunkIsExecuted sends look-alikes, with commands after them, in chunks.
// Octets are counted, so nothing in a chunk is an end or a command, however it is split
// over chunks and packets; what is not lines is refused unless BODY=BINARYMIME allows it.
func TestNothingInAChunkIsExecuted(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"8BITMIME", "BINARYMIME"} {
		ts, c := smugglingClient(t)
		delivered := 0
		for _, end := range append(lookAlikes(), "\r\n.\r\n", "\r\n..\r\n") {
			for _, evil := range []string{smuggled, smuggledBDAT} {
				content := "Subject: x\r\n\r\nx" + end + evil
				for at := len(content) - len(evil) - len(end); at <= len(content)-len(evil); at++ {
					c.cmd("MAIL FROM:<a@elsewhere.example> BODY="+body, "250 ")
					c.cmd("RCPT TO:<ann@example.org>", "250 ")
					c.write("BDAT %d\r\n%s", at, content[:at])
					first := c.reply()
					c.write("BDAT %d LAST\r\n%s", len(content)-at, content[at:])
					got := c.reply()
					lines := !strings.ContainsAny(strings.ReplaceAll(content, "\r\n", ""), "\r\n")
					switch {
					case lines || body == "BINARYMIME":
						delivered++
						if !strings.HasPrefix(got, "250 2.2.0 ") {
							t.Fatalf("%q: got %q", end, got)
						}
					case !strings.HasPrefix(got, "500 5.5.2 ") && !(strings.HasPrefix(first, "500 5.5.2 ") && strings.HasPrefix(got, "503 ")):
						t.Fatalf("%q: got %q, %q", end, first, got)
					}
					c.cmd("NOOP", "250 ")
					l := ts.fake.messages()
					if len(l) != delivered || delivered > 0 && (l[delivered-1].rcpt != "ann@example.org") || lines && l[delivered-1].content != content {
						t.Fatalf("%q: %d messages instead of %d: %s", end, len(l), delivered, fmt.Sprintf("%q", l))
					}
					if delivered == 0 {
						c.cmd("RSET", "250 ")
					}
				}
			}
		}
	}
}
