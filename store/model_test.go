package store

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mox/imap"
	"mox/internal/safefile"
	"mox/internal/testkit"
)

// model is what an account should hold, kept in the simplest way.
type model struct {
	boxes map[string]*modelBox
}

type modelBox struct {
	uidNext uint32
	use     SpecialUse
	msgs    []modelMsg // By UID.
	dead    []modelMsg // Expunged, can be undeleted.
}

type modelMsg struct {
	uid   uint32
	flags Flags
	kw    []string
	data  string
}

func (m *model) clone() *model {
	c := &model{map[string]*modelBox{}}
	for n, b := range m.boxes {
		c.boxes[n] = &modelBox{b.uidNext, b.use, slices.Clone(b.msgs), slices.Clone(b.dead)}
	}
	return c
}

// modelRun does random operations on an account and a model.
type modelRun struct {
	t    *testing.T
	opts Options
	s    *Store
	a    *Account
	m    *model
	rnd  *rand.Rand
	n    int
	seen map[string]*Index // Last version of each mailbox, to test Diff.
}

func newModelRun(t *testing.T, seed uint64, change ...func(*Options)) *modelRun {
	r := &modelRun{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), m: &model{map[string]*modelBox{}}, seen: map[string]*Index{}}
	r.opts = testOptions(t)
	r.opts.Policy = func(string) Policy { return Policy{JunkFlags: modelJunkFlags, Train: true} }
	for _, c := range change {
		c(&r.opts)
	}
	r.open()
	for _, mb := range r.a.Tree().Mailboxes() {
		r.m.boxes[mb.Name] = &modelBox{uidNext: 1, use: mb.SpecialUse}
	}
	t.Cleanup(func() { r.s.Close() })
	return r
}

// modelJunkFlags is what names of mailboxes say in the model.
func modelJunkFlags(name string) (junk, notJunk bool) {
	return strings.Contains(name, "box1"), strings.HasPrefix(name, "renamed") && !strings.Contains(name, "box1")
}

// arrive returns the flags of a message that comes into a mailbox.
func arrive(name string, b *modelBox, same bool, f Flags) Flags {
	junk, notJunk := modelJunkFlags(name)
	other := f &^ (imap.FlagJunk | imap.FlagNotJunk)
	switch {
	case b.use&UseJunk != 0:
		return other | imap.FlagJunk
	case b.use&(UseTrash|UseDrafts) != 0:
		return f
	case junk:
		return other | imap.FlagJunk
	case notJunk:
		return other | imap.FlagNotJunk
	case same:
		return f
	}
	return other
}

func (r *modelRun) open() {
	r.t.Helper()
	var err error
	if r.s, err = Open(ctx, r.opts); err != nil {
		r.t.Fatal(err)
	}
	if r.a, err = r.s.Ensure(ctx, "mox"); err != nil {
		r.t.Fatal(err)
	}
}

func (r *modelRun) reopen() {
	r.t.Helper()
	if err := r.s.Close(); err != nil {
		r.t.Fatalf("close: %v", err)
	}
	rep, err := Verify(ctx, r.opts.Dir, VerifyOptions{})
	if err != nil || len(rep.Problems) > 0 {
		r.t.Fatalf("verify after close: %v %v", err, rep.Problems)
	}
	clear(r.seen)
	r.open()
}

func (r *modelRun) pickBox() (string, *modelBox) {
	names := slices.Sorted(maps.Keys(r.m.boxes))
	n := names[r.rnd.IntN(len(names))]
	return n, r.m.boxes[n]
}

func (r *modelRun) pickUIDs(b *modelBox) []uint32 {
	uids := []uint32{}
	for _, m := range b.msgs {
		if r.rnd.IntN(3) == 0 {
			uids = append(uids, m.uid)
		}
	}
	if r.rnd.IntN(4) == 0 {
		uids = append(uids, b.uidNext+5) // Does not exist.
	}
	return uids
}

func (r *modelRun) id(name string) int64 {
	mb, ok := r.a.Tree().ByName(name)
	if !ok {
		r.t.Fatalf("no mailbox %q", name)
	}
	return mb.ID
}

// reportOnly marks what may fail when files cannot be written, without harm.
func reportOnly(t *testing.T, err error) {
	if !errors.Is(err, testkit.ErrIO) && !errors.Is(err, ErrNoSpace) {
		t.Fatalf("unexpected kind of error: %v", err)
	}
}

