package search

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mox/imap"
	"mox/internal/safefile"
	"mox/message"
	"mox/mlog"
	"mox/store"
)

// now is the time of the searches, and of the newest message.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// mailbox is an account with messages, and counts of what is read of them.
type mailbox struct {
	*store.Account
	t       testing.TB
	dir     string
	store   *store.Store
	id      int64
	digests int
	files   int
	keys    *Keys // Used with the text index. Nil for none.
}

func (m *mailbox) Digests(ctx context.Context, ids []int64, fn func(i int, d message.Digest) error) error {
	m.digests += len(ids)
	return m.Account.Digests(ctx, ids, fn)
}

func (m *mailbox) OpenContent(ctx context.Context, id int64) (*store.Content, error) {
	m.files++
	return m.Account.OpenContent(ctx, id)
}

func newMailbox(t testing.TB) *mailbox {
	t.Helper()
	dir := t.TempDir()
	s, err := store.Open(context.Background(), store.Options{Dir: dir, Log: mlog.Discard(), Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Ensure(context.Background(), "mjl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Release()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	mb, _ := a.Tree().ByName("Inbox")
	return &mailbox{Account: a, t: t, dir: dir, store: s, id: mb.ID}
}

// newMessage is a message of a test.
type newMessage struct {
	data     string
	flags    string
	received time.Time
}

// add stores messages, all at once.
func (m *mailbox) add(msgs ...newMessage) {
	m.t.Helper()
	var l []store.NewMessage
	for _, n := range msgs {
		set, err := imap.NewFlagSet(strings.Fields(n.flags)...)
		if err != nil {
			m.t.Fatal(err)
		}
		sp := safefile.NewSpool(safefile.SpoolOptions{Dir: m.dir, CRLF: true})
		defer sp.Close()
		if _, err := sp.Write([]byte(n.data)); err != nil {
			m.t.Fatal(err)
		}
		l = append(l, store.NewMessage{MailboxID: m.id, Spool: sp, Flags: set.Flags, Keywords: set.Keywords, Received: n.received})
	}
	if _, err := m.Append(context.Background(), l...); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mailbox) index() *store.Index {
	m.t.Helper()
	ix, err := m.Index(context.Background(), m.id)
	if err != nil {
		m.t.Fatal(err)
	}
	return ix
}

// run returns the message sequence numbers that match.
func (m *mailbox) run(key imap.SearchKey, scope Scope, opts Options) []int {
	m.t.Helper()
	if scope.Index == nil {
		scope.Index = m.index()
	}
	if scope.Now.IsZero() {
		scope.Now = now
	}
	p, err := Compile(&key, scope)
	if err != nil {
		m.t.Fatalf("compile: %v", err)
	}
	var l []int
	err = p.Run(context.Background(), m, opts, func(pos int) bool { l = append(l, pos+1); return true })
	if err != nil {
		m.t.Fatalf("run: %v", err)
	}
	return l
}

// Short forms of keys.
func flag(f imap.Flags) imap.SearchKey   { return imap.SearchKey{Op: imap.SearchFlag, Flag: f} }
func noFlag(f imap.Flags) imap.SearchKey { return imap.SearchKey{Op: imap.SearchNotFlag, Flag: f} }
func text(op imap.SearchOp, s string) imap.SearchKey {
	return imap.SearchKey{Op: op, Text: s}
}
func header(name, s string) imap.SearchKey {
	return imap.SearchKey{Op: imap.SearchHeader, Header: name, Text: s}
}
func date(op imap.SearchOp, s string) imap.SearchKey {
	d, err := imap.ParseDate(s)
	if err != nil {
		panic(err)
	}
	return imap.SearchKey{Op: op, Date: d}
}
func number(op imap.SearchOp, n uint64) imap.SearchKey { return imap.SearchKey{Op: op, Number: n} }
func set(op imap.SearchOp, s string) imap.SearchKey {
	ns, err := imap.ParseNumSet(s, 100)
	if err != nil {
		panic(err)
	}
	return imap.SearchKey{Op: op, Set: ns}
}
func and(keys ...imap.SearchKey) imap.SearchKey {
	return imap.SearchKey{Op: imap.SearchAnd, Keys: keys}
}
func or(a, b imap.SearchKey) imap.SearchKey {
	return imap.SearchKey{Op: imap.SearchOr, Keys: []imap.SearchKey{a, b}}
}
func neg(a imap.SearchKey) imap.SearchKey {
	return imap.SearchKey{Op: imap.SearchNot, Keys: []imap.SearchKey{a}}
}

var sample = []newMessage{
	{"From: Ann <ann@example.org>\nTo: bob@example.org\nSubject: first\nDate: Mon, 7 Feb 1994 23:52:25 -0800\nX-Odd: =?utf-8?q?=C3=89t=C3=A9?=\n\nalpha beta\n", `\Seen work`, now.Add(-48 * time.Hour)},
	{"From: bob@example.org\nTo: ann@example.org\nCc: carl@example.net\nSubject: =?utf-8?b?w6l0w6k=?=\nDate: Tue, 8 Feb 1994 10:00:00 +0000\n\nbeta gamma\n", `\Flagged`, time.Date(2026, 11, 20, 23, 30, 0, 0, time.FixedZone("", -8*3600))},
	{"Subject: third\nBcc: dora@example.net\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nSubject: inside\n\nnested\n--b\nContent-Type: image/png\nContent-Description: picture\n\nalpha\n--b--\n", `\Deleted \Seen $Junk`, now},
	{"just text without a header\n", ``, now},
}

func TestKeysFindMessages(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	m.add(sample...)
	ids := func(f func(*store.Entry) int64, prefix string, seq int) string {
		return fmt.Sprintf("%s%d", prefix, f(m.index().At(seq-1)))
	}
	saved := Scope{Saved: imap.NewRanges[uint32](2, 4), Recent: imap.NewRanges[uint32](3, 4)}
	for name, tt := range map[string]struct {
		key  imap.SearchKey
		want string
	}{
		"all":                   {imap.SearchKey{}, "1 2 3 4"},
		"flag":                  {flag(imap.FlagSeen), "1 3"},
		"flag with dollar":      {flag(imap.FlagJunk), "3"},
		"not flag":              {noFlag(imap.FlagSeen), "2 4"},
		"contradiction":         {and(flag(imap.FlagSeen), noFlag(imap.FlagSeen)), ""},
		"keyword":               {text(imap.SearchKeyword, "work"), "1"},
		"no keyword":            {text(imap.SearchNotKeyword, "work"), "2 3 4"},
		"recent":                {imap.SearchKey{Op: imap.SearchRecent}, "3 4"},
		"old":                   {imap.SearchKey{Op: imap.SearchOld}, "1 2"},
		"new":                   {imap.SearchKey{Op: imap.SearchNew}, "4"},
		"sequence":              {set(imap.SearchSeq, "4,2"), "2 4"},
		"sequence with star":    {set(imap.SearchSeq, "3:*"), "3 4"},
		"saved":                 {set(imap.SearchSeq, "$"), "2 4"},
		"uid saved":             {set(imap.SearchUID, "$"), "2 4"},
		"uid":                   {set(imap.SearchUID, "2:3,9"), "2 3"},
		"uid beyond":            {set(imap.SearchUID, "99:*"), "4"},
		"uid missing":           {set(imap.SearchUID, "99"), ""},
		"not uid":               {neg(set(imap.SearchUID, "2:3")), "1 4"},
		"several sets":          {and(set(imap.SearchSeq, "1:3"), set(imap.SearchUID, "3:4")), "3"},
		"from name":             {text(imap.SearchFrom, "ANN"), "1"},
		"from address":          {text(imap.SearchFrom, "bob@"), "2"},
		"to":                    {text(imap.SearchTo, "bob"), "1"},
		"cc":                    {text(imap.SearchCc, "carl"), "2"},
		"bcc":                   {text(imap.SearchBcc, "DORA"), "3"},
		"subject decoded":       {text(imap.SearchSubject, "ÉT"), "2"},
		"empty text":            {text(imap.SearchSubject, ""), "1 2 3 4"},
		"empty body":            {text(imap.SearchBody, ""), "1 2 3 4"},
		"header decoded":        {header("x-odd", "éTÉ"), "1"},
		"header present":        {header("Cc", ""), "2"},
		"header absent":         {neg(header("Date", "")), "3 4"},
		"header address":        {header("From", "example"), "1 2"},
		"body":                  {text(imap.SearchBody, "BETA"), "1 2"},
		"body across lines":     {text(imap.SearchBody, "alpha beta\r\n"), "1"},
		"body is text only":     {text(imap.SearchBody, "alpha"), "1"},
		"body without header":   {text(imap.SearchBody, "first"), ""},
		"body of inner message": {text(imap.SearchBody, "nested"), "3"},
		"header of inner":       {text(imap.SearchBody, "inside"), "3"},
		"text of header":        {text(imap.SearchText, "first"), "1"},
		"text of mime header":   {text(imap.SearchText, "picture"), "3"},
		"text of body":          {text(imap.SearchText, "gamma"), "2"},
		"text and not body":     {and(text(imap.SearchText, "third"), neg(text(imap.SearchBody, "third"))), "3"},
		"two texts":             {and(text(imap.SearchBody, "beta"), text(imap.SearchBody, "gamma")), "2"},
		"or of texts":           {or(text(imap.SearchBody, "gamma"), text(imap.SearchText, "nested")), "2 3"},
		"not text":              {neg(text(imap.SearchText, "e")), ""},
		"before":                {date(imap.SearchBefore, "20-Nov-2026"), "1"},
		"on in its zone":        {date(imap.SearchOn, "20-Nov-2026"), "2"},
		"since":                 {date(imap.SearchSince, "20-Nov-2026"), "2 3 4"},
		"sent before":           {date(imap.SearchSentBefore, "8-Feb-1994"), "1"},
		"sent on":               {date(imap.SearchSentOn, "7-Feb-1994"), "1"},
		"sent since the day":    {date(imap.SearchSentSince, "8-Feb-1994"), "2"},
		"not sent":              {neg(date(imap.SearchSentSince, "1-Jan-1970")), "3 4"},
		"saved on":              {date(imap.SearchSavedOn, "21-Nov-2026"), "1 2 3 4"},
		"saved before":          {date(imap.SearchSavedBefore, "21-Nov-2026"), ""},
		"saved since":           {date(imap.SearchSavedSince, "22-Nov-2026"), ""},
		"savedate supported":    {imap.SearchKey{Op: imap.SearchSaveDateSupported}, "1 2 3 4"},
		"older":                 {number(imap.SearchOlder, 48*3600), "1"},
		"younger":               {number(imap.SearchYounger, 48*3600-1), "2 3 4"},
		"younger than all time": {number(imap.SearchYounger, 1<<32-1), "1 2 3 4"},
		"uid after":             {number(imap.SearchUIDAfter, 2), "3 4"},
		"uid after the last":    {number(imap.SearchUIDAfter, 1<<32-1), ""},
		"uid before":            {number(imap.SearchUIDBefore, 3), "1 2"},
		"uid before the first":  {number(imap.SearchUIDBefore, 1), ""},
		"not uid before first":  {neg(number(imap.SearchUIDBefore, 1)), "1 2 3 4"},
		"larger":                {number(imap.SearchLarger, 180), "3"},
		"smaller":               {number(imap.SearchSmaller, 50), "4"},
		"larger than anything":  {number(imap.SearchLarger, 1<<64-1), ""},
		"modseq":                {number(imap.SearchModSeq, 1), "1 2 3 4"},
		"modseq of the future":  {number(imap.SearchModSeq, 1<<63), ""},
		"email id":              {text(imap.SearchEmailID, ids(func(e *store.Entry) int64 { return e.ContentID }, "M", 2)), "2"},
		"thread id":             {text(imap.SearchThreadID, ids(func(e *store.Entry) int64 { return e.ThreadID }, "T", 3)), "3"},
		"other email id":        {text(imap.SearchEmailID, "M00000001"), ""},
		"email id of a thread":  {text(imap.SearchEmailID, "T1"), ""},
		"nested":                {or(and(flag(imap.FlagSeen), neg(flag(imap.FlagDeleted))), and(noFlag(imap.FlagSeen), text(imap.SearchSubject, "é"))), "1 2"},
		"double negation":       {neg(neg(flag(imap.FlagSeen))), "1 3"},
		"not all":               {neg(imap.SearchKey{}), ""},
		"or with all":           {or(imap.SearchKey{}, flag(imap.FlagSeen)), "1 2 3 4"},
		"or with none":          {or(neg(imap.SearchKey{}), flag(imap.FlagSeen)), "1 3"},
		"empty and":             {and(), "1 2 3 4"},
	} {
		t.Run(name, func(t *testing.T) {
			got := m.run(tt.key, saved, Options{})
			if s := strings.Trim(fmt.Sprint(got), "[]"); s != tt.want {
				t.Errorf("found %q, want %q", s, tt.want)
			}
			back := m.run(tt.key, saved, Options{Descending: true})
			slices.Reverse(back)
			if !slices.Equal(got, back) {
				t.Errorf("found %v, and backwards %v", got, back)
			}
		})
	}
}

func TestSequenceNumbersBeyondTheEndAreRefused(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	m.add(sample[:2]...)
	for _, key := range []imap.SearchKey{set(imap.SearchSeq, "3"), neg(set(imap.SearchSeq, "1:3")), or(flag(imap.FlagSeen), set(imap.SearchSeq, "9"))} {
		_, err := Compile(&key, Scope{Index: m.index()})
		var e *imap.Error
		if !errors.As(err, &e) || e.Type != imap.TypeBAD {
			t.Errorf("error is %v", err)
		}
	}
}

func TestEmptyMailboxHasNoStar(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	for _, key := range []imap.SearchKey{set(imap.SearchSeq, "1:*"), set(imap.SearchUID, "*"), {}, text(imap.SearchBody, "x")} {
		if got := m.run(key, Scope{}, Options{}); len(got) != 0 {
			t.Errorf("found %v", got)
		}
	}
}

func TestCheapConditionsSaveDearOnes(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	m.add(sample...)
	for name, tt := range map[string]struct {
		key            imap.SearchKey
		digests, files int
	}{
		"index only":                      {and(flag(imap.FlagSeen), number(imap.SearchLarger, 1), date(imap.SearchSince, "1-Jan-2000")), 0, 0},
		"flags before digests":            {and(text(imap.SearchSubject, "i"), flag(imap.FlagSeen)), 2, 0},
		"digests before files":            {and(text(imap.SearchBody, "beta"), text(imap.SearchFrom, "ann")), 4, 1},
		"usual fields need no file":       {header("Subject", "first"), 4, 0},
		"or decided by flags":             {or(text(imap.SearchBody, "beta"), flag(imap.FlagSeen)), 2, 2},
		"nothing is left":                 {and(text(imap.SearchBody, "beta"), set(imap.SearchUID, "99")), 0, 0},
		"not of or":                       {neg(or(flag(imap.FlagSeen), text(imap.SearchText, "beta"))), 2, 2},
		"positions before files":          {and(text(imap.SearchBody, "x"), set(imap.SearchSeq, "2")), 1, 1},
		"one file for several needles":    {and(text(imap.SearchBody, "beta"), text(imap.SearchText, "gamma"), set(imap.SearchSeq, "2")), 1, 1},
		"a field and a text of one file":  {or(header("X-Odd", "nothing"), text(imap.SearchBody, "nothing")), 4, 4},
		"a digest decides before a file":  {or(text(imap.SearchFrom, "@"), text(imap.SearchBody, "nothing")), 4, 2},
		"not of a digest before the body": {and(neg(text(imap.SearchFrom, "@")), text(imap.SearchBody, "nested")), 4, 2},
	} {
		t.Run(name, func(t *testing.T) {
			m.digests, m.files = 0, 0
			m.run(tt.key, Scope{}, Options{})
			if m.digests != tt.digests || m.files != tt.files {
				t.Errorf("read %d digests and %d files, want %d and %d", m.digests, m.files, tt.digests, tt.files)
			}
		})
	}
}

func TestFirstMatchEndsTheSearch(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	m.add(sample...)
	key := text(imap.SearchText, "beta")
	p, err := Compile(&key, Scope{Index: m.index()})
	if err != nil {
		t.Fatal(err)
	}
	for descending, want := range map[bool]int{false: 1, true: 2} {
		m.files = 0
		var got []int
		err := p.Run(context.Background(), m, Options{Descending: descending}, func(pos int) bool { got = append(got, pos+1); return false })
		if err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("descending %v: found %v, %v", descending, got, err)
		}
		if max := map[bool]int{false: 1, true: 3}[descending]; m.files != max {
			t.Errorf("descending %v: opened %d files, want %d", descending, m.files, max)
		}
	}
}

func TestCancelledSearchEnds(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	m.add(sample...)
	key := text(imap.SearchText, "beta")
	p, err := Compile(&key, Scope{Index: m.index()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	err = p.Run(ctx, m, Options{}, func(int) bool { n++; cancel(); return true })
	if !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("found %d, error %v", n, err)
	}
}

func TestUnreadableMessagesAreNoResult(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	m.add(sample...)
	err := filepath.WalkDir(filepath.Join(m.dir, "accounts"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.Contains(path, "msg") && strings.HasSuffix(path, fmt.Sprint(m.index().At(1).ContentID)) {
			return os.Remove(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var failed []int
	opts := Options{Unreadable: func(pos int, err error) { failed = append(failed, pos+1) }}
	if got := m.run(text(imap.SearchBody, "beta"), Scope{}, opts); !slices.Equal(got, []int{1}) {
		t.Errorf("found %v", got)
	}
	if got := m.run(neg(text(imap.SearchBody, "nothing")), Scope{}, opts); !slices.Equal(got, []int{1, 3, 4}) {
		t.Errorf("found %v", got)
	}
	if !slices.Equal(failed, []int{2, 2}) {
		t.Errorf("unreadable are %v", failed)
	}
	if got := m.run(text(imap.SearchSubject, "é"), Scope{}, opts); !slices.Equal(got, []int{2}) {
		t.Errorf("found %v without its file", got)
	}
}

func TestGoneMessagesAreNoResult(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	m.add(sample...)
	for _, key := range []imap.SearchKey{neg(text(imap.SearchSubject, "nothing")), neg(text(imap.SearchBody, "nothing"))} {
		p, err := Compile(&key, Scope{Index: m.index()})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		if err := p.Run(context.Background(), goneMail{}, Options{}, func(int) bool { n++; return true }); err != nil || n != 0 {
			t.Errorf("found %d, error %v", n, err)
		}
	}
}

// goneMail is an account from which all messages have been erased.
type goneMail struct{}

func (goneMail) Digests(_ context.Context, ids []int64, fn func(int, message.Digest) error) error {
	for i := range ids {
		if err := fn(i, nil); err != nil {
			return err
		}
	}
	return nil
}

func (goneMail) OpenContent(context.Context, int64) (*store.Content, error) {
	return nil, store.ErrNoMessage
}

func TestSearchesLongerThanABatch(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	var msgs []newMessage
	for i := range batchSize {
		f := ""
		if i%3 == 0 {
			f = `\Seen`
		}
		msgs = append(msgs, newMessage{fmt.Sprintf("Subject: n%d\n\n", i), f, now})
	}
	m.add(msgs...)
	m.add(sample...)
	n := batchSize + len(sample)
	for _, key := range []imap.SearchKey{{}, noFlag(imap.FlagSeen), text(imap.SearchSubject, ""), neg(text(imap.SearchSubject, "n7")), set(imap.SearchSeq, "1:*")} {
		got := m.run(key, Scope{}, Options{})
		back := m.run(key, Scope{}, Options{Descending: true})
		if !slices.IsSorted(got) || got[len(got)-1] != n {
			t.Errorf("found %v", got)
		}
		slices.Reverse(back)
		if !slices.Equal(got, back) {
			t.Errorf("found %d, and backwards %d", len(got), len(back))
		}
	}
}

func TestDecodedFieldsAreSearchedWhole(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	var to strings.Builder
	for i := range 3 * message.MaxAddresses {
		fmt.Fprintf(&to, "x%d@example.org,\n ", i)
	}
	m.add(
		newMessage{data: "Subject: many\nTo: " + to.String() + "=?utf-8?q?Zo=C3=AB?= <last@example.org>\n\ntext\n"},
		newMessage{data: "Subject: =?iso-8859-1?q?stra=DFe?=\n =?utf-8?q?_=CE=A3=CE=91=CE=A3?=\nContent-Type: application/pdf; name*0*=utf-8''%C3%89t; name*1*=%C3%A9.pdf\nContent-Disposition: attachment; filename=\"=?utf-8?q?h=C3=A4?=\"\n\ntext\n"},
	)
	for i, tt := range []struct {
		key  imap.SearchKey
		want []int
	}{
		{text(imap.SearchTo, "LAST@example"), []int{1}}, {text(imap.SearchTo, "zoë"), []int{1}}, {neg(text(imap.SearchTo, "zoë")), []int{2}},
		{text(imap.SearchTo, "nobody"), nil}, {and(text(imap.SearchTo, "last@"), text(imap.SearchBody, "text")), []int{1}},
		{text(imap.SearchSubject, "STRAßE σας"), []int{2}},
		{header("Content-Type", "été.PDF"), []int{2}}, {header("content-disposition", "HÄ"), []int{2}}, {header("Content-Type", "text"), nil},
	} {
		if got := m.run(tt.key, Scope{}, Options{}); !slices.Equal(got, tt.want) {
			t.Errorf("search %d: got %v, want %v", i, got, tt.want)
		}
	}
}
