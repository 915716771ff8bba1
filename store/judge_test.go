package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"mox/imap"
)

// judgeTest is an account in which a junk filter learns.
type judgeTest struct {
	*testing.T
	*Account
	told      int     // How often Options.Lessons was called.
	delivered []int64 // Ids of contents, which need not follow one another.
}

func newJudgeTest(t *testing.T, p Policy, change ...func(*Options)) *judgeTest {
	j := &judgeTest{T: t}
	j.Account = testAccount(t, append(change, func(o *Options) {
		o.Policy = func(account string) Policy {
			if account != "mox" {
				t.Errorf("policy of %q", account)
			}
			return p
		}
		o.Lessons = func(string) { j.told++ }
	})...)
	t.Cleanup(func() {
		if problems, err := j.Verify(ctx); err != nil || len(problems) > 0 {
			t.Errorf("verify: %v %q", err, problems)
		}
	})
	return j
}

func (j *judgeTest) update(fn func(tx *Tx) error) {
	j.Helper()
	if err := j.Update(ctx, fn); err != nil {
		j.Fatal(err)
	}
}

func (j *judgeTest) id(mailbox string) int64 {
	j.Helper()
	mb, ok := j.Tree().ByName(mailbox)
	if !ok {
		j.Fatalf("no mailbox %q", mailbox)
	}
	return mb.ID
}

// deliver stores a message that came by SMTP, with origin o, if that is not nil.
func (j *judgeTest) deliver(mailbox string, o *Origin, change ...func(m *NewMessage)) Message {
	j.Helper()
	m := newMessage(j, j.Account, testMessage(1))
	m.Mailbox, m.Create, m.Origin = mailbox, true, o
	for _, c := range change {
		c(&m)
	}
	l, err := j.Append(ctx, m)
	if err != nil {
		j.Fatal(err)
	}
	j.delivered = append(j.delivered, l[0].ContentID)
	return l[0]
}

// nr returns the number of the content of a message in the order of delivery.
func (j *judgeTest) nr(m Message) int { return j.number(m.ContentID) }

func (j *judgeTest) number(contentID int64) int { return slices.Index(j.delivered, contentID) + 1 }

func (j *judgeTest) flag(m Message, op FlagOp, f Flags) {
	j.Helper()
	j.update(func(tx *Tx) error {
		_, err := tx.SetFlags(m.MailboxID, []uint32{m.UID}, FlagChange{Op: op, FlagSet: imap.FlagSet{Flags: f}}, -1)
		return err
	})
}

// transfer moves or copies a message, and returns it as it is then.
func (j *judgeTest) transfer(m Message, to string, copying bool) Message {
	j.Helper()
	j.update(func(tx *Tx) error {
		fn := tx.Move
		if copying {
			fn = tx.Copy
		}
		l, err := fn(m.MailboxID, []uint32{m.UID}, j.id(to))
		if err == nil {
			m.UID, m.MailboxID = l[0].Dst, j.id(to)
		}
		return err
	})
	m.Flags = j.flags(m)
	return m
}

func (j *judgeTest) flags(m Message) Flags {
	j.Helper()
	ix, err := j.Index(ctx, m.MailboxID)
	if err != nil {
		j.Fatal(err)
	}
	for i := range ix.Len() {
		if ix.At(i).UID == m.UID {
			return ix.Flags(i)
		}
	}
	j.Fatalf("no message with uid %d", m.UID)
	return 0
}

func (j *judgeTest) expunge(m Message) {
	j.Helper()
	j.update(func(tx *Tx) error {
		_, err := tx.Expunge(m.MailboxID, []uint32{m.UID}, false)
		return err
	})
}

// lessons takes the lessons out of the journal: "junk 1" of content 1, "undo ham 2".
func (j *judgeTest) lessons() string {
	j.Helper()
	l, err := j.Lessons(ctx, 10000)
	if err != nil {
		j.Fatal(err)
	}
	var texts []string
	row := int64(0)
	for _, r := range l {
		if r.Row <= row {
			j.Errorf("row %d after %d", r.Row, row)
		}
		row = r.Row
		s := "ham"
		if r.Junk {
			s = "junk"
		}
		if r.Undo {
			s = "undo " + s
		}
		texts = append(texts, fmt.Sprintf("%s %d", s, j.number(r.ContentID)))
	}
	if row > 0 && j.LastLesson() != row {
		j.Errorf("last row is %d, account says %d", row, j.LastLesson())
	}
	if err := j.ForgetLessons(ctx, row); err != nil {
		j.Fatal(err)
	}
	return strings.Join(texts, ", ")
}

