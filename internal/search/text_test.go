package search

import (
	"context"
	"fmt"
	"math/rand/v2"
	"mime"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/imap"
	"mox/internal/fts"
	"mox/internal/search/textindex"
)

// indexed returns a mailbox with an indexer that works when it is told to.
func indexed(t testing.TB) (*mailbox, *textindex.Indexer) {
	t.Helper()
	m := newMailbox(t)
	x := textindex.New(textindex.Options{Store: m.store, Dir: m.dir, Delay: time.Hour})
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		problems, err := textindex.Verify(context.Background(), m.dir)
		if err != nil || len(problems) > 0 {
			t.Errorf("verify: %v %v", err, problems)
		}
	})
	return m, x
}

// runTexts returns what a key finds, with the index or without, and how many files were read.
func (m *mailbox) runTexts(t testing.TB, key imap.SearchKey, x *textindex.Indexer, descending bool) (l []int, files int) {
	t.Helper()
	ctx := context.Background()
	index, err := m.Index(ctx, m.id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(&key, Scope{Index: index, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Descending: descending}
	if x != nil {
		opts.Texts = x.Reader(ctx, m.Account)
		defer opts.Texts.Close()
		opts.Keys, opts.Mailbox = m.keys, Mailbox{Mail: m, Owner: m.Account, Index: index, Texts: opts.Texts}
	}
	m.files = 0
	if err := p.Run(ctx, m, opts, func(pos int) bool { l = append(l, pos); return true }); err != nil {
		t.Fatal(err)
	}
	return l, m.files
}

// notIndexed returns how many messages the index does not have.
func (m *mailbox) notIndexed(t testing.TB, x *textindex.Indexer) (n int) {
	t.Helper()
	ctx := context.Background()
	index, err := m.Index(ctx, m.id)
	if err != nil {
		t.Fatal(err)
	}
	r := x.Reader(ctx, m.Account)
	defer r.Close()
	s := r.Search(ctx, []fts.Pattern{{Text: []byte("x")}})
	for pos := range index.Len() {
		if s.May(0, index.At(pos).ContentID) == fts.Unknown {
			n++
		}
	}
	return n
}

// scripts are words that differ in case and form, and have several octets a character.
var scripts = []string{
	"the", "Meeting", "STRASSE", "straße", "Σίσυφος", "ΣΊΣΥΦΟΣ", "İstanbul", "ısı", "\u212Aelvin", "naïve", "nai\u0308ve", "東京都", "検索", "🙂👍", "x", "данные", "ДАННЫЕ", "a-b", "foo bar",
}

func randomWords(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		if r.IntN(6) == 0 {
			fmt.Fprintf(&b, "%x", r.Uint32())
		} else {
			b.WriteString(scripts[r.IntN(len(scripts))])
		}
		b.WriteString([]string{" ", "\r\n", ""}[r.IntN(3)])
	}
	return b.String()
}

// randomMessage has parts of several kinds.
func randomMessage(r *rand.Rand) string {
	utf8 := "Content-Type: text/plain; charset=utf-8\r\n\r\n"
	subject := strings.ReplaceAll(randomWords(r, 3), "\r\n", " ")
	head := fmt.Sprintf("From: \"%s\" <ann%d@example.org>\r\nSubject: %s\r\nX-Number: %d\r\n", []string{"Ann", "=?utf-8?q?=C3=89mile?=", "a\\\"b"}[r.IntN(3)], r.IntN(4), subject, r.IntN(30))
	switch r.IntN(4) {
	case 0:
		head += "X-Words: " + mime.QEncoding.Encode("utf-8", subject) + "\r\nX-number:more\r\nDate: Mon, 7 Feb 1994 23:52:25 -0800\r\n"
	case 1:
		head += "X-Words : " + subject + "\r\n folded =?utf-8?q?a=0Asubject:_b?=\r\nTo: a b <t@x>, g: x@y;\r\nno field\r\nDate: Tue, 8 Feb 1994 23:52:25 +0000\r\n"
	case 2:
		head += "Organization: " + subject + "\r\nX-Words:\r\nOrganization: two\r\nCc: \r\nsubject: second\r\n"
	}
	switch r.IntN(4) {
	case 0:
		return head + utf8 + randomWords(r, r.IntN(50))
	case 1:
		return head + "Content-Type: text/html; charset=utf-8\r\n\r\n<p>" + randomWords(r, 10) + "<b>" + randomWords(r, 3) + "</b><script>hidden</script>"
	case 2:
		return head + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + utf8 + randomWords(r, 5) +
			"\r\n--b\r\nContent-Type: application/pdf; name*=utf-8''%e6%a4%9c%e7%b4%a2.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nbWVldGluZw==\r\n--b\r\n" + utf8 + randomWords(r, 5) + "\r\n--b--\r\n"
	}
	return head + "Content-Type: message/rfc822\r\n\r\nSubject: inner " + subject + "\r\n" + utf8 + randomWords(r, 20)
}

func TestIndexFindsWhatReadingFinds(t *testing.T) {
	t.Parallel()
	m, x := indexed(t)
	r := rand.New(rand.NewPCG(1, 1))
	kept := []*Keys{nil, NewKeys(1 << 20), NewKeys(4000)}
	for round := range 4 {
		var l []newMessage
		for range 30 {
			l = append(l, newMessage{data: randomMessage(r), flags: []string{"", `\Seen`}[r.IntN(2)], received: now})
		}
		m.add(l...)
		if round < 3 { // The last ones are not indexed.
			if err := x.Flush(context.Background(), "mjl"); err != nil {
				t.Fatal(err)
			}
		}
		for range 200 {
			words := []rune(randomWords(r, 1+r.IntN(3)))
			start := r.IntN(len(words) + 1)
			some := string(words[start:min(len(words), start+1+r.IntN(8))])
			leaves := []imap.SearchKey{
				text(imap.SearchText, some), text(imap.SearchBody, some), text(imap.SearchText, "subject: t"), text(imap.SearchBody, "検索.PDF"),
				text(imap.SearchSubject, some), text(imap.SearchFrom, "ann1"), text(imap.SearchFrom, "a\"b\" <"), text(imap.SearchFrom, "É"), text(imap.SearchTo, "b <t"), text(imap.SearchCc, "c"),
				header("X-Words", some), header("x-words", ""), header("X-Words", "subject: b"), header("Subject", some), header("Organization", "two"), header("Organization", ""), header("no field", ""),
				header("Content-Type", "utf-8"), date(imap.SearchSentOn, "7-Feb-1994"), date(imap.SearchSentSince, "8-Feb-1994"), header("X-None", ""), header("X-Number", "more"),
				flag(imap.FlagSeen), text(imap.SearchSubject, "e"), header("X-Number", "1"), text(imap.SearchBody, "inner"), text(imap.SearchText, "hidden"),
			}
			key := randomKey(r, leaves, 3)
			want, _ := m.runTexts(t, key, nil, false)
			m.keys = kept[r.IntN(len(kept))]
			for _, descending := range []bool{false, true} {
				got, _ := m.runTexts(t, key, x, descending)
				if descending {
					slices.Reverse(got)
				}
				if !slices.Equal(got, want) {
					t.Fatalf("key %+v with %q: found %v with the index, %v without", key, some, got, want)
				}
			}
		}
	}
}

func TestIndexedTextsOpenNoFile(t *testing.T) {
	t.Parallel()
	m, x := indexed(t)
	for i := range 300 {
		m.add(newMessage{data: fmt.Sprintf("Subject: number %d\r\nX-Rare: is %d\r\n\r\ncommon words, and rare%d\r\n", i, i, i), received: now})
	}
	if err := x.Flush(context.Background(), "mjl"); err != nil {
		t.Fatal(err)
	}
	m.add(newMessage{data: "Subject: late\r\n\r\nnothing\r\n", received: now})
	late := m.notIndexed(t, x)
	if late < 1 || late > 30 {
		t.Errorf("%d messages are not indexed", late)
	}
	for _, c := range []struct {
		key   imap.SearchKey
		found int
	}{
		{text(imap.SearchText, "RARE17"), 11},
		{text(imap.SearchBody, "common"), 300},
		{text(imap.SearchText, "co"), 300},
		{text(imap.SearchBody, "number"), 0},
		{text(imap.SearchText, "number 299"), 1},
		{neg(text(imap.SearchText, "common")), 1},
		{and(text(imap.SearchText, "common"), text(imap.SearchSubject, "number 3")), 11},
		{header("X-Rare", "is 17"), 11},
		{header("X-Rare", "is"), 300},
		{header("X-Rare", ""), 300},
		{header("X-None", ""), 0},
		{neg(header("X-Rare", "is")), 1},
	} {
		for _, m.keys = range []*Keys{nil, NewKeys(1 << 20)} {
			found, files := m.runTexts(t, c.key, x, false)
			if len(found) != c.found || files > late {
				t.Errorf("%s %q: %d found instead of %d, %d files read for %d messages that are not indexed", c.key.Op, c.key.Text, len(found), c.found, files, late)
			}
		}
	}
}

// Texts are read of all messages once, and then of new ones only, and of those that the
// text index does not have.
func TestTextsOfMessagesAreReadOnce(t *testing.T) {
	t.Parallel()
	m, x := indexed(t)
	m.keys = NewKeys(1 << 20)
	for i := range 200 {
		m.add(newMessage{data: fmt.Sprintf("From: a%d@example.org\r\nX-Rare: is %d\r\n\r\ntext\r\n", i, i), received: now})
	}
	if err := x.Flush(context.Background(), "mjl"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []imap.SearchKey{text(imap.SearchFrom, "a1"), header("X-Rare", "is 1")} {
		m.runTexts(t, key, x, false)
		m.add(newMessage{data: "From: a1@example.org\r\nX-Rare: is 1\r\n\r\ntext\r\n", received: now})
		m.digests = 0
		late := m.notIndexed(t, x)
		if found, _ := m.runTexts(t, key, x, false); len(found) < 111 || len(found) > 113 || late > 30 || m.digests > late+1 {
			t.Errorf("%s: %d found, %d digests read, %d messages are not indexed", key.Op, len(found), m.digests, late)
		}
	}
	// Too few to read all.
	m.keys = NewKeys(1 << 20)
	m.digests = 0
	if found, _ := m.runTexts(t, and(text(imap.SearchFrom, "a1"), set(imap.SearchSeq, "1:9")), x, false); len(found) != 1 || m.digests != 9 {
		t.Errorf("%d found, %d digests read", len(found), m.digests)
	}
}

func TestTextsThatAreTooMuchAreNotKept(t *testing.T) {
	t.Parallel()
	m, x := indexed(t)
	m.keys = NewKeys(10000)
	for i := range 200 {
		m.add(newMessage{data: fmt.Sprintf("From: a%d@%s.example.org\r\n\r\ntext\r\n", i, strings.Repeat("x", 60)), received: now})
	}
	for range 2 {
		if found, _ := m.runTexts(t, text(imap.SearchFrom, "a1"), x, false); len(found) != 111 {
			t.Errorf("%d found", len(found))
		}
	}
	if m.keys.size > m.keys.max {
		t.Errorf("%d bytes are kept", m.keys.size)
	}
}

func TestCanceledSearchEnds(t *testing.T) {
	t.Parallel()
	m, x := indexed(t)
	m.add(newMessage{data: "Subject: a\r\n\r\nword\r\n", received: now})
	if err := x.Flush(context.Background(), "mjl"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	index, err := m.Index(ctx, m.id)
	if err != nil {
		t.Fatal(err)
	}
	key := text(imap.SearchText, "word")
	p, err := Compile(&key, Scope{Index: index, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	r := x.Reader(ctx, m.Account)
	defer r.Close()
	cancel()
	if err := p.Run(ctx, m, Options{Texts: r}, func(int) bool { return true }); err != context.Canceled {
		t.Errorf("error %v", err)
	}
}
