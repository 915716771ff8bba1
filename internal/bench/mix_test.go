package bench

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"mime"
	"strings"
	"testing"
	"time"

	"mox/message"
)

// unreadEach is of how many messages one is unread.
const unreadEach = 50

// A mixed message is one of a usual mailbox.
type mixed struct {
	text     string // With CRLF.
	flags    string // With spaces between.
	received time.Time
}

// serial stands at the start of each Message-ID, for [stamp] to write a number over.
const serial = "000000000000"

// stamp makes a message that is sent again another one.
func stamp(message []byte, n int64) {
	i := bytes.Index(message, []byte("Message-ID: <"+serial[:1])) + len("Message-ID: <")
	for j := len(serial) - 1; j >= 0; j-- {
		message[i+j] = byte('0' + n%10)
		n /= 10
	}
}

// What subjects, names and texts are made of.
var (
	words    = strings.Fields("the report of last week has been sent to all members who asked for it and will be discussed in our next meeting on thursday morning please have a look at the budget before then and tell me if anything is missing thanks")
	projects = strings.Fields("harbour bridge library archive orchard railway museum theatre station market garden observatory")
	given    = strings.Fields("Anna Bram Carla Daan Eva Frank Greta Hugo Ines Jonas Klara Lars Mia Noor Otto Petra")
	family   = strings.Fields("Jansen Visser Bakker Smit Meyer Weber Fischer Larsen Moreau Rossi Silva Novak")
)

// mix returns the n-th message of a mailbox: about 4 KB, an alternative of text and
// HTML. It is the same each time.
func mix(n int) mixed {
	rnd := rand.New(rand.NewPCG(1, uint64(n)))
	pick := func(l []string) string { return l[rnd.IntN(len(l))] }
	received := time.Unix(1_700_000_000+int64(n)*300, 0).UTC()
	from := rnd.IntN(2_000)
	name := given[from%len(given)] + " " + family[from%len(family)]
	subject := fmt.Sprintf("%s of the %s project, part %d", pick([]string{"Report", "Minutes", "Budget", "Plan", "Invoice"}), pick(projects), rnd.IntN(10_000))
	switch rnd.IntN(10) {
	case 0:
		subject = mime.QEncoding.Encode("utf-8", "Überblick: "+subject)
	case 1, 2, 3:
		subject = "Re: " + subject
	}
	text := body(rnd, 1_300)
	html := "<html><head><title>" + pick(projects) + "</title></head><body>\r\n<p>" + strings.ReplaceAll(text, "\r\n", "</p>\r\n<p>") + "</p></body></html>\r\n"
	date := received.Format(time.RFC1123Z)
	var b strings.Builder
	fmt.Fprintf(&b, "Return-Path: <sender%d@example.org>\r\n", from)
	fmt.Fprintf(&b, "Received: from mail%d.example.org (mail%d.example.org [192.0.2.%d])\r\n\tby mx.mox.example with ESMTPS id %x\r\n\tfor <mox@localhost>; %s\r\n", from%7, from%7, from%250, rnd.Uint64(), date)
	fmt.Fprintf(&b, "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=2026;\r\n\th=from:to:subject:date:message-id; bh=%x;\r\n\tb=%x%x%x%x\r\n", rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64(), rnd.Uint64())
	fmt.Fprintf(&b, "From: %q <sender%d@example.org>\r\nTo: \"Mox\" <mox@localhost>\r\n", name, from)
	if n%3 == 0 {
		fmt.Fprintf(&b, "Cc: list%d@lists.example.net, %s <%s@example.com>\r\n", n%20, pick(family), strings.ToLower(pick(given)))
	}
	fmt.Fprintf(&b, "Subject: %s\r\nDate: %s\r\nMessage-ID: <%s.%x.%d@example.org>\r\n", subject, date, serial, rnd.Uint64(), n)
	if n%2 == 0 {
		fmt.Fprintf(&b, "In-Reply-To: <%d@mox.example>\r\nReferences: <%d@mox.example> <%d@mox.example>\r\n", n/5, n/25, n/5)
	}
	fmt.Fprintf(&b, "MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary=\"part-%x\"\r\n\r\n", n)
	fmt.Fprintf(&b, "--part-%x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n%s\r\n", n, text)
	fmt.Fprintf(&b, "--part-%x\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\n%s\r\n--part-%x--\r\n", n, html, n)
	m := mixed{text: b.String(), received: received}
	var flags []string
	if n%unreadEach != 0 {
		flags = append(flags, `\Seen`)
	}
	if rnd.IntN(20) == 0 {
		flags = append(flags, `\Flagged`)
	}
	if n%unreadEach != 0 && rnd.IntN(5) == 0 {
		flags = append(flags, `\Answered`)
	}
	m.flags = strings.Join(flags, " ")
	return m
}

// body returns lines of words.
func body(rnd *rand.Rand, size int) string {
	var b strings.Builder
	for line := 0; b.Len() < size; {
		w := words[rnd.IntN(len(words))]
		b.WriteString(w)
		if line += len(w) + 1; line > 68 {
			b.WriteString("\r\n")
			line = 0
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func TestMessagesOfTheMixAreOfAUsualKind(t *testing.T) {
	t.Parallel()
	var total int
	const n = 400
	subjects := map[string]bool{}
	for i := range n {
		m := mix(i)
		if mix(i) != m {
			t.Fatalf("message %d is not the same each time", i)
		}
		total += len(m.text)
		r := strings.NewReader(m.text)
		p, err := message.Parse(r, r.Size(), message.Limits{})
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if len(p.Parts) != 2 {
			t.Errorf("message %d has %d parts", i, len(p.Parts))
		}
		_, subject, _ := strings.Cut(m.text, "\r\nSubject: ")
		subject, _, _ = strings.Cut(subject, "\r\n")
		subjects[subject] = true
	}
	if avg := total / n; avg < 3_600 || avg > 4_500 {
		t.Errorf("messages are of %d octets", avg)
	}
	if len(subjects) < n*9/10 {
		t.Errorf("only %d of %d subjects differ", len(subjects), n)
	}
}
