package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mox/imap"
)

func setAnnotation(name, value string) AnnotationChange {
	return AnnotationChange{Annotation: Annotation{name, []byte(value)}}
}

func TestAnnotationsAreLimited(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	ctx := t.Context()
	set := func(changes ...AnnotationChange) error {
		return a.Update(ctx, func(tx *Tx) error { return tx.SetAnnotations(0, changes) })
	}
	names := func() int {
		l, err := a.Annotations(ctx, 0)
		if err != nil {
			t.Fatal(err)
		}
		return len(l)
	}
	var many []AnnotationChange
	for i := range MaxAnnotations {
		many = append(many, setAnnotation(fmt.Sprintf("/private/%d", i), "x"))
	}
	if err := set(many...); err != nil {
		t.Fatalf("as many as there may be: %v", err)
	}
	if err := set(setAnnotation("/private/0", "other"), setAnnotation("/private/more", "x")); !errors.Is(err, ErrLimit) {
		t.Errorf("too many: %v", err)
	}
	if l, _ := a.Annotations(ctx, 0); string(l[0].Value) != "x" {
		t.Errorf("%q after a change that failed", l[0].Value)
	}
	if err := set(setAnnotation("/private/0", strings.Repeat("x", MaxAnnotationSize+1))); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
	for i := range many {
		many[i].Remove = true
	}
	if err := set(many...); err != nil || names() != 0 {
		t.Errorf("%d after all were removed, %v", names(), err)
	}
	var err error
	n := 0
	for ; err == nil && n < 20; n++ {
		err = set(setAnnotation(fmt.Sprintf("/private/%d", n), strings.Repeat("x", MaxAnnotationSize)))
	}
	if !errors.Is(err, ErrLimit) || names() != MaxAnnotationBytes/MaxAnnotationSize {
		t.Errorf("%d of the largest, %v", names(), err)
	}
}

func TestAnnotationsThatStayAreNoChange(t *testing.T) {
	t.Parallel()
	a := testAccount(t)
	ctx := t.Context()
	inbox, _ := a.Tree().ByName(imap.Inbox)
	s := a.Session()
	defer s.Close()
	set := func(c AnnotationChange) ModSeq {
		t.Helper()
		if err := a.Update(ctx, func(tx *Tx) error { return tx.SetAnnotations(inbox.ID, []AnnotationChange{c}) }); err != nil {
			t.Fatal(err)
		}
		return a.Tree().ModSeq
	}
	before := a.Tree().ModSeq
	if m := set(AnnotationChange{Annotation: Annotation{Name: "/private/x"}, Remove: true}); m != before {
		t.Errorf("removing what is not there is a change")
	}
	first := set(setAnnotation("/private/x", ""))
	if m := set(setAnnotation("/private/x", "")); m != first || m == before {
		t.Errorf("modseq %d, then %d for the same", first, m)
	}
	if now, _ := a.Tree().ByName(imap.Inbox); now.ModSeq != inbox.ModSeq {
		t.Errorf("modseq of the messages of the mailbox has changed")
	}
	changes, _ := s.Take()
	if len(changes) != 1 || changes[0].Kind != ChangeMetadata || changes[0].Entry != "/private/x" || changes[0].Name != imap.Inbox {
		t.Errorf("changes %+v", changes)
	}
	if err := a.Update(ctx, func(tx *Tx) error { return tx.SetAnnotations(99, nil) }); !errors.Is(err, ErrNoMailbox) {
		t.Errorf("missing mailbox: %v", err)
	}
}