// step does one operation. It returns the model as it should be if the account
// says it succeeded, and what it said.
func (r *modelRun) step() (want *model, what string, err error) {
	want = r.m.clone()
	name, _ := r.pickBox()
	b := want.boxes[name]
	switch op := r.rnd.IntN(20); {
	case op < 7:
		what, err = r.append(want, name)
	case op < 11:
		what, err = r.setFlags(b, name)
	case op < 13:
		uids := r.pickUIDs(b)
		what = fmt.Sprintf("expunge %s %v", name, uids)
		err = r.a.Update(ctx, func(tx *Tx) error { _, err := tx.Expunge(r.id(name), uids, false); return err })
		b.remove(uids, true)
	case op < 14:
		what, err = r.copyMove(want, name, false)
	case op < 16:
		what, err = r.copyMove(want, name, true)
	case op < 17:
		what, err = r.undelete(b, name)
	default:
		what, err = r.mailbox(want, name)
	}
	return want, what, err
}

func (b *modelBox) remove(uids []uint32, dead bool) (removed []modelMsg) {
	b.msgs = slices.DeleteFunc(b.msgs, func(m modelMsg) bool {
		if !slices.Contains(uids, m.uid) {
			return false
		}
		removed = append(removed, m)
		if dead {
			b.dead = append(b.dead, m)
		}
		return true
	})
	return removed
}

func (b *modelBox) add(m modelMsg) {
	m.uid = b.uidNext
	b.uidNext++
	b.msgs = append(b.msgs, m)
}

func (r *modelRun) append(want *model, name string) (string, error) {
	var l []NewMessage
	for range 1 + r.rnd.IntN(3) {
		r.n++
		data := testMessage(r.n) + strings.Repeat("x", r.rnd.IntN(100)) + "\r\n"
		sp := safefile.NewSpool(safefile.SpoolOptions{Dir: r.s.TempDir(), FS: r.opts.FS})
		defer sp.Close()
		if _, err := sp.Write([]byte(data)); err != nil {
			r.t.Fatal(err)
		}
		m := NewMessage{Mailbox: name, Spool: sp, Flags: imap.FlagSeen}
		f := imap.FlagSeen
		if r.rnd.IntN(2) == 0 {
			m.Origin, m.Destined = r.origin(), imap.Inbox
			f = arrive(name, want.boxes[name], true, f)
		}
		l = append(l, m)
		want.boxes[name].add(modelMsg{flags: f, data: data})
	}
	_, err := r.a.Append(ctx, l...)
	return fmt.Sprintf("append %d to %s", len(l), name), err
}

// origin returns an origin that is much like others.
func (r *modelRun) origin() *Origin {
	org := fmt.Sprintf("d%d.example", r.rnd.IntN(3))
	return &Origin{
		MsgFrom: fmt.Sprintf("u%d@%s", r.rnd.IntN(3), org), MsgFromDomain: org, MsgFromOrgDomain: org, MsgFromValidated: r.rnd.IntN(2) == 0,
		RemoteIP: fmt.Sprintf("192.0.2.%d", r.rnd.IntN(255)), DKIMDomains: []string{org}, EHLODomain: org, EHLOValidated: true,
	}
}

func (r *modelRun) setFlags(b *modelBox, name string) (string, error) {
	uids := r.pickUIDs(b)
	kw := []string{fmt.Sprintf("kw%d", r.rnd.IntN(5))}
	c := FlagChange{Op: FlagOp(r.rnd.IntN(3)), FlagSet: imap.FlagSet{Flags: Flags(r.rnd.IntN(int(imap.FlagsAll) + 1)), Keywords: kw}}
	for i := range b.msgs {
		if m := &b.msgs[i]; slices.Contains(uids, m.uid) {
			m.flags, m.kw = c.apply(m.flags, m.kw)
		}
	}
	err := r.a.Update(ctx, func(tx *Tx) error { _, err := tx.SetFlags(r.id(name), uids, c, -1); return err })
	return fmt.Sprintf("flags %v of %s %v", c, name, uids), err
}

