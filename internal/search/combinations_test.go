package search

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"mox/imap"
)

// randomKey returns a key of random shape from leaves.
func randomKey(rnd *rand.Rand, leaves []imap.SearchKey, depth int) imap.SearchKey {
	n := rnd.IntN(6)
	if depth == 0 {
		n = 0
	}
	switch n {
	case 3:
		return neg(randomKey(rnd, leaves, depth-1))
	case 4:
		return or(randomKey(rnd, leaves, depth-1), randomKey(rnd, leaves, depth-1))
	case 5:
		return and(randomKey(rnd, leaves, depth-1), randomKey(rnd, leaves, depth-1), randomKey(rnd, leaves, depth-1))
	}
	return leaves[rnd.IntN(len(leaves))]
}

// naive evaluates a key from what its leaves find on their own.
func naive(key imap.SearchKey, leaf func(imap.SearchKey) map[int]bool, n int) map[int]bool {
	out := map[int]bool{}
	switch key.Op {
	case imap.SearchAnd, imap.SearchOr, imap.SearchNot:
	default:
		return leaf(key)
	}
	for seq := 1; seq <= n; seq++ {
		count := 0
		for _, k := range key.Keys {
			if naive(k, leaf, n)[seq] {
				count++
			}
		}
		if key.Op == imap.SearchAnd && count == len(key.Keys) || key.Op == imap.SearchOr && count > 0 || key.Op == imap.SearchNot && count == 0 {
			out[seq] = true
		}
	}
	return out
}

func TestCombinationsFindWhatTheirPartsSay(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	m.add(sample...)
	leaves := []imap.SearchKey{
		{}, flag(imap.FlagSeen), noFlag(imap.FlagSeen), flag(imap.FlagDeleted), flag(imap.FlagFlagged), set(imap.SearchSeq, "2:3"), set(imap.SearchUID, "1,4"),
		text(imap.SearchKeyword, "work"), date(imap.SearchOn, "20-Nov-2026"), number(imap.SearchLarger, 100), text(imap.SearchFrom, "ann"), text(imap.SearchSubject, "t"),
		header("X-Odd", ""), header("Date", "1994"), text(imap.SearchBody, "beta"), text(imap.SearchBody, "alpha"), text(imap.SearchText, "third"), date(imap.SearchSentSince, "8-Feb-1994"),
	}
	alone := map[string]map[int]bool{}
	leaf := func(k imap.SearchKey) map[int]bool {
		name := fmt.Sprint(uint8(k.Op), k.Set, k.Flag, k.Text, k.Header, k.Date.Year, k.Date.Day, k.Number)
		if alone[name] == nil {
			alone[name] = map[int]bool{}
			for _, seq := range m.run(k, Scope{}, Options{}) {
				alone[name][seq] = true
			}
		}
		return alone[name]
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		key := randomKey(rnd, leaves, 4)
		want := naive(key, leaf, len(sample))
		got := m.run(key, Scope{}, Options{Descending: rnd.IntN(2) == 0})
		ok := len(got) == len(want)
		for _, seq := range got {
			ok = ok && want[seq]
		}
		if !ok {
			t.Fatalf("%#v found %v, want %v", key, got, want)
		}
	}
}
