package search

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/imap"
	"mox/message"
	"mox/store"
)

// criteria are those of "REVERSE DATE SUBJECT".
func criteria(s string) (l []imap.SortCriterion) {
	reverse := false
	for w := range strings.FieldsSeq(s) {
		if w == "REVERSE" {
			reverse = true
			continue
		}
		l = append(l, imap.SortCriterion{Key: imap.SortKey(w), Reverse: reverse})
		reverse = false
	}
	return l
}

// sort returns message sequence numbers.
func (m *mailbox) sort(k *Keys, ix *store.Index, by string, positions []int) string {
	m.t.Helper()
	sorted, err := k.Sort(context.Background(), Mailbox{Mail: m, Owner: m.Account, Index: ix}, positions, criteria(by))
	if err != nil {
		m.t.Fatal(err)
	}
	for i := range sorted {
		sorted[i]++
	}
	return strings.Trim(fmt.Sprint(sorted), "[]")
}

var toSort = []newMessage{
	{"From: Zoe <adam@a.example>\nTo: undisclosed: ;\nSubject: Re: banana\nDate: Sat, 21 Nov 2026 10:00:00 +0200\n\n1\n", "", now.Add(3 * time.Hour)},
	{"From: =?utf-8?q?=C3=89mile?= <Bert@b.example>, x@y\nTo: Carl@x\nCc: zz@x\nSubject: [list] apple\nDate: Sat, 21 Nov 2026 09:00:00 +0000\n\n22\n", "", now.Add(2 * time.Hour)},
	{"From: bob@b.example\nTo: =?iso-8859-1?q?=E4rger?= <q@x>\nSubject: =?utf-8?q?_Fwd=3A_Banana?=\n\n333\n", "", now.Add(1 * time.Hour)},
	{"From: \"_x\" <bert@c.example>\nTo: carl@z\nCc: <aa@x>\nDate: Sat, 21 Nov 2026 07:00:00 +0000\n\n" + strings.Repeat("x", 500) + "\n", "", now},
	{"\nnothing\n", "", now.Add(-time.Hour)},
}

func TestMessagesAreSorted(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	m.add(toSort...)
	for by, want := range map[string]string{
		"ARRIVAL":              "5 4 3 2 1",
		"REVERSE ARRIVAL":      "1 2 3 4 5",
		"SIZE":                 "5 3 1 2 4",
		"DATE":                 "4 1 2 5 3", // 5 and 3 by internal date: 11:00 and 13:00.
		"REVERSE DATE":         "3 5 2 1 4",
		"SUBJECT":              "4 5 2 1 3",
		"REVERSE SUBJECT":      "1 3 2 4 5", // What is equal stays in order.
		"SUBJECT REVERSE DATE": "5 4 2 3 1",
		"FROM":                 "5 1 2 4 3",
		"FROM REVERSE ARRIVAL": "5 1 2 4 3",
		"FROM ARRIVAL":         "5 1 4 2 3",
		"TO":                   "5 2 4 3 1",
		"CC":                   "1 3 5 4 2",
		"DISPLAYFROM":          "5 3 2 1 4", // "_" comes after letters, in title case.
		"DISPLAYTO":            "5 3 2 4 1", // "ärger" is "A", a diaeresis, and so on.
		"CC CC REVERSE CC":     "1 3 5 4 2",
		"SUBJECT DATE SUBJECT": "4 5 2 1 3",
	} {
		if got := m.sort(NewKeys(1<<20), m.index(), by, m.positions()); got != want {
			t.Errorf("by %s: %s, want %s", by, got, want)
		}
		if got, want := m.sort(NewKeys(0), m.index(), by, nil), ""; got != want {
			t.Errorf("nothing by %s is %q", by, got)
		}
	}
}

func TestCollationIsThatOfUnicodeCasemap(t *testing.T) {
	t.Parallel()
	// RFC 5051 §2: title case, and then decomposition.
	for in, want := range map[string]string{"": "", "abc_Z": "ABC_Z", "é": "E\u0301", "ÄB": "A\u0308B", "ß": "ß", "ǆ": "Dz\u030c", "ﬁ": "fi", "σς": "ΣΣ", "a\xff": "A\ufffd", "x한": "X\u1112\u1161\u11ab"} {
		if got := string(appendCollation(nil, []byte(message.Fold(in)))); got != want {
			t.Errorf("%q is %+q, want %+q", in, got, want)
		}
	}
}

