package deliver

import (
	"context"
	"errors"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"mox/dkim"
	"mox/dmarc"
	"mox/dmarc/dmarcdb"
	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/inbound"
	"mox/mlog"
	"mox/spf"
	"mox/store"
	"mox/tlsrpt"
	"mox/tlsrpt/tlsrptdb"
)

func domainOf(t testing.TB, s string) dns.Domain {
	t.Helper()
	d, err := dns.ParseDomain(s)
	tcheck(t, err)
	return d
}

// evaluated is a message from mail.sender.example that fails the policy and is
// accepted all the same.
func evaluated(t testing.TB) Evaluated {
	rec, err := dmarc.ParseRecord("v=DMARC1; p=reject; rua=mailto:d@sender.example,https://sender.example/r")
	tcheck(t, err)
	auth := &inbound.Auth{Arrival: inbound.Arrival{RemoteIP: netip.MustParseAddr("::ffff:192.0.2.1"), MailFrom: path(t, "b@bounce.sender.example")}}
	signature := func(domain string) dmarc.DKIMEvaluation {
		return dmarc.DKIMEvaluation{DKIMIdentifier: dmarc.DKIMIdentifier{Domain: domainOf(t, domain), Selector: "s", Status: dkim.StatusFail}}
	}
	auth.DMARC = dmarc.Result{
		Status:  dmarc.StatusFail,
		From:    domainOf(t, "mail.sender.example"),
		Domain:  domainOf(t, "sender.example"),
		Record:  &rec,
		Policy:  dmarc.PolicyReject,
		Applied: dmarc.PolicyReject,
		DKIM:    []dmarc.DKIMEvaluation{signature("list.example"), signature("sender.example"), signature("other.sender.example"), signature("notsender.example")},
		SPF:     dmarc.SPFIdentifier{Domain: domainOf(t, "bounce.sender.example"), Status: spf.StatusSoftfail},
	}
	return Evaluated{Auth: auth, Rcpt: domainOf(t, "mox.example"), Time: time.Date(2024, 3, 1, 0, 0, 0, 0, time.UTC), Accepted: true}
}

