package search

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"mox/message"
)

// What FETCH sends of all messages is kept from the second time on, also in files, and is
// what digests have.
func TestDataIsThatOfDigests(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	m := newMailbox(t)
	add := func(n int) {
		var msgs []newMessage
		for i := range n {
			data := fmt.Sprintf("From: a%d@x\nSubject: s%d\n s\nX-Other: %d\nDate: 1 Nov 2026 10:00:00 +0000\n\nx\n", i, i, i)
			if i%9 == 0 {
				data = fmt.Sprintf("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=%d\n\n--%d\n\nx\n--%d--\n", i, i, i)
			}
			msgs = append(msgs, newMessage{data, "", now})
		}
		m.add(msgs...)
	}
	for range savedRows / 100 {
		add(100)
	}
	names := []string{"Subject", "DATE", "from"}
	ask := func(k *Keys, fields []string) *Data {
		t.Helper()
		mb := Mailbox{Mail: m, Owner: m.Account, Index: m.index()}
		get := func() (*Data, error) { return k.HeaderFields(ctx, mb, fields) }
		if fields == nil {
			get = func() (*Data, error) { return k.BodyStructures(ctx, mb) }
		}
		data, err := get()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	compare := func(data *Data, fields []string) {
		t.Helper()
		if data == nil {
			t.Error("nothing is known")
			return
		}
		var l [][]byte
		for _, name := range fields {
			l = append(l, []byte(name))
		}
		var ids []int64
		for i := range m.index().Len() {
			ids = append(ids, m.index().At(i).ContentID)
		}
		err := m.Account.Digests(ctx, ids, func(i int, d message.Digest) error {
			want := d.BodyStructure()
			if fields != nil {
				want = d.FilterFields(nil, l, false)
			}
			if b, ok := data.At(i); !ok || string(b) != string(want) {
				t.Errorf("message %d: %q, %v, want %q", i, b, ok, want)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	k := NewKeys(1 << 24)
	for _, fields := range [][]string{nil, names} {
		if ask(k, fields) != nil {
			t.Errorf("%v is known when it is asked for first", fields)
		}
		compare(ask(k, fields), fields)
		m.digests = 0
		compare(ask(k, fields), fields)
		if m.digests > 0 {
			t.Errorf("%v: %d digests were read again", fields, m.digests)
		}
		add(1)
		compare(ask(k, fields), fields)
	}
	compare(ask(k, []string{"from", "From", "Date", "Subject"}), names)
	k.Close()

	k = NewKeys(1 << 24)
	m.digests = 0
	compare(ask(k, nil), nil)
	compare(ask(k, names), names)
	if m.digests > 10 {
		t.Errorf("%d digests were read, with files", m.digests)
	}
	for range 2 {
		for _, bad := range [][]string{{"from+date"}, {"from", ""}, {"fröm"}, {"../from"}, {strings.Repeat("x", maxSavedField)}} {
			if ask(k, bad) != nil {
				t.Errorf("%q is kept", bad)
			}
		}
	}
	// What the digest does not have is asked of each message.
	ask(k, []string{"X-Other"})
	data := ask(k, []string{"X-Other"})
	for i, want := range []bool{true, false} {
		if _, ok := data.At(i); ok != want {
			t.Errorf("message %d: known %v", i, ok)
		}
	}
	k.Close()

	k = NewKeys(20000)
	for range 3 {
		ask(k, []string{"Date"})
	}
	if k.size > k.max {
		t.Errorf("%d bytes are kept", k.size)
	}
	k.Close()
}