func TestFlagsBecomeLessons(t *testing.T) {
	t.Parallel()
	const junk, ham, both = imap.FlagJunk, imap.FlagNotJunk, imap.FlagJunk | imap.FlagNotJunk
	tests := []struct {
		name string
		do   func(j *judgeTest, m Message)
		want string
	}{
		{"nothing is said", func(j *judgeTest, m Message) { j.flag(m, FlagsAdd, imap.FlagSeen) }, ""},
		{"learned", func(j *judgeTest, m Message) { j.flag(m, FlagsAdd, junk) }, "junk 1"},
		{"both flags say nothing", func(j *judgeTest, m Message) { j.flag(m, FlagsAdd, both) }, ""},
		{"said twice", func(j *judgeTest, m Message) {
			j.flag(m, FlagsAdd, ham)
			j.flag(m, FlagsAdd, ham|imap.FlagSeen)
		}, "ham 1"},
		{"changed at once", func(j *judgeTest, m Message) {
			j.flag(m, FlagsAdd, ham)
			j.flag(m, FlagsSet, junk)
		}, "ham 1, undo ham 1, junk 1"},
		{"changed by way of both", func(j *judgeTest, m Message) {
			j.flag(m, FlagsAdd, ham)
			j.flag(m, FlagsAdd, junk)
			j.flag(m, FlagsRemove, ham)
		}, "ham 1, undo ham 1, junk 1"},
		{"taken back", func(j *judgeTest, m Message) {
			j.flag(m, FlagsAdd, junk)
			j.flag(m, FlagsRemove, junk)
		}, "junk 1, undo junk 1"},
		{"a copy says the same", func(j *judgeTest, m Message) {
			j.flag(m, FlagsAdd, ham)
			m = j.transfer(m, "Archive", true)
			j.flag(m, FlagsAdd, imap.FlagSeen)
		}, "ham 1"},
		{"a copy says something else: the last word counts", func(j *judgeTest, m Message) {
			j.flag(m, FlagsAdd, ham)
			j.transfer(m, "Junk", true)
		}, "ham 1, undo ham 1, junk 1"},
		{"a copy says nothing", func(j *judgeTest, m Message) {
			j.transfer(j.transfer(m, "Junk", false), "Archive", true)
		}, "junk 1"},
		{"moved to where junk is", func(j *judgeTest, m Message) { j.transfer(m, "Junk", false) }, "junk 1"},
		{"and out again", func(j *judgeTest, m Message) { j.transfer(j.transfer(m, "Junk", false), "Archive", false) }, "junk 1, undo junk 1"},
		{"thrown away", func(j *judgeTest, m Message) {
			j.flag(m, FlagsAdd, junk)
			j.transfer(m, "Trash", false)
		}, "junk 1"},
		{"expunged: the lesson stays", func(j *judgeTest, m Message) {
			j.flag(m, FlagsAdd, junk)
			j.expunge(m)
		}, "junk 1"},
		{"expunged and undeleted: it is not learned again", func(j *judgeTest, m Message) {
			j.flag(m, FlagsAdd, junk)
			j.expunge(m)
			ids := expungedIDs(j, j.Account, m.MailboxID, m.UID)
			j.update(func(tx *Tx) error { _, err := tx.Undelete(ids, ""); return err })
		}, "junk 1"},
		{"undeleted and changed", func(j *judgeTest, m Message) {
			j.flag(m, FlagsAdd, junk)
			j.expunge(m)
			ids := expungedIDs(j, j.Account, m.MailboxID, m.UID)
			j.update(func(tx *Tx) error {
				l, err := tx.Undelete(ids, "")
				if err == nil {
					_, err = tx.SetFlags(m.MailboxID, []uint32{l[0].UID}, FlagChange{Op: FlagsSet, FlagSet: imap.FlagSet{Flags: ham}}, -1)
				}
				return err
			})
		}, "junk 1, undo junk 1, ham 1"},
		{"a change that fails", func(j *judgeTest, m Message) {
			failed := errors.New("failed")
			err := j.Update(ctx, func(tx *Tx) error {
				_, err := tx.SetFlags(m.MailboxID, []uint32{m.UID}, FlagChange{Op: FlagsAdd, FlagSet: imap.FlagSet{Flags: junk}}, -1)
				return errors.Join(err, failed)
			})
			if !errors.Is(err, failed) {
				j.Error(err)
			}
		}, ""},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			j := newJudgeTest(t, Policy{Train: true})
			m := j.deliver("Inbox", &Origin{})
			tc.do(j, m)
			if (j.told > 0) != (tc.want != "") {
				t.Errorf("the filter was told %d times", j.told)
			}
			if got := j.lessons(); got != tc.want {
				t.Errorf("got lessons %q, expected %q", got, tc.want)
			}
			if got := j.lessons(); got != "" {
				t.Errorf("lessons %q were not forgotten", got)
			}
		})
	}
}