func (r *modelRun) copyMove(want *model, name string, move bool) (string, error) {
	src := want.boxes[name]
	dstName, _ := r.pickBox()
	dst := want.boxes[dstName]
	uids := r.pickUIDs(src)
	msgs := slices.DeleteFunc(slices.Clone(src.msgs), func(m modelMsg) bool { return !slices.Contains(uids, m.uid) })
	if move {
		src.remove(uids, false)
	}
	for _, m := range msgs {
		m.flags = arrive(dstName, dst, src == dst, m.flags)
		dst.add(m)
	}
	err := r.a.Update(ctx, func(tx *Tx) error {
		f := tx.Copy
		if move {
			f = tx.Move
		}
		l, err := f(r.id(name), uids, r.id(dstName))
		if err == nil && len(l) != len(msgs) {
			r.t.Errorf("copied %d messages, expected %d", len(l), len(msgs))
		}
		return err
	})
	return fmt.Sprintf("move %v %s %v to %s", move, name, uids, dstName), err
}

func (r *modelRun) undelete(b *modelBox, name string) (string, error) {
	var uids []uint32
	for _, m := range b.dead {
		uids = append(uids, m.uid)
		m.flags &^= imap.FlagDeleted
		b.add(m)
	}
	b.dead = nil
	ids := expungedIDs(r.t, r.a, r.id(name), uids...)
	err := r.a.Update(ctx, func(tx *Tx) error { _, err := tx.Undelete(ids, ""); return err })
	return fmt.Sprintf("undelete %s %v", name, uids), err
}

func (r *modelRun) mailbox(want *model, name string) (string, error) {
	hasChildren := slices.ContainsFunc(slices.Collect(maps.Keys(want.boxes)), func(n string) bool { return strings.HasPrefix(n, name+"/") })
	r.n++
	switch r.rnd.IntN(3) {
	case 0:
		n := fmt.Sprintf("%s/box%d", name, r.n)
		if strings.Count(n, "/") > 3 {
			n = fmt.Sprintf("box%d", r.n)
		}
		want.boxes[n] = &modelBox{uidNext: 1}
		return "create " + n, r.a.Update(ctx, func(tx *Tx) error { _, err := tx.CreateMailbox(n, 0); return err })
	case 1:
		if name == imap.Inbox || hasChildren {
			return "nothing", nil
		}
		delete(want.boxes, name)
		return "delete " + name, r.a.Update(ctx, func(tx *Tx) error { return tx.DeleteMailbox(r.id(name)) })
	}
	n := fmt.Sprintf("renamed%d", r.n)
	if r.rnd.IntN(3) == 0 && name != imap.Inbox && strings.Count(name, "/") < 2 {
		n = name + "/" + n // Below itself: a new mailbox takes the old name.
	}
	if name == imap.Inbox {
		want.boxes[n] = &modelBox{uidNext: 1}
		for _, m := range want.boxes[name].msgs {
			m.flags = arrive(n, want.boxes[n], false, m.flags)
			want.boxes[n].add(m)
		}
		want.boxes[name].msgs = nil
	} else {
		for _, old := range slices.Collect(maps.Keys(want.boxes)) {
			if old == name || strings.HasPrefix(old, name+"/") {
				want.boxes[n+old[len(name):]] = want.boxes[old]
				delete(want.boxes, old)
			}
		}
		if strings.HasPrefix(n, name+"/") {
			want.boxes[name] = &modelBox{uidNext: 1}
		}
	}
	return "rename " + name + " " + n, r.a.Update(ctx, func(tx *Tx) error { return tx.RenameMailbox(r.id(name), n) })
}

// compare checks that the account is what the model says.
func (r *modelRun) compare(what string) {
	r.t.Helper()
	t := r.a.Tree()
	var names []string
	for _, mb := range t.Mailboxes() {
		names = append(names, mb.Name)
		b := r.m.boxes[mb.Name]
		if b == nil {
			r.t.Fatalf("%s: unexpected mailbox %q", what, mb.Name)
		}
		r.compareBox(what, mb, b)
	}
	if len(names) != len(r.m.boxes) {
		r.t.Fatalf("%s: mailboxes %q, expected %q", what, names, slices.Sorted(maps.Keys(r.m.boxes)))
	}
}

