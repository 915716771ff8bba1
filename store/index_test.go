package store

import (
	"math/rand/v2"
	"slices"
	"testing"

	"mox/imap"
)

// versions makes versions of a mailbox of about 3000 messages, each after a few changes.
func versions(rnd *rand.Rand, n int) []*Index {
	mb := &Mailbox{ID: 1, UIDValidity: 1, UIDNext: 1}
	modSeq := ModSeq(1)
	var muts []mutation
	for range 3000 {
		muts = append(muts, mutation{uid: mb.UIDNext, entry: Entry{UID: mb.UIDNext, ModSeq: modSeq}})
		mb.UIDNext++
	}
	l := []*Index{newIndex(mb, modSeq, nil).apply(mb, modSeq, muts)}
	for range n {
		modSeq++
		last := l[len(l)-1]
		muts = muts[:0]
		for range rnd.IntN(5) {
			e := *last.At(rnd.IntN(last.Len()))
			e.ModSeq = modSeq
			muts = append(muts, mutation{uid: e.UID, removed: rnd.IntN(4) == 0, flags: imap.FlagSeen, entry: e})
		}
		for range rnd.IntN(3) {
			muts = append(muts, mutation{uid: mb.UIDNext, entry: Entry{UID: mb.UIDNext, ModSeq: modSeq}})
			mb.UIDNext++
		}
		l = append(l, last.apply(mb, modSeq, muts))
	}
	return l
}

func TestChangedSinceIsWhatAScanFinds(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	l := versions(rnd, 40)
	for range 200 {
		ix := l[rnd.IntN(len(l))]
		since := ModSeq(rnd.IntN(45))
		from, to := rnd.IntN(ix.Len()), rnd.IntN(ix.Len()+1)
		var want, got []int
		for pos, it := range ix.Range(from, to) {
			if it.ModSeq > since {
				want = append(want, pos)
			}
		}
		for pos := range ix.ChangedSince(since, from, to) {
			got = append(got, pos)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("since %d, from %d to %d: %v, want %v", since, from, to, got, want)
		}
		for range ix.ChangedSince(since, from, to) {
			break // It must stop when told.
		}
	}
}

func TestWithHasTheMessagesOfTheOldAndTheFlagsOfTheNew(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	l := versions(rnd, 40)
	for range 50 {
		i := rnd.IntN(len(l))
		old, newer := l[i], l[i+rnd.IntN(len(l)-i)]
		got := old.With(newer)
		if got.Len() != old.Len() || got.UIDNext() != old.UIDNext() {
			t.Fatalf("%d messages, want %d", got.Len(), old.Len())
		}
		for pos, it := range got.Range(0, got.Len()) {
			want := Item{Entry: old.At(pos), Flags: old.Flags(pos)}
			if p, ok := newer.Find(want.UID); ok {
				want = Item{Entry: newer.At(p), Flags: newer.Flags(p)}
			}
			if it.UID != want.UID || it.Flags != want.Flags || it.ModSeq != want.ModSeq {
				t.Fatalf("message %d is %+v with %v, want %+v with %v", pos, it.Entry, it.Flags, want.Entry, want.Flags)
			}
		}
	}
}
