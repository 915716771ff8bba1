package search

import (
	"context"
	"fmt"
	"math/rand/v2"
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
	head := "From: ann@example.org\r\nSubject: " + subject + "\r\nX-Number: " + fmt.Sprint(r.IntN(30)) + "\r\n"
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
		for range 60 {
			words := []rune(randomWords(r, 1+r.IntN(3)))
			start := r.IntN(len(words) + 1)
			some := string(words[start:min(len(words), start+1+r.IntN(8))])
			leaves := []imap.SearchKey{
				text(imap.SearchText, some), text(imap.SearchBody, some), text(imap.SearchText, "subject: t"), text(imap.SearchBody, "検索.PDF"),
				flag(imap.FlagSeen), text(imap.SearchSubject, "e"), header("X-Number", "1"), text(imap.SearchBody, "inner"), text(imap.SearchText, "hidden"),
			}
			key := randomKey(r, leaves, 3)
			want, _ := m.runTexts(t, key, nil, false)
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
		m.add(newMessage{data: fmt.Sprintf("Subject: number %d\r\n\r\ncommon words, and rare%d\r\n", i, i), received: now})
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
	} {
		found, files := m.runTexts(t, c.key, x, false)
		if len(found) != c.found || files > late {
			t.Errorf("%s %q: %d found instead of %d, %d files read for %d messages that are not indexed", c.key.Op, c.key.Text, len(found), c.found, files, late)
		}
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
