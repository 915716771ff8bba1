package transfer

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"mox/imap"
	"mox/imapclient"
)

// gmail is a server that behaves as Gmail does: a message has an id and labels, and is in
// the mailbox of each, and in the one with all mail.
type gmail struct {
	t      *testing.T
	mech   string // Of SASL.
	tokens []string

	mu      sync.Mutex // Guards what follows.
	mail    []*gmailMessage
	next    uint32
	fetched int // Bodies.
}

type gmailMessage struct {
	id     uint64
	labels map[string]uint32 // UIDs by mailbox.
	text   string
}

// gmailBoxes are mailboxes, with attributes, and their labels.
var gmailBoxes = []struct{ name, attrs, label string }{
	{"INBOX", `\HasNoChildren`, `\Inbox`},
	{"Work", `\HasNoChildren`, "Work"},
	{"[Gmail]", `\HasChildren \Noselect`, ""},
	{"[Gmail]/All Mail", `\All \HasNoChildren`, ""},
	{"[Gmail]/Gesendet", `\Sent \HasNoChildren`, `\Sent`},
	{"[Gmail]/Starred", `\Flagged \HasNoChildren`, `\Starred`},
	{"[Gmail]/Important", `\Important \HasNoChildren`, `\Important`},
}

func (g *gmail) add(text string, labels ...string) *gmailMessage {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &gmailMessage{id: 1278455344230334865 + uint64(len(g.mail)), labels: map[string]uint32{}, text: text}
	for _, b := range gmailBoxes {
		if b.name == "[Gmail]/All Mail" || slices.Contains(labels, b.label) {
			g.next++
			m.labels[b.name] = g.next
		}
	}
	g.mail = append(g.mail, m)
	return m
}

func (g *gmail) listen() (port int) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	tcheck(g.t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { g.serve(nc) })
		}
	})
	g.t.Cleanup(func() { _ = ln.Close(); wg.Wait() })
	return ln.Addr().(*net.TCPAddr).Port
}

func (g *gmail) serve(nc net.Conn) {
	defer nc.Close()
	br := bufio.NewReader(nc)
	fmt.Fprint(nc, "* OK Gimap ready\r\n")
	selected := ""
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return
		}
		tag, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		cmd, args, _ := strings.Cut(rest, " ")
		out, result := "", "OK done"
		switch strings.ToUpper(cmd) {
		case "CAPABILITY":
			out = "* CAPABILITY IMAP4rev1 UNSELECT NAMESPACE X-GM-EXT-1 SASL-IR SPECIAL-USE AUTH=" + g.mech + " LIST-EXTENDED\r\n"
		case "AUTHENTICATE":
			if !g.login(args) {
				fmt.Fprintf(nc, "+ %s\r\n", base64.StdEncoding.EncodeToString([]byte(`{"status":"400"}`)))
				if _, err := br.ReadString('\n'); err != nil {
					return
				}
				result = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)"
			}
		case "NAMESPACE":
			out = "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n"
		case "LIST":
			for _, b := range gmailBoxes {
				out += fmt.Sprintf("* LIST (%s) \"/\" \"%s\"\r\n", b.attrs, b.name)
			}
		case "EXAMINE":
			if selected = strings.Trim(args, `"`); strings.EqualFold(selected, "INBOX") {
				selected = "INBOX"
			}
			out = fmt.Sprintf("* %d EXISTS\r\n* OK [UIDVALIDITY 1] UIDs valid.\r\n* OK [UIDNEXT 1000] next\r\n", len(g.in(selected)))
		case "UID":
			out, result = g.fetch(selected, strings.TrimPrefix(args, "FETCH "))
		case "LOGOUT":
			out = "* BYE bye\r\n"
		default:
			result = "BAD unknown command " + cmd
		}
		if _, err := fmt.Fprintf(nc, "%s%s %s\r\n", out, tag, result); err != nil {
			return
		}
	}
}

