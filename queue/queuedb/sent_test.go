package queuedb

import (
	"slices"
	"testing"
	"time"
)

func TestSentMessagesAreFoundInTheQueueAndInTheHistory(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	s := submission(t, "x", "a@one.example", "b@two.example")
	s.Base.EnvID, s.Base.MessageID = "env", "<id@example.org>"
	s.Recipients[0].FromID, s.Recipients[1].FromID = "one", "two"
	l, err := d.Enqueue(ctxbg, s)
	tcheck(t, err)
	other := submission(t, "x", "a@one.example")
	other.Account = "other"
	other.Base = s.Base
	_, err = d.Enqueue(ctxbg, other)
	tcheck(t, err)
	find := func(k SentKey, want ...int64) {
		t.Helper()
		sent, err := d.FindSent(ctxbg, "mjl", k)
		tcheck(t, err)
		var got []int64
		for _, s := range sent {
			if s.Base.EnvID != "env" || s.Message.Account != "mjl" {
				t.Errorf("found %+v", s)
			}
			got = append(got, s.Message.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%+v: found %v, want %v", k, got, want)
		}
	}
	all := func() {
		t.Helper()
		find(SentKey{FromID: "two"}, l[1].ID)
		find(SentKey{EnvID: "env"}, l[0].ID, l[1].ID)
		find(SentKey{MessageID: "<id@example.org>"}, l[0].ID, l[1].ID)
		find(SentKey{MessageID: "id@example.org"})
		find(SentKey{FromID: "three"})
		find(SentKey{EnvID: "other"})
	}
	all()
	tcheck(t, d.Finish(ctxbg, []Outcome{{ID: l[1].ID, Fate: Delivered, Retain: time.Hour, Result: &Result{Success: true}}}))
	all()

	suppressed, err := d.AddResults(ctxbg, []Added{
		{l[0].ID, Result{Error: "in the queue"}, NotUndeliverable},
		{l[1].ID, Result{Error: "retired"}, SurelyUndeliverable},
		{9999, Result{}, SurelyUndeliverable},
	})
	tcheck(t, err)
	if !slices.Equal(suppressed, []bool{false, true, false}) {
		t.Errorf("suppressed %v", suppressed)
	}
	if _, err := d.Suppressed(ctxbg, "mjl", path(t, "b@two.example")); err != nil {
		t.Error(err)
	}
	m, _, err := d.Get(ctxbg, l[0].ID)
	tcheck(t, err)
	if r, _ := m.LastResult(); r.Error != "in the queue" {
		t.Errorf("results %+v", m.Results)
	}
	r, err := d.GetRetired(ctxbg, l[1].ID)
	tcheck(t, err)
	if res, _ := r.Message.LastResult(); len(r.Message.Results) != 2 || res.Error != "retired" || !r.Success {
		t.Errorf("retired %+v", r)
	}
	verify(t, d)
}

func TestTranscriptsAreKeptForTheLastResults(t *testing.T) {
	t.Parallel()
	d := testOpen(t, Options{})
	id := enqueue(t, d, "x", "a@one.example")[0].ID
	for range MaxTranscripts + 2 {
		tcheck(t, d.Finish(ctxbg, []Outcome{{ID: id, Result: &Result{Transcript: string(make([]byte, 2*MaxTranscript)), Host: "mx", IP: "192.0.2.1", TLS: "skip", Transport: "direct", Unanswered: true}}}))
	}
	m, _, err := d.Get(ctxbg, id)
	tcheck(t, err)
	for i, r := range m.Results {
		want := 0
		if i >= 2 {
			want = MaxTranscript
		}
		if len(r.Transcript) != want || r.Host != "mx" || r.IP != "192.0.2.1" || r.TLS != "skip" || r.Transport != "direct" || !r.Unanswered {
			t.Errorf("result %d: %d octets, %+v", i, len(r.Transcript), r.Host)
		}
	}
}
