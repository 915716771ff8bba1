package store

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"mox/imap"
	"mox/internal/boltpages"
)

// randomIndex makes a mailbox with messages of all kinds. Wild ones have numbers of any size.
func randomIndex(rnd *rand.Rand, n int, wild bool) (*Mailbox, *Index) {
	mb := &Mailbox{ID: 1 + rnd.Int64N(100), UIDValidity: 1 + rnd.Uint32N(math.MaxUint32), UIDNext: 1, ModSeq: ModSeq(rnd.Int64())}
	number := func(usual int64) int64 {
		if wild && rnd.IntN(3) == 0 {
			return int64(rnd.Uint64())
		}
		return usual
	}
	lists := []*[]string{nil, nil, nil, {"$label1"}, {"a", "b"}, {"\xffodd", "caf\u00e9"}}
	var muts []mutation
	for i := range n {
		gap := uint32(0)
		if rnd.IntN(10) == 0 {
			gap = rnd.Uint32N(1 << 12)
		}
		e := Entry{
			UID: mb.UIDNext + gap, zone: int16(rnd.IntN(3)*60 - 60), MessageID: number(int64(i + 1)), ContentID: number(int64(i + 7)),
			ThreadID: number(int64(i)), ModSeq: ModSeq(number(rnd.Int64N(1000))), CreateSeq: ModSeq(number(5)), Size: number(4000),
			received: number(1.8e9), saved: number(rnd.Int64N(2) * 1.8e9), keywords: lists[rnd.IntN(len(lists))],
		}
		if wild {
			e.zone = int16(rnd.Uint32())
		}
		f := Flags(rnd.IntN(int(imap.FlagsAll) + 1))
		mb.UIDNext = e.UID + 1
		mb.Counts.count(f, e.Size, 1)
		muts = append(muts, mutation{uid: e.UID, flags: f, entry: e})
	}
	ix := newIndex(mb, mb.ModSeq, nil).apply(mb, mb.ModSeq, muts)
	// Chunks of all sizes.
	for range rnd.IntN(20) {
		if ix.Len() == 0 {
			break
		}
		pos := rnd.IntN(ix.Len())
		mb.Counts.count(ix.Flags(pos), ix.At(pos).Size, -1)
		ix = ix.apply(mb, mb.ModSeq, []mutation{{uid: ix.At(pos).UID, removed: true}})
	}
	return mb, ix
}

func TestAnIndexComesBackFromItsFile(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(5, 6))
	for i := range 60 {
		n := []int{0, 1, 2, chunkSize - 1, chunkSize, chunkSize + 1, rnd.IntN(3000)}[i%7]
		mb, ix := randomIndex(rnd, n, i%2 == 0)
		b := appendIndex([]byte("before"), mb, ix)[len("before"):]
		f, sum, err := parseIndex(b)
		if err != nil {
			t.Fatalf("%d messages: %v", n, err)
		}
		if _, want, err := checkSum(b); err != nil || sum != want {
			t.Errorf("crc %x, want %x, %v", sum, want, err)
		}
		if !f.is(mb) {
			t.Errorf("file of mailbox %+v says %+v", mb, f)
		}
		got := newIndex(mb, ix.ModSeq(), f.chunks)
		if !sameMessages(ix, got) {
			t.Fatalf("%d messages are others in the file", n)
		}
		for _, c := range f.chunks {
			if c.len() > chunkSize || c.len() != len(c.entries()) || c.last != c.entries()[c.len()-1].UID || slices.ContainsFunc(c.entries(), func(e Entry) bool { return e.ModSeq > c.modSeq }) {
				t.Fatalf("chunk of %d messages up to modseq %d", c.len(), c.modSeq)
			}
		}
		for what, change := range map[string]func(*Mailbox){
			"id": func(mb *Mailbox) { mb.ID++ }, "uidvalidity": func(mb *Mailbox) { mb.UIDValidity-- }, "uidnext": func(mb *Mailbox) { mb.UIDNext++ },
			"modseq": func(mb *Mailbox) { mb.ModSeq-- }, "messages": func(mb *Mailbox) { mb.Messages++ }, "unseen": func(mb *Mailbox) { mb.Unseen++ },
		} {
			other := *mb
			if change(&other); f.is(&other) {
				t.Errorf("file is taken for that of a mailbox of another %s", what)
			}
		}
	}
}

func TestAllWhoAskForEntriesOfAFileAtOnceGetTheSame(t *testing.T) {
	t.Parallel()
	mb, ix := randomIndex(rand.New(rand.NewPCG(13, 14)), 3*chunkSize, false)
	f, _, err := parseIndex(appendIndex(nil, mb, ix))
	tcheck(t, err)
	read := newIndex(mb, mb.ModSeq, f.chunks)
	var got [8][]*Entry
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			for _, it := range read.Range(0, read.Len()) {
				got[i] = append(got[i], it.Entry)
			}
		})
	}
	wg.Wait()
	for _, l := range got {
		if !slices.Equal(l, got[0]) {
			t.Error("not the same entries")
		}
	}
	for _, c := range read.chunks {
		if c.packed.Load() != nil {
			t.Error("a chunk is in memory as it is in the file, and as entries")
		}
	}
}