func (r *modelRun) compareBox(what string, mb Mailbox, b *modelBox) {
	r.t.Helper()
	ix, err := r.a.Index(ctx, mb.ID)
	if err != nil {
		r.t.Fatalf("%s: index of %q: %v", what, mb.Name, err)
	}
	if mb.UIDNext != b.uidNext || ix.Len() != len(b.msgs) || mb.Messages != int64(len(b.msgs)) {
		r.t.Fatalf("%s: %q has uidnext %d and %d messages, counted %d, expected %d and %d", what, mb.Name, mb.UIDNext, ix.Len(), mb.Messages, b.uidNext, len(b.msgs))
	}
	for i, it := range ix.Range(0, ix.Len()) {
		m := b.msgs[i]
		if it.UID != m.uid || it.Flags != m.flags || !slices.Equal(it.Keywords(), m.kw) || it.Size != int64(len(m.data)) {
			r.t.Fatalf("%s: %q message %d is %+v, expected %+v", what, mb.Name, i, it, m)
		}
	}
	key := fmt.Sprint(mb.ID)
	if old := r.seen[key]; old != nil {
		checkDiff(r.t, old, ix)
	}
	r.seen[key] = ix
}

// checkDiff compares Diff with the slow way.
func checkDiff(t *testing.T, old, new *Index) {
	t.Helper()
	var want Diff
	for _, it := range old.Range(0, old.Len()) {
		pos, ok := new.Find(it.UID)
		if !ok {
			want.Expunged = append(want.Expunged, it.UID)
		} else if new.At(pos).ModSeq != it.ModSeq {
			want.Changed = append(want.Changed, it.UID)
		}
	}
	for _, it := range new.Range(0, new.Len()) {
		if _, ok := old.Find(it.UID); !ok {
			want.Added = append(want.Added, it.UID)
		}
	}
	got := old.Diff(new)
	if !slices.Equal(got.Expunged, want.Expunged) || !slices.Equal(got.Changed, want.Changed) || !slices.Equal(got.Added, want.Added) {
		t.Fatalf("diff %+v, expected %+v", got, want)
	}
}

// readAll reads every message.
func (r *modelRun) readAll() {
	r.t.Helper()
	for name, b := range r.m.boxes {
		ix, err := r.a.Index(ctx, r.id(name))
		if err != nil {
			r.t.Fatal(err)
		}
		for i, it := range ix.Range(0, ix.Len()) {
			c, err := r.a.OpenContent(ctx, it.ContentID)
			if err != nil {
				r.t.Fatalf("open message %d of %q: %v", i, name, err)
			}
			buf := make([]byte, c.Size())
			if _, err := c.ReadAt(buf, 0); err != nil || string(buf) != b.msgs[i].data {
				r.t.Fatalf("message %d of %q: %q, %v", i, name, buf, err)
			}
			if err := c.Close(); err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

func TestRandomOperationsMatchAModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			r := newModelRun(t, seed)
			for i := range 250 {
				want, what, err := r.step()
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				r.m = want
				r.compare(what)
				if i%60 == 59 {
					r.readAll()
					r.reopen()
					r.compare("reopen")
				}
			}
			if problems, err := r.a.Verify(ctx); err != nil || len(problems) > 0 {
				t.Fatalf("verify: %v %q", err, problems)
			}
			r.reopen()
			r.readAll()
		})
	}
}

// A failing file operation, at any point, makes one command fail without any
// effect, or is made up for.
func TestRandomOperationsWithFailingFilesMatchAModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			faults := testkit.NewFaults(nil)
			r := newModelRun(t, 100+seed, func(o *Options) { o.FS = faults })
			failed := 0
			for i := range 250 {
				injected := []error{testkit.ErrIO, testkit.ErrNoSpace}[r.rnd.IntN(2)]
				faults.FailAt(1+r.rnd.IntN(12), injected, testkit.Mutations()...)
				want, what, err := r.step()
				if i%20 == 0 {
					if serr := r.a.Sweep(ctx); serr != nil {
						reportOnly(t, serr)
					}
				}
				faults.Clear()
				if err == nil {
					r.m = want
				} else {
					failed++
					reportOnly(t, err)
				}
				r.compare(what)
				if i%60 == 59 {
					r.readAll()
					r.reopen()
					r.compare("reopen")
				}
			}
			if failed < 10 {
				t.Errorf("only %d operations failed", failed)
			}
			r.reopen()
			r.readAll()
		})
	}
}