func TestEvaluationHasWhatAReportNeeds(t *testing.T) {
	t.Parallel()
	e := evaluated(t)
	e.Overrides = []dmarc.Override{{Type: dmarc.OverrideMailingList, Comment: "list"}}
	got, ok := e.evaluation()
	if !ok {
		t.Fatal("not recorded")
	}
	want := dmarcdb.Evaluation{
		Last:          e.Time,
		IntervalHours: 24,
		RUA:           []string{"mailto:d@sender.example"},
		Published:     report.PublishedPolicy(e.Auth.DMARC.Domain, *e.Auth.DMARC.Record),
		Record: report.Record{
			SourceIP: netip.MustParseAddr("192.0.2.1"), Count: 1, Disposition: report.DispositionNone,
			Reasons:    []dmarc.Override{{Type: dmarc.OverrideMailingList, Comment: "list"}},
			HeaderFrom: "mail.sender.example", EnvelopeFrom: "bounce.sender.example", EnvelopeTo: "mox.example",
			DKIM: []report.DKIMResult{{Domain: "sender.example", Selector: "s", Result: dkim.StatusFail}, {Domain: "other.sender.example", Selector: "s", Result: dkim.StatusFail}},
			SPF:  []report.SPFResult{{Domain: "bounce.sender.example", Scope: report.ScopeMailFrom, Result: spf.StatusSoftfail}},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestWhichMessagesAreReported(t *testing.T) {
	t.Parallel()
	pass := func(e *Evaluated) {
		e.Auth.DMARC.Status, e.Auth.DMARC.AlignedDKIM, e.Auth.DMARC.Overrides = dmarc.StatusPass, true, nil
	}
	for name, test := range map[string]struct {
		edit        func(e *Evaluated)
		not         bool
		optional    bool
		disposition report.Disposition
		reason      dmarc.OverrideType // Empty for none.
	}{
		"accepted though it fails":      {edit: func(*Evaluated) {}, disposition: report.DispositionNone, reason: dmarc.OverrideLocalPolicy},
		"accepted and passes":           {edit: pass, disposition: report.DispositionPass},
		"passes a policy of none":       {edit: func(e *Evaluated) { pass(e); e.Auth.DMARC.Policy = dmarc.PolicyNone }, disposition: report.DispositionNone},
		"passes, of a list":             {edit: func(e *Evaluated) { pass(e); e.Overrides = []dmarc.Override{{Type: dmarc.OverrideMailingList}} }, disposition: report.DispositionPass},
		"set apart":                     {edit: func(e *Evaluated) { e.Applied, e.Auth.DMARC.Policy = dmarc.PolicyQuarantine, dmarc.PolicyQuarantine }, disposition: report.DispositionQuarantine},
		"forwarded":                     {edit: func(e *Evaluated) { e.Overrides = []dmarc.Override{{Type: dmarc.OverrideTrustedForwarder}} }, disposition: report.DispositionNone, reason: dmarc.OverrideTrustedForwarder},
		"in test":                       {edit: func(e *Evaluated) { e.Auth.DMARC.Overrides = []dmarc.Override{{Type: dmarc.OverrideTestMode}} }, disposition: report.DispositionNone, reason: dmarc.OverrideTestMode},
		"refused for dmarc, known":      {edit: func(e *Evaluated) { e.Accepted, e.Applied, e.Known = false, dmarc.PolicyReject, true }, disposition: report.DispositionReject},
		"refused for dmarc, unknown":    {edit: func(e *Evaluated) { e.Accepted, e.Applied = false, dmarc.PolicyReject }, optional: true, disposition: report.DispositionReject},
		"to an address for reports":     {edit: func(e *Evaluated) { pass(e); e.ToReports = true }, optional: true, disposition: report.DispositionPass},
		"refused as junk":               {edit: func(e *Evaluated) { e.Accepted = false }, not: true},
		"refused as junk, passes":       {edit: func(e *Evaluated) { pass(e); e.Accepted = false }, not: true},
		"refused and kept for the user": {edit: func(e *Evaluated) { e.RejectCopy = true }, not: true},
		"of our own user":               {edit: func(e *Evaluated) { e.Auth = nil }, not: true},
		"not over a connection":         {edit: func(e *Evaluated) { e.Auth.RemoteIP = netip.Addr{} }, not: true},
		"no record":                     {edit: func(e *Evaluated) { e.Auth.DMARC = dmarc.Result{Status: dmarc.StatusNone, From: e.Auth.DMARC.From} }, not: true},
		"record that is of no use":      {edit: func(e *Evaluated) { e.Auth.DMARC.Status = dmarc.StatusPermerror }, not: true},
		"no address":                    {edit: func(e *Evaluated) { e.Auth.DMARC.Record.RUA = nil }, not: true},
		"no address for mail":           {edit: func(e *Evaluated) { e.Auth.DMARC.Record.RUA = e.Auth.DMARC.Record.RUA[1:] }, not: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := evaluated(t)
			test.edit(&e)
			got, ok := e.evaluation()
			if ok == test.not {
				t.Fatalf("recorded: %v", ok)
			}
			if !ok {
				return
			}
			var reason dmarc.OverrideType
			if len(got.Record.Reasons) > 0 {
				reason = got.Record.Reasons[0].Type
			}
			if got.Optional != test.optional || got.Record.Disposition != test.disposition || reason != test.reason || len(got.Record.Reasons) > 1 {
				t.Errorf("optional %v, disposition %q, reasons %v", got.Optional, got.Record.Disposition, got.Record.Reasons)
			}
			if err := report.NewBuilder(0).Add(got.Record); err != nil {
				t.Errorf("for a report: %v", err)
			}
		})
	}
}

func TestMessageIsEvaluatedOnceForAllItsRecipients(t *testing.T) {
	t.Parallel()
	recipient := func(domain string, edit func(e *Evaluated)) *Evaluated {
		e := evaluated(t)
		e.Rcpt = domainOf(t, domain)
		if edit != nil {
			edit(&e)
		}
		return &e
	}
	refused := func(e *Evaluated) { e.Accepted, e.Applied = false, dmarc.PolicyReject }
	toReports := func(e *Evaluated) { e.ToReports = true }
	for name, test := range map[string]struct {
		recipients []*Evaluated
		want       string // The domain of the recipient that counts.
	}{
		"all the same":                   {[]*Evaluated{recipient("a.example", nil), recipient("b.example", nil), recipient("a.example", nil)}, "a.example"},
		"refused for some":               {[]*Evaluated{recipient("a.example", refused), recipient("b.example", nil)}, "b.example"},
		"also to an address for reports": {[]*Evaluated{recipient("a.example", toReports), recipient("b.example", nil)}, "b.example"},
		"refused, and reports have it":   {[]*Evaluated{recipient("a.example", refused), recipient("b.example", toReports)}, "b.example"},
		"refused, known to the second":   {[]*Evaluated{recipient("a.example", refused), recipient("b.example", func(e *Evaluated) { refused(e); e.Known = true })}, "b.example"},
		"junk for the first":             {[]*Evaluated{recipient("a.example", func(e *Evaluated) { e.Accepted = false }), recipient("b.example", refused)}, "b.example"},
	} {
		rec := &recorder{}
		RecordEvaluation(ctxbg, mlog.Discard(), rec, test.recipients...)
		if l := rec.evaluations; len(l) != 1 || l[0].Record.Count != 1 || l[0].Record.EnvelopeTo != test.want {
			t.Errorf("%s: recorded %+v", name, l)
		}
	}
}

func TestEvaluationsAndReportsAreStored(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := dmarcdb.Open(ctxbg, dmarcdb.Options{Dir: dir})
	tcheck(t, err)
	tdb, err := tlsrptdb.Open(ctxbg, dir)
	tcheck(t, err)
	t.Cleanup(func() { tcheck(t, errors.Join(db.Close(), tdb.Close())) })
	e := evaluated(t)
	RecordEvaluation(ctxbg, mlog.Discard(), db, &e)
	RecordEvaluation(ctxbg, mlog.Discard(), db, &e)
	RecordEvaluation(ctxbg, mlog.Discard(), nil, &e)
	RecordEvaluation(ctxbg, mlog.Discard(), db, &Evaluated{})
	RecordEvaluation(ctxbg, mlog.Discard(), db)
	l, err := db.Evaluations(ctxbg, "sender.example", e.Time, e.Time.Add(time.Hour))
	if err != nil || len(l) != 1 || l[0].Record.Count != 2 {
		t.Errorf("evaluations %+v, %v", l, err)
	}

	here, from := domainOf(t, "mox.example"), domainOf(t, "reporter.example")
	din, err := dmarcdb.NewIncoming(&report.Feedback{}, here, from)
	tcheck(t, err)
	tin, err := tlsrptdb.NewIncoming(tlsrpt.Report{Policies: []tlsrpt.PolicyResult{{Policy: tlsrpt.Policy{Domain: "mox.example"}}}}, func(dns.Domain) bool { return true }, false, from)
	tcheck(t, err)
	stores := ReportStores{db, tdb}
	res := Result{Account: "ann", Message: store.Message{ContentID: 3}}
	for _, rep := range []*inbound.Report{{DMARC: din}, {TLS: tin}} {
		if !stores.Store(ctxbg, mlog.Discard(), rep, res, e.Time) {
			t.Error("not stored")
		}
		if stores.Store(ctxbg, mlog.Discard(), rep, res, e.Time) {
			t.Error("stored again")
		}
		if (ReportStores{}).Store(ctxbg, mlog.Discard(), rep, res, e.Time) {
			t.Error("stored nowhere")
		}
	}
	if stores.Store(ctxbg, mlog.Discard(), nil, res, e.Time) {
		t.Error("stored nothing")
	}
	d, err := db.Reports(ctxbg, here, time.Time{}, e.Time, 0)
	if err != nil || len(d) != 1 || d[0].Account != "ann" || d[0].ContentID != 3 || !d[0].Received.Equal(e.Time) {
		t.Errorf("dmarc reports %+v, %v", d, err)
	}
	r, err := tdb.Reports(ctxbg, here, time.Time{}, e.Time, 0)
	if err != nil || len(r) != 1 || r[0].Account != "ann" || r[0].ContentID != 3 || !r[0].Received.Equal(e.Time) {
		t.Errorf("tls reports %+v, %v", r, err)
	}
}

// fullReports has no room.
type fullReports struct{}

func (fullReports) AddReport(context.Context, *dmarcdb.Incoming, dmarcdb.Reference) (int64, error) {
	return 0, dmarcdb.ErrLimit
}

func TestReportsThatHaveNoRoomChangeNothing(t *testing.T) {
	t.Parallel()
	if (ReportStores{DMARC: fullReports{}}).Store(ctxbg, mlog.Discard(), &inbound.Report{DMARC: &dmarcdb.Incoming{}}, Result{}, time.Time{}) {
		t.Error("stored")
	}
}