// TestKeysFollowTheMailbox sorts after all kinds of changes, with what was kept and without.
func TestKeysFollowTheMailbox(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	rnd := rand.New(rand.NewPCG(3, 4))
	kept := NewKeys(1 << 20)
	tight := NewKeys(3000)
	all := []string{"DATE", "SUBJECT DATE", "REVERSE FROM SUBJECT", "TO", "CC REVERSE DATE", "DISPLAYFROM", "REVERSE DISPLAYTO SIZE"}
	versions := []*store.Index{m.index()}
	for range 25 {
		var msgs []newMessage
		for range 1 + rnd.IntN(12) {
			n := rnd.IntN(5)
			msgs = append(msgs, newMessage{fmt.Sprintf("From: N%d <f%d@x>\nTo: t%d@x\nCc: c%d@x\nSubject: Re: s%d\nDate: %d Nov 2026 10:00:00 +0000\nMessage-ID: <%d@x>\nReferences: <%d@x> <%d@x>\n\nx\n",
				rnd.IntN(9), rnd.IntN(9), n, n, rnd.IntN(20), 1+rnd.IntN(28), rnd.IntN(30), rnd.IntN(30), rnd.IntN(30)), "", now.Add(time.Duration(rnd.IntN(100)) * time.Hour)})
		}
		m.add(msgs...)
		ix := m.index()
		if rnd.IntN(3) == 0 {
			var uids imap.Ranges
			for range rnd.IntN(20) {
				uids.Add(ix.At(rnd.IntN(ix.Len())).UID)
			}
			if err := m.Update(context.Background(), func(tx *store.Tx) error {
				_, err := tx.Expunge(m.id, slices.Collect(uids.All()), false)
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		versions = append(versions, m.index())
		ix = versions[rnd.IntN(len(versions))]
		var positions []int
		some := rnd.IntN(2) == 0
		for pos := range ix.Len() {
			if !some || rnd.IntN(10) == 0 {
				positions = append(positions, pos)
			}
		}
		by := all[rnd.IntN(len(all))]
		want := m.sort(NewKeys(1<<30), ix, by, positions)
		for name, k := range map[string]*Keys{"kept": kept, "tight": tight} {
			if got := m.sort(k, ix, by, positions); got != want {
				t.Fatalf("%s, %d of %d messages by %s:\n%s, want\n%s", name, len(positions), ix.Len(), by, got, want)
			}
		}
		mb := Mailbox{Mail: m, Owner: m.Account, Index: ix}
		for _, a := range []imap.ThreadAlgorithm{imap.ThreadReferences, imap.ThreadOrderedSubject} {
			want, err := NewKeys(1<<30).Thread(context.Background(), mb, positions, a)
			if err != nil {
				t.Fatal(err)
			}
			got, err := kept.Thread(context.Background(), mb, positions, a)
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("threads by %s are %s, %v, want %s", a, threadOf(got), err, threadOf(want))
			}
		}
	}
	if tight.size > tight.max || kept.size == 0 {
		t.Errorf("sizes are %d of %d, and %d", tight.size, tight.max, kept.size)
	}
}

func TestSortingReadsNothingTwice(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	for range 20 {
		m.add(toSort...)
	}
	k := NewKeys(1 << 20)
	for _, step := range []struct {
		name, by string
		digests  int
	}{
		{"index only", "REVERSE ARRIVAL SIZE", 0}, {"first", "DATE", 100}, {"again", "REVERSE DATE", 0}, {"another key", "SUBJECT DATE", 100}, {"both", "DATE SUBJECT", 0},
	} {
		m.digests = 0
		m.sort(k, m.index(), step.by, m.positions())
		if m.digests != step.digests {
			t.Errorf("%s: %d digests were read, want %d", step.name, m.digests, step.digests)
		}
	}
	m.add(toSort...)
	m.digests = 0
	m.sort(k, m.index(), "DATE SUBJECT", m.positions())
	if m.digests != 5 {
		t.Errorf("%d digests were read for 5 new messages", m.digests)
	}
	// A few messages of a mailbox whose keys are not known do not make all known.
	m.digests = 0
	m.sort(NewKeys(1<<20), m.index(), "FROM", []int{1, 50, 99})
	if m.digests != 3 {
		t.Errorf("%d digests were read for 3 messages", m.digests)
	}
	if m.files != 0 {
		t.Errorf("%d files were opened", m.files)
	}
}

func TestRadixSortsLikeComparing(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		n := rnd.IntN(300)
		r := radix{values: make([]uint64, n), spare: make([]int32, n)}
		want := make([]int32, n)
		mask := rnd.Uint64() & rnd.Uint64() & rnd.Uint64() & rnd.Uint64()
		for i := range r.values {
			r.values[i] = rnd.Uint64() & mask
			want[i] = int32(i)
		}
		got := r.sort(slices.Clone(want))
		slices.SortStableFunc(want, func(a, b int32) int {
			va, vb := r.values[a], r.values[b]
			return bytes.Compare([]byte(fmt.Sprintf("%020d", va)), []byte(fmt.Sprintf("%020d", vb)))
		})
		if !slices.Equal(got, want) {
			t.Fatalf("%v sorted are %v, want %v", r.values, got, want)
		}
	}
}

// A server that was just started reads columns from files.
func TestColumnsAreKeptInFiles(t *testing.T) {
	t.Parallel()
	m, x := indexed(t)
	add := func(n int) {
		var msgs []newMessage
		for i := range n {
			msgs = append(msgs, newMessage{fmt.Sprintf("From: a%d@x\nSubject: s%d\nMessage-ID: <%d@x>\nReferences: <%d@x>\nDate: %d Nov 2026 10:00:00 +0000\n\nx\n", i%77, i%99, i, i/2, 1+i%28), "", now})
		}
		m.add(msgs...)
	}
	for range savedRows / 100 {
		add(100)
	}
	fresh := func() *Keys {
		k := NewKeys(1 << 24)
		t.Cleanup(k.Close)
		return k
	}
	// answers returns what is found by all means, and how many digests were read for it.
	answers := func() (s string, digests int) {
		k := fresh()
		defer k.Close()
		m.digests = 0
		mb := Mailbox{Mail: m, Owner: m.Account, Index: m.index()}
		for _, by := range []string{"SUBJECT DATE", "REVERSE FROM SUBJECT"} {
			s += m.sort(k, m.index(), by, m.positions()) + "\n"
		}
		threads, err := k.Thread(context.Background(), mb, m.positions(), imap.ThreadReferences)
		if err != nil {
			t.Fatal(err)
		}
		m.keys = k
		found, _ := m.runTexts(t, text(imap.SearchFrom, "a1"), x, false)
		field, _ := m.runTexts(t, header("To", ""), x, false)
		for i := range maxSavedFields + 2 {
			m.runTexts(t, header(fmt.Sprintf("List-%d", i), ""), x, false)
		}
		m.runTexts(t, header("../../a", ""), x, false)
		sent, _ := m.runTexts(t, date(imap.SearchSentOn, "7-Nov-2026"), x, false)
		return fmt.Sprint(s, threads, found, field, sent), m.digests
	}
	want, n := answers()
	if n == 0 {
		t.Error("no digests were read at first")
	}
	if got, n := answers(); got != want || n > 5*savedRows { // Some header fields are not kept.
		t.Errorf("%d digests were read after that, or another answer was given", n)
	}
	// Of new messages only, but for references.
	add(1)
	if _, n := answers(); n > 6*savedRows+100 {
		t.Errorf("%d digests were read for one new message", n)
	}
	// Damaged files are not used.
	files, err := filepath.Glob(filepath.Join(m.ColumnsDir(), "*"))
	if err != nil || len(files) < 6 || len(files) > 7+maxSavedFields {
		t.Fatalf("files %v, %v", files, err)
	}
	want, _ = answers()
	for i, path := range files {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			b = b[:len(b)/2]
		} else {
			b[len(b)/3]++
		}
		if err := os.WriteFile(path, b, 0660); err != nil {
			t.Fatal(err)
		}
	}
	if got, n := answers(); got != want || n == 0 {
		t.Errorf("%d digests were read with damaged files, or another answer was given", n)
	}
}

// What was parsed again is sorted by what was found then.
func TestColumnsOfMessagesThatWereParsedAgainAreForgotten(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	m.add(toSort...)
	k := NewKeys(1 << 20)
	before := m.sort(k, m.index(), "SUBJECT", m.positions())
	epoch := m.DigestEpoch()
	m.digests = 0
	if after := m.sort(k, m.index(), "SUBJECT", m.positions()); after != before || m.digests != 0 {
		t.Errorf("%d digests were read", m.digests)
	}
	path := filepath.Join(m.dir, "accounts", "mjl", store.ContentPath(m.index().At(0).ContentID))
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte("Subject: Re: banana"), []byte("Subject: Re: abbbbb"), 1), 0660); err != nil {
		t.Fatal(err)
	}
	if _, err := m.store.Repair(context.Background(), "mjl", store.RepairReparse, ""); err != nil {
		t.Fatal(err)
	}
	if after := m.sort(k, m.index(), "SUBJECT", m.positions()); after == before || m.DigestEpoch() == epoch {
		t.Errorf("sorted as before: %s", after)
	}
}