func TestMessagesArriveWithJudgement(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{Train: true})
	j.deliver("Junk", &Origin{})
	j.deliver("Inbox", nil, func(m *NewMessage) { m.Flags = imap.FlagNotJunk }) // As by APPEND.
	if got := j.lessons(); got != "junk 1, ham 2" {
		t.Errorf("got lessons %q", got)
	}
}

func TestErasedContentIsForgotten(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{Train: true}, func(o *Options) { o.UndeleteWindow = -1 })
	m := j.deliver("Junk", &Origin{})
	j.expunge(m)
	if err := j.Sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := j.OpenContent(ctx, m.ContentID); !errors.Is(err, ErrNoMessage) {
		t.Errorf("content is still there: %v", err)
	}
	// What is in the journal stays: its row must count.
	if got := j.lessons(); got != "junk 1" {
		t.Errorf("got lessons %q", got)
	}
	if n, err := j.Relearn(ctx); err != nil || n != 0 {
		t.Errorf("relearn: %d, %v", n, err)
	}
}

func TestWithoutFilterThereAreNoLessons(t *testing.T) {
	t.Parallel()
	train := false
	j := &judgeTest{T: t}
	j.Account = testAccount(t, func(o *Options) { o.Policy = func(string) Policy { return Policy{Train: train} } })
	a, b := j.deliver("Inbox", &Origin{}), j.deliver("Inbox", &Origin{})
	j.flag(a, FlagsAdd, imap.FlagJunk)
	j.flag(b, FlagsAdd, imap.FlagJunk)
	if got := j.lessons(); got != "" {
		t.Errorf("got lessons %q", got)
	}
	train = true
	// What was never learned is not taken back.
	j.flag(a, FlagsSet, imap.FlagNotJunk)
	j.flag(b, FlagsSet, 0)
	if got := j.lessons(); got != "ham 1" {
		t.Errorf("got lessons %q", got)
	}
	train = false
	j.flag(a, FlagsSet, imap.FlagJunk)
	if got := j.lessons(); got != "undo ham 1" {
		t.Errorf("got lessons %q", got)
	}
	if n, err := j.Relearn(ctx); err != nil || n != 1 {
		t.Errorf("relearn: %d, %v", n, err)
	}
	if got := j.lessons(); got != "junk 1" {
		t.Errorf("got lessons %q", got)
	}
}

func TestVerifyFindsWrongJudgements(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(tx *Tx, m Message) error
		want   string
	}{
		{"judged content that is not there", func(tx *Tx, _ Message) error { return tx.btx.Insert(&judged{ContentID: 99999}) }, "judged content 99999 does not exist"},
		{"judgement of a round to come", func(tx *Tx, m Message) error {
			return tx.btx.Update(&judged{ContentID: m.ContentID, Junk: true, Round: 2})
		}, "learned in round 2"},
		{"lesson to come", func(tx *Tx, m Message) error { return tx.btx.Insert(&lesson{ContentID: m.ContentID}) }, "lesson 2 is after the last, 1"},
		{"outcome of another judgement", func(tx *Tx, m Message) error {
			return tx.btx.Update(&judged{ContentID: m.ContentID, Round: 1})
		}, "junk true, of which that is not known"},
		{"no outcomes", func(tx *Tx, m Message) error {
			return tx.btx.Insert(&reputation{Key: reputationKey(m.MailboxID, EvidenceFrom, true, "x")})
		}, "has 0 outcomes"},
		{"mailbox that is not there", func(tx *Tx, _ Message) error {
			return tx.btx.Insert(&reputation{Key: reputationKey(99, EvidenceFrom, true, "x")})
		}, "mailbox that does not exist"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			j := &judgeTest{T: t}
			j.Account = testAccount(t, func(o *Options) { o.Policy = func(string) Policy { return Policy{Train: true} } })
			m := j.deliver("Inbox", testOrigin(1), func(m *NewMessage) { m.Flags = imap.FlagJunk })
			j.update(func(tx *Tx) error {
				tx.written = true
				return tc.change(tx, m)
			})
			problems, err := j.Verify(ctx)
			if err != nil || !strings.Contains(strings.Join(problems, "\n"), tc.want) {
				t.Errorf("got %q, %v, expected %q", problems, err, tc.want)
			}
		})
	}
}

