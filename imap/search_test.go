package imap

import "testing"

func TestSearchOps(t *testing.T) {
	t.Parallel()
	for op := SearchAll; op <= SearchThreadID; op++ {
		name := op.String()
		switch op {
		case SearchAnd, SearchSeq, SearchFlag, SearchNotFlag:
			if name != "" {
				t.Errorf("%d has name %q", op, name)
			}
			continue
		}
		if got, flag, ok := ParseSearchOp(name); !ok || got != op || flag != 0 {
			t.Errorf("%q is %d with flag %d, %v, want %d", name, got, flag, ok, op)
		}
	}
	if SearchOp(200).String() != "" || SearchOp(200).Arg() != ArgNone {
		t.Error("what is no operation has a name or an argument")
	}
}

func TestSearchOpsOfFlags(t *testing.T) {
	t.Parallel()
	for name, flag := range map[string]Flags{
		"ANSWERED": FlagAnswered, "DELETED": FlagDeleted, "DRAFT": FlagDraft, "FLAGGED": FlagFlagged, "SEEN": FlagSeen,
	} {
		if op, f, ok := ParseSearchOp(name); !ok || op != SearchFlag || f != flag {
			t.Errorf("%s: %d %d %v", name, op, f, ok)
		}
		if op, f, ok := ParseSearchOp("UN" + name); !ok || op != SearchNotFlag || f != flag {
			t.Errorf("UN%s: %d %d %v", name, op, f, ok)
		}
	}
	for _, name := range []string{"", "UN", "UNRECENT", "JUNK", "$JUNK", "UNALL", "UNNEW"} {
		if op, _, ok := ParseSearchOp(name); ok {
			t.Errorf("%q is %d", name, op)
		}
	}
}

func TestSearchKeyUsesSeqs(t *testing.T) {
	t.Parallel()
	uid := SearchKey{Op: SearchUID}
	seq := SearchKey{Op: SearchSeq}
	for _, tc := range []struct {
		key  SearchKey
		want bool
	}{
		{SearchKey{}, false},
		{uid, false},
		{seq, true},
		{SearchKey{Op: SearchAnd, Keys: []SearchKey{uid, {Op: SearchNot, Keys: []SearchKey{seq}}}}, true},
		{SearchKey{Op: SearchOr, Keys: []SearchKey{uid, uid}}, false},
	} {
		if got := tc.key.UsesSeqs(); got != tc.want {
			t.Errorf("%+v: got %v", tc.key, got)
		}
	}
}
