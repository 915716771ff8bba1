package cli

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// talk sends lines over SMTP, and waits for a reply to each, which must begin with the
// code in front of the line.
func talk(t *testing.T, addr string, lines ...string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	expect := func(code, line string) {
		t.Helper()
		for {
			s, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("after %q: %v", line, err)
			}
			if len(s) > 3 && s[3] == '-' {
				continue
			}
			if !strings.HasPrefix(s, code) {
				t.Fatalf("reply to %q is %q", line, s)
			}
			return
		}
	}
	expect("220", "connection")
	for _, l := range lines {
		code, line, _ := strings.Cut(l, " ")
		if _, err := fmt.Fprintf(c, "%s\r\n", line); err != nil {
			t.Fatal(err)
		}
		expect(code, line)
	}
}

// wantOrder checks that texts are in the output one after the other.
func (r result) wantOrder(t *testing.T, texts ...string) {
	t.Helper()
	at := 0
	for _, s := range texts {
		i := strings.Index(r.out[at:], s)
		if i < 0 {
			t.Fatalf("no %q, in this order, in %d %s %s", s, r.code, r.err, r.out)
		}
		at += i + len(s)
	}
}

func TestTracePrintsTheStepsOfMessages(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	p, addrs := localserve(t, dir)
	run := func(args ...string) result {
		t.Helper()
		return mox(t, "", append([]string{"-config", filepath.Join(dir, "mox.conf")}, args...)...)
	}
	run("trace").want(t, 1, "", "no message is known")
	run("trace", "x@y").want(t, 1, "", `nothing is known of a message with Message-ID, address or queue id "x@y"`)

	// From elsewhere.
	talk(t, addrs["smtp"], "250 EHLO mail.remote.example", "250 MAIL FROM:<bob@remote.example>", "250 RCPT TO:<mox@localhost>", "354 DATA",
		"250 From: <bob@remote.example>\r\nMessage-ID: <In@Remote.Example>\r\nSubject: secret\r\n\r\nsecret\r\n.", "221 QUIT")
	in := run("trace", "<in@remote.example>")
	in.wantOrder(t, " <in@remote.example>\n", "  +0.000s  received   by smtp, from mail.remote.example (127.0.0.1)", "from <bob@remote.example>", " bytes, id ", "cid ",
		"  verdict    <mox@localhost>, accepted, account mox, reason ", "  delivered  <mox@localhost>, ok, account mox, mailbox Inbox, message M")
	if strings.Contains(in.out, "secret") {
		t.Errorf("more than the envelope: %s", in.out)
	}

	// From here to here.
	plain := base64.StdEncoding.EncodeToString([]byte("\x00mox@localhost\x00moxmoxmox"))
	talk(t, addrs["submission"], "250 EHLO localhost", "235 AUTH PLAIN "+plain, "250 MAIL FROM:<mox@localhost>", "250 RCPT TO:<other@localhost>", "250 RCPT TO:<queue550@localhost>", "354 DATA",
		"250 From: <mox@localhost>\r\nMessage-ID: <out@localhost>\r\n\r\nhello\r\n.", "221 QUIT")
	eventually(t, "notified", func() result { return run("trace", "queue550@localhost") })
	eventually(t, "attempt 1, transport local", func() result { return run("trace", "other@localhost") })
	out := run("trace", "out@localhost")
	out.wantOrder(t, "<out@localhost>", "received   by submission, ", "account mox", "queued     <other@localhost>, queue id ", "queued     <queue550@localhost>, queue id ")
	out.wantOrder(t, "received", "delivered  <other@localhost>, ok, account mox, mailbox Inbox", "attempt    <other@localhost>, ok, queue id ", "attempt 1, transport local", "250 2.0.0", "took 0.")
	out.wantOrder(t, "received", "attempt    <queue550@localhost>, failed", "550 5.0.0 failure simulated", "notified   <queue550@localhost>", "mailbox Inbox, reason failed")
	id := regexp.MustCompile(`<other@localhost>, queue id ([0-9]+)`).FindStringSubmatch(out.out)
	if r := run("trace", id[1]); r.out != out.out {
		t.Errorf("by the id in the queue %q: %+v", id[1], r)
	}

	// Refused.
	talk(t, addrs["submission"], "250 EHLO localhost", "235 AUTH PLAIN "+plain, "250 MAIL FROM:<mox@localhost>", "250 RCPT TO:<refused@localhost>", "354 DATA",
		"550 From: <eve@elsewhere.example>\r\nMessage-ID: <bad@localhost>\r\n\r\nhello\r\n.", "221 QUIT")
	run("trace", "refused@localhost").wantOrder(t, "<bad@localhost>", "received", "refused    <refused@localhost>, from <mox@localhost>, 550 5.7.1 address in From")

	mox(t, "Message-ID: <file@localhost>\n\nhello\n", "-config", filepath.Join(dir, "mox.conf"), "deliver", "mox@localhost").want(t, 0, "message delivered\n", "")
	run("trace", "file@localhost").wantOrder(t, "received   by control socket", "verdict    <mox@localhost>, accepted", "delivered  <mox@localhost>, ok")

	all := run("trace")
	all.wantOrder(t, "<file@localhost>", "<bad@localhost>", "<out@localhost>", "<in@remote.example>")
	run("trace", "-n", "1").wantOrder(t, "<file@localhost>")
	if r := run("trace", "-n", "1"); strings.Contains(r.out, "<bad@localhost>") {
		t.Errorf("more than one: %s", r.out)
	}
	run("trace", "-since", "1h", "bob@remote.example").want(t, 0, "<in@remote.example>", "")
	run("trace", "-since", "2100-01-01").want(t, 1, "", "no message is known since 2100-01-01T00:00:00Z")
	run("trace", "-since", "soon").want(t, 2, "", `"soon" is neither a duration nor a time`)
	run("trace", "-n", "0").want(t, 2, "", "flag -n: must be from 1 to")
	run("trace", "a@b", "c@d").want(t, 2, "", "usage")

	run("stop").want(t, 0, "stopped", "")
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
	if r := run("trace"); r.out != all.out {
		t.Errorf("without a server: %+v", r)
	}
	run("verifydata").want(t, 0, "1 accounts", "")
}
