package report_test

import (
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"mox/dkim"
	"mox/dmarc"
	"mox/dmarc/report"
	"mox/spf"
)

func TestRecordsSayWhatWasDone(t *testing.T) {
	t.Parallel()
	const (
		n, q, r = dmarc.PolicyNone, dmarc.PolicyQuarantine, dmarc.PolicyReject
	)
	list := []dmarc.Override{{Type: dmarc.OverrideMailingList}}
	for _, tc := range []struct {
		status          dmarc.Status
		policy, applied dmarc.Policy // Published, and after testing.
		done            dmarc.Policy
		reasons         []dmarc.Override
		disposition     report.Disposition
		want            string // Types of reasons.
	}{
		{"pass", r, r, n, nil, report.DispositionPass, ""},
		{"pass", n, n, n, nil, report.DispositionNone, ""},
		{"pass", r, r, r, nil, report.DispositionReject, ""}, // Local policy may reject what passes.
		{"fail", r, r, r, nil, report.DispositionReject, ""},
		{"fail", n, n, n, nil, report.DispositionNone, ""},
		{"fail", r, q, q, nil, report.DispositionQuarantine, "policy_test_mode"},
		{"fail", r, r, n, nil, report.DispositionNone, "local_policy"},
		{"fail", r, q, n, nil, report.DispositionNone, "local_policy"},
		{"fail", r, r, n, list, report.DispositionNone, "mailing_list"},
	} {
		res := dmarc.Result{Status: tc.status, Policy: tc.policy, Applied: tc.applied, From: domain(t, "example.com")}
		got := report.NewRecord(res, report.Delivery{SourceIP: netip.MustParseAddr("::ffff:10.0.0.1"), Applied: tc.done, Reasons: tc.reasons})
		var types []string
		for _, o := range got.Reasons {
			types = append(types, string(o.Type))
		}
		if got.Disposition != tc.disposition || strings.Join(types, " ") != tc.want || got.Count != 1 || got.SourceIP.String() != "10.0.0.1" || got.SPF != nil {
			t.Errorf("%+v: got %+v", tc, got)
		}
	}
	res := dmarc.Result{Status: dmarc.StatusPass, SPF: dmarc.SPFIdentifier{Domain: domain(t, "a.example"), Status: spf.StatusPass}}
	if got := report.NewRecord(res, report.Delivery{}).SPF; !reflect.DeepEqual(got, []report.SPFResult{{Domain: "a.example", Scope: "mfrom", Result: "pass"}}) {
		t.Errorf("got %+v", got)
	}
}

func TestSignaturesAreKeptByPriority(t *testing.T) {
	t.Parallel()
	var l []dmarc.DKIMEvaluation
	add := func(n int, status dkim.Status, a dmarc.Alignment, selector string) {
		for i := range n {
			l = append(l, dmarc.DKIMEvaluation{DKIMIdentifier: dmarc.DKIMIdentifier{Domain: domain(t, "example.com"), Selector: fmt.Sprint(selector, i), Status: status}, Alignment: a})
		}
	}
	add(60, dkim.StatusFail, dmarc.Unaligned, "fail")
	add(60, dkim.StatusPass, dmarc.Unaligned, "other")
	add(30, dkim.StatusPass, dmarc.AlignedRelaxed, "relaxed")
	add(2, dkim.StatusPass, dmarc.AlignedStrict, "strict")
	got := report.NewRecord(dmarc.Result{Status: dmarc.StatusPass, DKIM: l}, report.Delivery{}).DKIM
	if len(got) != report.MaxSignatures {
		t.Fatalf("got %d", len(got))
	}
	for i, want := range map[int]string{0: "strict0", 1: "strict1", 2: "relaxed0", 31: "relaxed29", 32: "other0", 91: "other59", 92: "fail0", 99: "fail7"} {
		if got[i].Selector != want {
			t.Errorf("%d: got %s, expected %s", i, got[i].Selector, want)
		}
	}
	if l[0].Selector != "fail0" {
		t.Error("the result was changed")
	}
}

func TestBuilderMergesWhatIsTheSame(t *testing.T) {
	t.Parallel()
	b := report.NewBuilder(100)
	base := fullFeedback().Records[0]
	edits := []func(r *report.Record){
		func(*report.Record) {},
		func(r *report.Record) { r.SourceIP = netip.MustParseAddr("10.0.0.1") },
		func(r *report.Record) { r.Disposition = report.DispositionNone },
		func(r *report.Record) { r.AlignedDKIM = false },
		func(r *report.Record) { r.AlignedSPF = true },
		func(r *report.Record) { r.Reasons = nil },
		func(r *report.Record) { r.Reasons = []dmarc.Override{{Type: "other", Comment: "d"}} },
		func(r *report.Record) { r.HeaderFrom = "b.example.com" },
		func(r *report.Record) { r.HeaderFrom, r.EnvelopeFrom = "a.example", "com" },
		func(r *report.Record) { r.HeaderFrom, r.EnvelopeFrom = "a.example.", "com" },
		func(r *report.Record) { r.EnvelopeTo = "" },
		func(r *report.Record) { r.DKIM = r.DKIM[:1] },
		func(r *report.Record) { r.DKIM = []report.DKIMResult{r.DKIM[1], r.DKIM[0]} },
		func(r *report.Record) { r.SPF = nil },
	}
	for range 3 {
		for _, edit := range edits {
			r := base
			edit(&r)
			if err := b.Add(r); err != nil {
				t.Fatal(err)
			}
		}
	}
	l := b.Records()
	if len(l) != len(edits) {
		t.Fatalf("got %d records, expected %d", len(l), len(edits))
	}
	for i, r := range l {
		want := base
		edits[i](&want)
		want.Count = 3 * 7
		if !reflect.DeepEqual(r, want) {
			t.Errorf("record %d: got %+v", i, r)
		}
	}
}

func TestBuilderIsBounded(t *testing.T) {
	t.Parallel()
	b := report.NewBuilder(2)
	r := fullFeedback().Records[0]
	for i := range 5 {
		r.HeaderFrom = fmt.Sprintf("d%d.example", i)
		if err := b.Add(r); (i < 2) != (err == nil) || err != nil && !errors.Is(err, report.ErrFull) {
			t.Errorf("record %d: %v", i, err)
		}
	}
	r.HeaderFrom = "d1.example"
	if err := b.Add(r); err != nil || len(b.Records()) != 2 || b.Records()[1].Count != 14 {
		t.Errorf("known record when full: %v", err)
	}
	r.Count = 1 << 40
	if err := b.Add(r); !errors.Is(err, report.ErrFull) {
		t.Errorf("overflow: %v", err)
	}
	r.Count = -1
	if err := b.Add(r); !errors.Is(err, report.ErrInvalid) {
		t.Errorf("negative count: %v", err)
	}
}

func BenchmarkBuilder(b *testing.B) {
	r := fullFeedback().Records[0]
	bu := report.NewBuilder(0)
	b.ReportAllocs()
	for b.Loop() {
		if err := bu.Add(r); err != nil {
			b.Fatal(err)
		}
	}
}