// login checks a token, of which each is good once.
func (g *gmail) login(args string) bool {
	mech, ir, _ := strings.Cut(args, " ")
	b, err := base64.StdEncoding.DecodeString(ir)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil || mech != g.mech || len(g.tokens) == 0 {
		return false
	}
	token := g.tokens[0]
	g.tokens = g.tokens[1:]
	return strings.Contains(string(b), "\x01auth=Bearer "+token+"\x01\x01") && strings.Contains(string(b), "ann@gmail.example")
}

// in returns the messages of a mailbox by UID.
func (g *gmail) in(mailbox string) (l []*gmailMessage) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.mail {
		if m.labels[mailbox] != 0 {
			l = append(l, m)
		}
	}
	slices.SortFunc(l, func(a, b *gmailMessage) int { return int(a.labels[mailbox]) - int(b.labels[mailbox]) })
	return l
}

// fetch answers UID FETCH. The label of the mailbox itself is not told.
func (g *gmail) fetch(mailbox, args string) (out, result string) {
	set, items, _ := strings.Cut(args, " ")
	uids, err := imap.ParseNumSet(set, 1000)
	if err != nil {
		return "", "BAD " + err.Error()
	}
	for seq, m := range g.in(mailbox) {
		if !uids.Resolve(1 << 30).Contains(m.labels[mailbox]) {
			continue
		}
		out += fmt.Sprintf("* %d FETCH (UID %d", seq+1, m.labels[mailbox])
		if strings.Contains(items, "X-GM-MSGID X-GM-LABELS") {
			var labels []string
			for _, b := range gmailBoxes {
				if m.labels[b.name] != 0 && b.label != "" && b.name != mailbox {
					labels = append(labels, `"`+strings.ReplaceAll(b.label, `\`, `\\`)+`"`)
				}
			}
			out += fmt.Sprintf(" X-GM-MSGID %d X-GM-LABELS (%s)", m.id, strings.Join(labels, " "))
		}
		out += ` FLAGS (\Seen)`
		if strings.Contains(items, "BODY.PEEK[]") {
			g.mu.Lock()
			g.fetched++
			text := m.text
			g.mu.Unlock()
			if text == "broken" {
				return "", "NO cannot be read"
			}
			out += fmt.Sprintf(" INTERNALDATE \"09-Sep-2001 01:46:40 +0000\" BODY[] {%d}\r\n%s", len(text), text)
		}
		out += ")\r\n"
	}
	return out, "OK Success"
}

// TestMailOfGmailIsNotDoubled copies with a token, for both mechanisms, and again after
// messages were archived and labelled.
func TestMailOfGmailIsNotDoubled(t *testing.T) {
	t.Parallel()
	for _, mech := range []string{"XOAUTH2", "OAUTHBEARER"} {
		t.Run(mech, func(t *testing.T) {
			t.Parallel()
			g := &gmail{t: t, mech: mech, tokens: []string{"t1", "t2", "t3"}}
			const a, b, c, d = "Subject: a\r\n\r\n", "Subject: b\r\n\r\n", "Subject: c\r\n\r\n", "Subject: d\r\n\r\n"
			inbox := g.add(a, `\Inbox`, "Work", `\Starred`, `\Important`)
			g.add(b, `\Important`)
			g.add(c, `\Sent`)
			n := 0
			o := PullOptions{Host: "127.0.0.1", Port: g.listen(), TLS: TLSNone, Login: "ann@gmail.example", Token: true}
			o.Secret = func(context.Context) (string, error) { n++; return fmt.Sprintf("t%d", n), nil }
			o.Progress = func(s string) { t.Log(s) }
			w := newWorld(t)
			w.pull(o, PullResult{Copied: 4, Connections: 1})
			const date = " [\\Seen] 1000000000 "
			wantContent(t, w.a, fmt.Sprintf("Inbox%s%q", date, a), fmt.Sprintf("Work%s%q", date, a), fmt.Sprintf("Archive%s%q", date, b), fmt.Sprintf("Sent%s%q", date, c))
			if g.fetched != 3 {
				t.Errorf("%d bodies were fetched", g.fetched)
			}
			// The message leaves all its mailboxes: it is in the archive then.
			g.mu.Lock()
			delete(inbox.labels, "INBOX")
			delete(inbox.labels, "Work")
			g.mu.Unlock()
			g.add(d, "Work")
			w.pull(o, PullResult{Copied: 2, Deleted: 2, Connections: 1})
			wantContent(t, w.a, fmt.Sprintf("Archive%s%q", date, a), fmt.Sprintf("Archive%s%q", date, b), fmt.Sprintf("Sent%s%q", date, c), fmt.Sprintf("Work%s%q", date, d))
			w.pull(o, PullResult{Connections: 1})
			// A token that is not good is not tried again.
			res, err := w.Pull(ctx, w.a, o)
			if err == nil || res.Connections != 1 || !strings.Contains(err.Error(), "status") {
				t.Errorf("result %+v, %v", res, err)
			}
			o.Secret = func(context.Context) (string, error) { return "", errors.New("no token today") }
			if _, err := w.Pull(ctx, w.a, o); err == nil || !strings.Contains(err.Error(), "no token today") {
				t.Errorf("error %v", err)
			}
		})
	}
}

// TestMessagesThatAreNotGivenOutDoNotStopTheOthers has one that can be had the next time.
func TestMessagesThatAreNotGivenOutDoNotStopTheOthers(t *testing.T) {
	t.Parallel()
	g := &gmail{t: t, mech: "XOAUTH2", tokens: []string{"t", "t"}}
	g.add("Subject: a\r\n\r\n", `\Inbox`)
	broken := g.add("broken", `\Inbox`)
	g.add("Subject: c\r\n\r\n", `\Inbox`)
	o := PullOptions{Host: "127.0.0.1", Port: g.listen(), TLS: TLSNone, Login: "ann@gmail.example", Token: true}
	o.Secret = func(context.Context) (string, error) { return "t", nil }
	w := newWorld(t)
	w.pull(o, PullResult{Copied: 2, Skipped: 1, Connections: 1})
	g.mu.Lock()
	broken.text = "Subject: b\r\n\r\n"
	g.mu.Unlock()
	w.pull(o, PullResult{Copied: 1, Connections: 1})
	if l := content(t, w.a); len(l) != 3 {
		t.Errorf("%d messages", len(l))
	}
}

// TestANewUIDValidityIsNoNewMail has another server lose its UIDs.
func TestANewUIDValidityIsNoNewMail(t *testing.T) {
	t.Parallel()
	port := startDovecot(t, "")
	c := other(t, port)
	fill(t, c, "INBOX", 0, 60)
	w := newWorld(t)
	w.pull(pullOptions(t, port, 0, 0), PullResult{Copied: 60, Connections: 1})
	before := content(t, w.a)
	// As if it had been another one: ours is noted, and theirs is known.
	p := &puller{t: w.Transfers, a: w.a, opts: pullOptions(t, port, 0, 0)}
	p.key = pullKey(p.opts)
	x, err := p.open(ctx, remoteBox{name: imap.Inbox, local: imap.Inbox})
	tcheck(t, err)
	x.state.UIDValidity++
	for i := range x.known {
		x.known[i].remote += 1000
	}
	x.dirty[0] = true
	tcheck(t, w.a.Update(ctx, x.save))
	_, err = c.Select(ctx, "INBOX", imapclient.SelectOptions{})
	tcheck(t, err)
	_, _, err = c.Store(ctx, imapclient.UID, imap.NewRanges[uint32](7).NumSet(), "+FLAGS", []string{`\Deleted`}, imapclient.StoreOptions{})
	tcheck(t, err)
	_, err = c.Expunge(ctx)
	tcheck(t, err)
	w.pull(pullOptions(t, port, 0, 0), PullResult{Deleted: 1, Connections: 1})
	if after := content(t, w.a); len(after) != 59 {
		t.Errorf("%d messages, %d before", len(after), len(before))
	}
	w.pull(pullOptions(t, port, 0, 0), PullResult{Connections: 1})
}