func TestADamagedIndexFileIsRecognised(t *testing.T) {
	t.Parallel()
	mb, ix := randomIndex(rand.New(rand.NewPCG(7, 8)), 50, false)
	list := indexList{boltpages.Mark{Commit: 77, Checksum: math.MaxUint64}, map[int64]uint32{1: 5, 300: math.MaxUint32}}
	for what, tc := range map[string]struct {
		data  []byte
		parse func([]byte) error
	}{
		"index": {appendIndex(nil, mb, ix), func(b []byte) error { _, _, err := parseIndex(b); return err }},
		"list":  {list.appendTo(nil), func(b []byte) error { _, err := parseIndexList(b); return err }},
	} {
		if err := tc.parse(tc.data); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for i := range tc.data {
			if tc.parse(tc.data[:i]) == nil {
				t.Errorf("%s cut to %d octets is taken for whole", what, i)
			}
			for bit := range 8 {
				b := bytes.Clone(tc.data)
				b[i] ^= 1 << bit
				if tc.parse(b) == nil {
					t.Errorf("%s with bit %d of octet %d changed is taken for whole", what, bit, i)
				}
			}
		}
		if tc.parse(append(bytes.Clone(tc.data), 0)) == nil {
			t.Errorf("%s with more behind it is taken for whole", what)
		}
	}
}

func TestAListOfAnotherFormatOfRecordsIsNotUsed(t *testing.T) {
	t.Parallel()
	b := indexList{files: map[int64]uint32{1: 5}}.appendTo(nil)
	b[1]++
	if l, err := parseIndexList(appendSum(b[:len(b)-4], 0)); err == nil {
		t.Errorf("got %+v", l)
	}
}

// FuzzParseIndex has the reader read what has a right CRC, but may have been written by
// nobody. What it takes is written and read again.
func FuzzParseIndex(f *testing.F) {
	rnd := rand.New(rand.NewPCG(9, 10))
	for _, n := range []int{0, 1, 20} {
		mb, ix := randomIndex(rnd, n, n == 20)
		b := appendIndex(nil, mb, ix)
		f.Add(b[:len(b)-4])
	}
	f.Add([]byte{indexFileVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		file, _, err := parseIndex(appendSum(bytes.Clone(b), 0))
		if err != nil {
			return
		}
		mb := &Mailbox{ID: file.mailboxID, UIDValidity: file.uidValidity, UIDNext: file.uidNext, ModSeq: file.modSeq}
		ix := newIndex(mb, mb.ModSeq, file.chunks)
		var last uint32
		for _, it := range ix.Range(0, ix.Len()) {
			if it.UID <= last || it.UID >= mb.UIDNext {
				t.Fatalf("uid %d after %d, uidnext %d", it.UID, last, mb.UIDNext)
			}
			last = it.UID
			mb.Counts.count(it.Flags, it.Size, 1)
		}
		if mb.Messages != file.counts.Messages {
			t.Fatalf("%d messages, should be %d", mb.Messages, file.counts.Messages)
		}
		again, _, err := parseIndex(appendIndex(nil, mb, ix))
		if err != nil || !again.is(mb) || !sameMessages(ix, newIndex(mb, mb.ModSeq, again.chunks)) {
			t.Fatalf("written and read again: %+v, %v", again, err)
		}
	})
}

// FuzzParseIndexList does that for the list of files.
func FuzzParseIndexList(f *testing.F) {
	for _, l := range []indexList{{}, {boltpages.Mark{Commit: 1, Checksum: 2}, map[int64]uint32{3: 4, 5: 6}}} {
		b := l.appendTo(nil)
		f.Add(b[:len(b)-4])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseIndexList(appendSum(bytes.Clone(b), 0))
		if err != nil {
			return
		}
		if again, err := parseIndexList(l.appendTo(nil)); err != nil || fmt.Sprint(again) != fmt.Sprint(l) {
			t.Fatalf("%+v was written and read as %+v, %v", l, again, err)
		}
	})
}

// BenchmarkIndexCode is what the content of a file costs: to write it, to read it as SELECT
// does, and to make the entries of all messages of it, as most commands do when they are the
// first.
func BenchmarkIndexCode(b *testing.B) {
	for _, n := range []int{20000, 100000} {
		mb, ix := randomIndex(rand.New(rand.NewPCG(11, 12)), n, false)
		data := appendIndex(nil, mb, ix)
		read := func(b *testing.B) *indexFile {
			f, _, err := parseIndex(data)
			if err != nil {
				b.Fatal(err)
			}
			return f
		}
		b.Run(fmt.Sprintf("messages=%d/write", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				data = appendIndex(data[:0], mb, ix)
			}
			b.ReportMetric(float64(len(data))/float64(n), "B/message")
		})
		b.Run(fmt.Sprintf("messages=%d/read", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				read(b)
			}
		})
		b.Run(fmt.Sprintf("messages=%d/unpack", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				for _, c := range read(b).chunks {
					c.entries()
				}
			}
		})
	}
}