func TestMailboxTellsWhatArrives(t *testing.T) {
	t.Parallel()
	const junk, ham = imap.FlagJunk, imap.FlagNotJunk
	named := func(name string) (bool, bool) {
		return strings.HasPrefix(name, "spam"), strings.HasPrefix(name, "good")
	}
	tests := []struct {
		name      string
		junkFlags func(string) (bool, bool)
		from      string // Delivered to, with flags,
		flags     Flags
		to        string // and then moved to, if not empty.
		want      Flags
	}{
		{"junk mailbox", nil, "Junk", imap.FlagSeen | ham, "", imap.FlagSeen | junk},
		{"junk mailbox by name", named, "spam/x", 0, "", junk},
		{"good mailbox by name", named, "good", junk, "", ham},
		{"mailbox of which nothing is said", named, "Inbox", ham, "", ham},
		{"use goes before name", func(string) (bool, bool) { return false, true }, "Junk", 0, "", junk},
		{"moved to junk", nil, "Inbox", ham, "Junk", junk},
		{"out of junk, names say nothing", nil, "Junk", 0, "Inbox", 0},
		{"out of junk, to a good one", named, "Junk", 0, "good", ham},
		{"out of junk, to one of which nothing is said", named, "Junk", 0, "Archive", 0},
		{"out of a good one, to one of which nothing is said", named, "good", 0, "Archive", 0},
		{"without names, other moves change nothing", nil, "Inbox", ham, "Archive", ham},
		{"to trash", named, "spam", 0, "Trash", junk},
		{"good one to trash", named, "good", 0, "Trash", ham},
		{"to drafts", nil, "Inbox", ham, "Drafts", ham},
		{"rejects are not junk by themselves", named, "Rejects", 0, "", 0},
		{"out of rejects", nil, "Rejects", 0, "Inbox", ham},
		{"out of rejects, with names", named, "Rejects", 0, "Archive", ham},
		{"out of rejects to junk", named, "Rejects", 0, "spam", junk},
		{"out of rejects to trash", named, "Rejects", 0, "Trash", 0},
		{"out of introbox to where it was meant to go", nil, "Introbox", 0, "Inbox", ham},
		{"out of introbox to elsewhere", nil, "Introbox", 0, "Archive", 0},
		{"out of introbox to junk", nil, "Introbox", 0, "Junk", junk},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			j := newJudgeTest(t, Policy{RejectsMailbox: "Rejects", Introbox: "Introbox", JunkFlags: tc.junkFlags, Train: true})
			j.update(func(tx *Tx) error { _, err := tx.CreateMailbox("spam", 0); return err })
			j.update(func(tx *Tx) error { _, err := tx.CreateMailbox("good", 0); return err })
			m := j.deliver(tc.from, &Origin{}, func(m *NewMessage) {
				m.Flags = tc.flags
				if tc.from == "Introbox" || tc.from == "Rejects" {
					m.Destined = "Inbox"
				}
			})
			if tc.to != "" {
				m = j.transfer(m, tc.to, false)
			}
			if m.Flags != tc.want {
				t.Errorf("got flags %v, expected %v", m.Flags, tc.want)
			}
		})
	}
}

func TestAppendedMessagesKeepTheirFlags(t *testing.T) {
	t.Parallel()
	j := newJudgeTest(t, Policy{Train: true})
	// A client knows what it stores, also in the mailbox for junk.
	if m := j.deliver("Junk", nil, func(m *NewMessage) { m.Flags = imap.FlagNotJunk }); m.Flags != imap.FlagNotJunk {
		t.Errorf("got flags %v", m.Flags)
	}
}
