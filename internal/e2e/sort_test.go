package e2e

import (
	"bytes"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/imap"
	"mox/imapclient"
	"mox/internal/testkit/peers"
)

// sortCriteria are orders that are compared.
var sortCriteria = []string{
	"ARRIVAL", "REVERSE ARRIVAL", "SIZE", "DATE", "REVERSE DATE", "SUBJECT", "SUBJECT REVERSE DATE", "REVERSE FROM", "TO", "CC ARRIVAL", "DISPLAYFROM", "REVERSE DISPLAYTO SIZE",
}

// TestSortAndThreadAsDovecot gives real mail to mox and to Dovecot, and compares the order of
// SORT and the trees of THREAD. Mail with header fields that are not as RFC 5322 has them is
// left out: what a date like "29 Jul 01 11:30:41 PM" or an address like "a@b@c" means is not
// defined.
func TestSortAndThreadAsDovecot(t *testing.T) {
	t.Parallel()
	_, peer := dovecot(t, peers.DovecotOptions{})
	s := localserve(t, options{loglevel: "error", edit: tolerant})
	own := s.inbox()
	letters := append(readSpam(t), readMail(t)...)
	total := len(letters)
	letters = slices.DeleteFunc(letters, func(l letter) bool { return !wellFormed(l.data) })
	t.Logf("%d of %d messages", len(letters), total)
	if len(letters) < 5000 {
		t.Fatal("these are too few")
	}
	for _, c := range []*imapclient.Client{own, peer} {
		appendLetters(t, c, letters)
	}
	ctx := testContext(t)
	all := imap.SearchProgram{}
	for _, text := range sortCriteria {
		var criteria []imap.SortCriterion
		for w := range strings.FieldsSeq(text) {
			if w != "REVERSE" {
				criteria = append(criteria, imap.SortCriterion{Key: imap.SortKey(w), Reverse: strings.Contains(text, "REVERSE "+w)})
			}
		}
		got, err := own.Sort(ctx, imapclient.UID, criteria, all, imapclient.SearchOptions{})
		check(t, err)
		want, err := peer.Sort(ctx, imapclient.UID, criteria, all, imapclient.SearchOptions{})
		check(t, err)
		if len(got.Nums) != len(letters) {
			t.Fatalf("%s: %d of %d messages", text, len(got.Nums), len(letters))
		}
		for _, uid := range movedNums(got.Nums, want.Nums) {
			t.Errorf("SORT (%s): %s comes after another one", text, letters[uid-1].name)
		}
	}
	for _, a := range []imap.ThreadAlgorithm{imap.ThreadReferences, imap.ThreadOrderedSubject} {
		got, _, err := own.Thread(ctx, imapclient.UID, a, all)
		check(t, err)
		want, _, err := peer.Thread(ctx, imapclient.UID, a, all)
		check(t, err)
		g, w := threadSet(got), threadSet(want)
		for tree := range g {
			if !w[tree] {
				t.Errorf("THREAD %s: %s is only here", a, tree)
			}
		}
		for tree := range w {
			if !g[tree] {
				t.Errorf("THREAD %s: %s is only there", a, tree)
			}
		}
		t.Logf("THREAD %s: %d trees", a, len(got))
	}
}

// wellFormed reports whether the fields that messages are sorted and threaded by are as RFC
// 5322 §3 has them.
func wellFormed(data []byte) bool {
	header, _, _ := bytes.Cut(data, []byte("\r\n\r\n"))
	notASCII := bytes.ContainsFunc(header, func(r rune) bool { return r == 0 || r >= 0x80 })
	// Names with a space at the end, or of nothing else, are compared without it here.
	space := bytes.Contains(header, []byte(` " <`)) || bytes.Contains(header, []byte(`"" <`))
	// Encoded words must not be in addresses (RFC 2047 §5), and are decoded there here.
	encoded := bytes.Contains(header, []byte("?=@"))
	if notASCII || space || encoded || bareCR.Match(data) {
		return false
	}
	m, err := mail.ReadMessage(bytes.NewReader(data))
	if err != nil || len(m.Header["Date"]) != 1 || len(m.Header["Subject"]) > 1 {
		return false
	}
	if d, err := m.Header.Date(); err != nil || d.Year() < 1970 || d.Year() > 2037 {
		return false
	}
	for _, name := range []string{"From", "To", "Cc"} {
		if l := m.Header[name]; len(l) > 1 {
			return false
		} else if _, err := m.Header.AddressList(name); len(l) == 1 && err != nil {
			return false
		}
	}
	return true
}

// appendLetters appends letters to the inbox, each with a date of its own.
func appendLetters(t *testing.T, c *imapclient.Client, letters []letter) {
	t.Helper()
	ctx := testContext(t)
	for i := 0; i < len(letters); i += 100 {
		var l []imapclient.Message
		for j := i; j < min(i+100, len(letters)); j++ {
			date := time.Unix(1700000000+int64(j*7919%100_000), 0).UTC()
			l = append(l, imapclient.Message{Date: date, Size: int64(len(letters[j].data)), Data: bytes.NewReader(letters[j].data)})
		}
		if _, _, err := c.Append(ctx, "INBOX", l...); err != nil {
			t.Fatalf("append: %v", err)
		}
	}
}

// movedNums returns numbers whose neighbours before them are others in the two orders.
func movedNums(a, b []uint32) (moved []uint32) {
	before := map[uint32]uint32{}
	last := uint32(0)
	for _, n := range a {
		before[n] = last
		last = n
	}
	last = 0
	for _, n := range b {
		if before[n] != last {
			moved = append(moved, n)
		}
		last = n
	}
	return moved
}

// threadSet returns threads as text.
func threadSet(l imapclient.Threads) map[string]bool {
	set := map[string]bool{}
	for _, th := range l {
		set[fmt.Sprint(th)] = true
	}
	return set
}
