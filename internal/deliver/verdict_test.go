package deliver

import (
	"context"
	"slices"
	"strings"
	"testing"

	"mox/dmarc"
	"mox/dmarc/dmarcdb"
	"mox/imap"
	"mox/internal/inbound"
	"mox/mlog"
	"mox/store"
)

// recorder remembers what it was told of messages.
type recorder struct {
	reports     []dmarcdb.Reference
	evaluations []dmarcdb.Evaluation
}

func (r *recorder) AddReport(_ context.Context, _ *dmarcdb.Incoming, ref dmarcdb.Reference) (int64, error) {
	r.reports = append(r.reports, ref)
	return 1, nil
}

func (r *recorder) AddEvaluation(e dmarcdb.Evaluation) error {
	r.evaluations = append(r.evaluations, e)
	return nil
}

func TestReportIsStoredWhenItsMessageIs(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	st := testStore(t, store.Options{})
	d := New(Options{Store: st, Reports: ReportStores{DMARC: rec}})
	del := delivery(t, "ann", text)
	del.Verdict.Report = &inbound.Report{DMARC: &dmarcdb.Incoming{}}
	res, err := d.Deliver(ctxbg, del)
	tcheck(t, err)
	if len(rec.reports) != 1 || rec.reports[0].Account != "ann" || rec.reports[0].ContentID != res.Message.ContentID || rec.reports[0].Received.IsZero() {
		t.Errorf("reports %+v", rec.reports)
	}
	del.Verdict.Mailbox = "a//b"
	if _, err := d.Deliver(ctxbg, del); err == nil || len(rec.reports) != 1 {
		t.Errorf("reports %+v of a message that was not stored, %v", rec.reports, err)
	}
}

func TestFieldsOfTheVerdictComeAfterTheReason(t *testing.T) {
	t.Parallel()
	del := delivery(t, "ann", text)
	del.Verdict.Reasons = nil
	del.Verdict.Fields = []inbound.HeaderField{{Name: inbound.DMARCReportErrorField, Value: "no report: x"}}
	if got := string(prefix(del)); !strings.HasPrefix(got, "X-Mox-Reason: no-bad-signals\r\nX-Mox-DMARCReport-Error: no report: x\r\nDelivered-To: ") {
		t.Errorf("prefix %q", got)
	}
}

func TestWhatDMARCSaysIsRecordedForWhatIsTakenAndForWhatItRefuses(t *testing.T) {
	t.Parallel()
	record := func(edit func(*Delivery)) (results []string) {
		rec := &recorder{}
		del := delivery(t, "ann", text)
		del.Auth = evaluated(t).Auth
		edit(&del)
		RecordEvaluation(ctxbg, mlog.Discard(), rec, del.Evaluated())
		for _, e := range rec.evaluations {
			results = append(results, string(e.Record.Disposition))
			if e.Optional {
				results = append(results, "optional")
			}
		}
		return results
	}
	for _, tc := range []struct {
		name string
		edit func(*Delivery)
		want []string
	}{
		{"taken", func(*Delivery) {}, []string{"none"}},
		{"set apart", func(d *Delivery) { d.Verdict.Applied, d.Verdict.Junk = dmarc.PolicyQuarantine, true }, []string{"quarantine"}},
		{"refused for it", func(d *Delivery) { d.Verdict = inbound.Verdict{Applied: dmarc.PolicyReject} }, []string{"reject", "optional"}},
		{"refused for it, of someone known", func(d *Delivery) { d.Verdict = inbound.Verdict{Applied: dmarc.PolicyReject, Known: true} }, []string{"reject"}},
		{"refused as junk", func(d *Delivery) { d.Verdict = inbound.Verdict{} }, nil},
		{"taken by a ruleset for rejects", func(d *Delivery) { d.Verdict.Applied, d.Verdict.IsReject = dmarc.PolicyReject, true }, nil},
	} {
		if got := record(tc.edit); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q", tc.name, got)
		}
	}
}

func TestJunkGoesToTheMailboxForIt(t *testing.T) {
	t.Parallel()
	for mailbox, im := range map[string]store.InitialMailboxes{"Spam": {Junk: "Spam"}, "Junk": {}} {
		st := testStore(t, store.Options{InitialMailboxes: im})
		del := delivery(t, "ann", text)
		del.Verdict.Junk, del.Verdict.Destined = true, "Work"
		res, err := New(Options{Store: st}).Deliver(ctxbg, del)
		tcheck(t, err)
		if res.Mailbox != mailbox {
			t.Errorf("junk is in %s, not %s", res.Mailbox, mailbox)
		}
		acc, err := st.Account(ctxbg, "ann")
		tcheck(t, err)
		o, err := acc.Origin(ctxbg, res.Message.ContentID)
		tcheck(t, err)
		work, ok := acc.Tree().ByName("Work")
		if !ok || o.Destined != work.ID {
			t.Errorf("meant for %d, not %d", o.Destined, work.ID)
		}
		acc.Release()
	}
}

func TestCopyRemembersWhereTheMessageWasMeantToGo(t *testing.T) {
	t.Parallel()
	d, st := keeper(t, false)
	del := refused(t, "ann", text)
	del.Verdict.Destined = "Work"
	del.Verdict.Origin = &store.Origin{MsgFrom: "x@y.example"}
	if !d.KeepRejected(ctxbg, del) {
		t.Fatal("no copy")
	}
	items, _ := stored(t, st, "ann", "Rejects")
	acc, err := st.Account(ctxbg, "ann")
	tcheck(t, err)
	defer acc.Release()
	o, err := acc.Origin(ctxbg, items[0].ContentID)
	tcheck(t, err)
	work, ok := acc.Tree().ByName("Work")
	if !ok || o.Destined != work.ID || !o.IsReject || o.MsgFrom != "x@y.example" || del.Verdict.Origin.IsReject || items[0].Flags != imap.FlagSeen {
		t.Errorf("origin %+v, flags %v", o, items[0].Flags)
	}
}
