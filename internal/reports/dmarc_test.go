package reports

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mox/config"
	"mox/dmarc"
	"mox/dmarc/dmarcdb"
	"mox/dmarc/report"
	"mox/dns"
	"mox/internal/testkit"
	"mox/message"
	"mox/queue/queuedb"
	"mox/smtp"
)

func TestDMARCReportIsSentWhenTheDayIsOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wants("example.com", "reports@example.com")
		midnight := time.Now().UTC().Truncate(day).Add(day)
		time.Sleep(time.Until(midnight.Add(-4 * time.Hour)))
		failed := evaluation("example.com", "2001:db8::1", time.Now())
		failed.Record.AlignedDKIM, failed.Record.Disposition, failed.Record.Count = false, report.DispositionNone, 3
		failed.Record.DKIM = nil
		failed.Record.Reasons = []dmarc.Override{{Type: dmarc.OverrideMailingList, Comment: "list <list@example.org>"}}
		e.evaluate(evaluation("example.com", "192.0.2.1", time.Now()), failed)
		stop := e.run()
		time.Sleep(time.Until(midnight.Add(-time.Hour)))
		e.evaluate(evaluation("example.com", "192.0.2.1", time.Now())) // The same, in another hour.
		time.Sleep(time.Until(midnight.Add(29 * time.Second)))
		e.evaluate(evaluation("example.com", "192.0.2.2", time.Now())) // Of the next day.
		synctest.Wait()
		if l := e.queued(); len(l) != 0 {
			t.Fatalf("%d messages before the time", len(l))
		}
		time.Sleep(time.Until(midnight.Add(91 * time.Second)))
		synctest.Wait()
		stop()
		l := e.queued()
		if to(l) != "reports@example.com" || e.left("example.com") != 1 {
			t.Fatalf("queued %q, %d evaluations left", to(l), e.left("example.com"))
		}
		if n := e.kicks.Load(); n != 1 {
			t.Errorf("queue was told %d times", n)
		}
		m := l[0]
		if m.Account != "boss" || m.SenderLocalpart != "postmaster" || m.SenderDomain != "mx.example.org" || m.MaxAttempts != 5 || !m.Bulk ||
			smtp.Notify(m.Notify) != smtp.NotifyNever || m.RequireTLS != nil || m.Hold || m.base.SMTPUTF8 || KindOf(m.base) != KindDMARC {
			t.Errorf("message %+v, %+v", m.Message, m.base)
		}
		e.verified(m)
		f := parseReport(t, m)
		begin := midnight.Add(-day)
		if len(f.Notes) != 0 || f.Messages() != 5 || len(f.Records) != 2 || !f.Metadata.Begin.Equal(begin) || !f.Metadata.End.Equal(midnight.Add(-time.Second)) {
			t.Errorf("report %+v", f)
		}
		checkMessage(t, m, f)
		var xml bytes.Buffer
		if err := report.Write(&xml, f); err != nil {
			t.Fatal(err)
		}
		testkit.Golden(t, "testdata/dmarc.xml", xml.Bytes())
	})
}

// checkMessage checks the form of a message with an aggregate report, RFC 9990 §3.5.2.
func checkMessage(t *testing.T, m queued, f *report.Feedback) {
	t.Helper()
	r := strings.NewReader(m.text)
	root, err := message.Parse(r, r.Size(), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	h, err := message.ReadHeader(r, r.Size(), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	id := f.Metadata.ReportID
	s, err := report.ParseSubject(h.Text("Subject"))
	if err != nil || s.ReportID != id || s.Domain.ASCII != "example.com" || s.Submitter.ASCII != "mx.example.org" {
		t.Errorf("subject %+v, %v", s, err)
	}
	if !report.ValidReportID(id) || m.base.MessageID != "<"+strings.Replace(id, "@", "@", 1)+">" || h.Text("Message-ID") != m.base.MessageID {
		t.Errorf("report id %q, message-id %q, %q", id, m.base.MessageID, h.Text("Message-ID"))
	}
	if from := h.Text("From"); from != "postmaster@mx.example.org" || f.Metadata.Email != from || h.Text("Auto-Submitted") != "auto-generated" {
		t.Errorf("from %q, contact %q", from, f.Metadata.Email)
	}
	if !strings.HasPrefix(h.Text("Content-Type"), "multipart/mixed") || len(root.Parts) != 2 {
		t.Fatalf("content type %q", h.Text("Content-Type"))
	}
	p := root.Parts[1]
	name := p.Filename()
	n, err := report.ParseFilename(name)
	if err != nil || n.Receiver.ASCII != "mx.example.org" || n.Domain.ASCII != "example.com" || !n.Begin.Equal(f.Metadata.Begin) || !n.End.Equal(f.Metadata.End) || n.Extension != "xml.gz" {
		t.Errorf("file %q: %+v, %v", name, n, err)
	}
	if !strings.Contains(m.text, "Content-Type: application/gzip;") {
		t.Error("no application/gzip")
	}
}

func TestDMARCReportThatIsSentFitsTheSchema(t *testing.T) {
	t.Parallel()
	xmllint := testkit.Tool(t, "xmllint")
	text := string(testkit.ReadFile(t, testkit.Shared(t, "rfc/draft-ietf-dmarc-aggregate-reporting-32.txt")))
	text = text[strings.LastIndex(text, "Appendix A.  DMARC XML Schema"):]
	start, end := strings.Index(text, "   <?xml"), strings.Index(text, "</xs:schema>")
	if start < 0 || end < start {
		t.Fatal("no schema in the draft")
	}
	text = regexp.MustCompile(`(?m)^(Brotman|Internet-Draft).*$|\f`).ReplaceAllString(text[start+3:end]+"</xs:schema>\n", "")
	xsd := filepath.Join(t.TempDir(), "dmarc.xsd")
	if err := os.WriteFile(xsd, []byte(text), 0600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(xmllint, "--noout", "--schema", xsd, "testdata/dmarc.xml").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// sendOne adds an evaluation of today about example.com, and runs a sender until some
// time tomorrow.
func (e *env) sendOne(d time.Duration) []queued {
	e.Helper()
	e.evaluate(evaluation("example.com", "192.0.2.1", time.Now()))
	time.Sleep(time.Until(time.Now().UTC().Truncate(day).Add(day)))
	return e.runFor(d)
}

func TestDMARCReportGoesToWhoAsksForItNow(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		txt    map[string]string
		faults map[string]error
		want   string
		kept   bool
	}{
		"several": {txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=none; rua=mailto:a@example.com!10k,mailto:b@sub.example.com,mailto:a@example.com"},
			want: "a@example.com b@sub.example.com"},
		"no record":         {},
		"nobody":            {txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=none"}},
		"no mail address":   {txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=none; rua=https://example.com/,mailto:a@example.com%2cb@example.com"}},
		"temporary failure": {faults: map[string]error{"_dmarc.example.com": dns.ErrTemporary}, kept: true},
		"bogus":             {faults: map[string]error{"_dmarc.example.com": dns.ErrBogus}, kept: true},
		"invalid":           {faults: map[string]error{"_dmarc.example.com": dns.ErrInvalid}},
		"elsewhere without permission": {txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=none; rua=mailto:a@elsewhere.example,mailto:b@example.com"},
			want: "b@example.com"},
		"elsewhere": {txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=none; rua=mailto:a@elsewhere.example",
			"example.com._report._dmarc.elsewhere.example": "v=DMARC1"}, want: "a@elsewhere.example"},
		"elsewhere with another address": {txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=none; rua=mailto:a@elsewhere.example",
			"example.com._report._dmarc.elsewhere.example": "v=DMARC1; rua=mailto:c@elsewhere.example"}, want: "c@elsewhere.example"},
		"elsewhere with another host": {txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=none; rua=mailto:a@elsewhere.example",
			"example.com._report._dmarc.elsewhere.example": "v=DMARC1; rua=mailto:c@third.example"}},
		"permission unknown for now": {txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=none; rua=mailto:a@elsewhere.example"},
			faults: map[string]error{"example.com._report._dmarc.elsewhere.example": dns.ErrTemporary}, kept: true},
		"one of two unknown for now": {txt: map[string]string{"_dmarc.example.com": "v=DMARC1; p=none; rua=mailto:a@elsewhere.example,mailto:b@example.com"},
			faults: map[string]error{"example.com._report._dmarc.elsewhere.example": dns.ErrTemporary}, want: "b@example.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEnv(t)
				for k, v := range tc.txt {
					e.zone.txt[k] = v
				}
				for k, v := range tc.faults {
					e.zone.faults[k] = v
				}
				l := e.sendOne(10 * time.Minute)
				if to(l) != tc.want || (e.left("example.com") > 0) != tc.kept {
					t.Errorf("sent to %q, %d evaluations left", to(l), e.left("example.com"))
				}
				if len(l) > 1 && l[0].ContentID != l[1].ContentID {
					t.Error("more than one message for recipients that can have the same")
				}
			})
		})
	}
}

func TestDMARCReportIsTriedAgainEachHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wants("example.com", "a@example.com")
		e.zone.fault("_dmarc.example.com", dns.ErrTemporary)
		if l := e.sendOne(2*time.Hour + 30*time.Minute); len(l) != 0 || len(e.zone.lookups()) != 3 {
			t.Fatalf("%d messages after %d lookups", len(l), len(e.zone.lookups()))
		}
		e.zone.fault("_dmarc.example.com", nil)
		l := e.runFor(2 * time.Hour)
		if len(l) != 1 || e.left("example.com") != 0 {
			t.Fatalf("%d messages, %d evaluations left", len(l), e.left("example.com"))
		}
		if f := parseReport(t, l[0]); f.Metadata.End.Sub(f.Metadata.Begin) != day-time.Second {
			t.Errorf("period %s - %s", f.Metadata.Begin, f.Metadata.End)
		}
	})
}

func TestDMARCReportThatCannotBeSentForTwoDaysIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.zone.fault("_dmarc.example.com", dns.ErrTemporary)
		if l := e.sendOne(day); len(l) != 0 || e.left("example.com") != 1 {
			t.Fatalf("%d messages, %d evaluations left", len(l), e.left("example.com"))
		}
		if l := e.runFor(day + 2*time.Hour); len(l) != 0 || e.left("example.com") != 0 {
			t.Fatalf("%d messages, %d evaluations left", len(l), e.left("example.com"))
		}
	})
}

// broken is a database and queue of which parts do not work.
type broken struct {
	Evaluations
	Queue
	remove, before, after error
	enqueued              int
}

// RemoveEvaluations implements Evaluations.
func (b *broken) RemoveEvaluations(ctx context.Context, domain string, until time.Time) (int, error) {
	if b.remove != nil {
		return 0, b.remove
	}
	return b.Evaluations.RemoveEvaluations(ctx, domain, until)
}

// Enqueue implements Queue.
func (b *broken) Enqueue(ctx context.Context, s queuedb.Submission) ([]queuedb.Message, error) {
	if b.before != nil {
		return nil, b.before
	}
	l, err := b.Queue.Enqueue(ctx, s)
	b.enqueued++
	if b.after != nil {
		return nil, b.after
	}
	return l, err
}

func TestDMARCReportIsSentAtLeastOnceAndThenWithTheSameID(t *testing.T) {
	t.Parallel()
	errBroken := errors.New("disk full")
	for name, tc := range map[string]struct {
		b           broken
		first, both int
	}{
		"nothing queued":               {b: broken{before: errBroken}, first: 0, both: 1},
		"queued but not removed":       {b: broken{remove: errBroken}, first: 1, both: 2},
		"queued and not known":         {b: broken{after: errBroken}, first: 3, both: 4}, // In each of three rounds.
		"server killed after queueing": {b: broken{remove: context.Canceled}, first: 1, both: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEnv(t)
				e.wants("example.com", "a@example.com")
				good := e.opts
				b := tc.b
				b.Evaluations, b.Queue = e.opts.Evaluations, e.opts.Queue
				e.opts.Evaluations, e.opts.Queue = &b, &b
				if l := e.sendOne(2*time.Hour + 30*time.Minute); len(l) != tc.first || e.left("example.com") != 1 {
					t.Fatalf("%d messages, %d evaluations left", len(l), e.left("example.com"))
				}
				e.opts = good
				l := e.runFor(2 * time.Hour)
				if len(l) != tc.both || e.left("example.com") != 0 {
					t.Fatalf("%d messages, %d evaluations left", len(l), e.left("example.com"))
				}
				var first queued
				for i, m := range l {
					// But for the boundary, date and signature.
					if _, m.text, _ = strings.Cut(m.text, "Content-Disposition"); i == 0 {
						first = m
					}
					cut := func(s string) string { return s[:strings.LastIndex(s, "--=_")-40] }
					if m.base.MessageID != first.base.MessageID || m.base.Subject != first.base.Subject || cut(m.text) != cut(first.text) {
						t.Errorf("message %d differs: %s, %s", i, m.base.MessageID, m.base.Subject)
					}
				}
			})
		})
	}
}

func TestMissedDaysAreReportedEachByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wants("example.com", "a@example.com")
		start := time.Now().UTC().Truncate(day)
		for i := range 2 {
			e.evaluate(evaluation("example.com", "192.0.2.1", start.Add(time.Duration(i)*day+12*time.Hour)))
		}
		time.Sleep(time.Until(start.Add(2*day + 3*time.Hour)))
		l := e.runFor(5 * time.Minute)
		if len(l) != 2 || e.left("example.com") != 0 || l[0].base.MessageID == l[1].base.MessageID {
			t.Fatalf("%d messages, %d evaluations left", len(l), e.left("example.com"))
		}
		for i, m := range l {
			if f := parseReport(t, m); !f.Metadata.Begin.Equal(start.Add(time.Duration(i)*day)) || f.Messages() != 1 {
				t.Errorf("report %d: %+v", i, f)
			}
		}
	})
}

func TestDMARCReportsAreSpreadOverTime(t *testing.T) {
	t.Parallel()
	for n, over := range map[int]time.Duration{2: 8 * time.Minute, 30: 47 * time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			e := newEnv(t)
			for i := range n {
				domain := fmt.Sprintf("d%d.example", i)
				e.wants(domain, "a@"+domain)
				e.evaluate(evaluation(domain, "192.0.2.1", time.Now()))
			}
			time.Sleep(time.Until(time.Now().UTC().Truncate(day).Add(day)))
			l := e.runFor(over)
			if len(l) != n {
				t.Fatalf("%d messages of %d", len(l), n)
			}
			for i := 1; i < n; i++ {
				pause := l[i].Queued.Sub(l[i-1].Queued).Round(time.Second)
				if pause > 5*time.Minute || pause < min(45*time.Minute/time.Duration(n), 5*time.Minute) {
					t.Errorf("pause of %s", pause)
				}
			}
		})
	}
}

func TestSuppressedAddressGetsNoDMARCReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wants("example.com", "a@example.com", "b@example.com")
		now := time.Now().UTC().Truncate(day)
		_, err := e.evals.Suppress(t.Context(), "A@example.com", now.Add(2*day), "")
		e.check(err)
		_, err = e.evals.Suppress(t.Context(), "b@example.com", now.Add(day), "") // Over.
		e.check(err)
		if l := e.sendOne(time.Hour); to(l) != "b@example.com" {
			t.Errorf("sent to %q", to(l))
		}
		_, err = e.evals.Suppress(t.Context(), "b@example.com", now.Add(3*day), "")
		e.check(err)
		_, err = e.evals.Suppress(t.Context(), "a@example.com", now.Add(3*day), "")
		e.check(err)
		if l := e.sendOne(time.Hour); to(l) != "b@example.com" || e.left("example.com") != 0 {
			t.Errorf("sent to %q, %d evaluations left", to(l), e.left("example.com"))
		}
	})
}

func TestSMTPUTF8IsForAddressesThatNeedIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wants("xn--bcher-kva.example", "plain@xn--bcher-kva.example", "b%C3%BCcher@xn--bcher-kva.example")
		e.evaluate(evaluation("xn--bcher-kva.example", "192.0.2.1", time.Now()))
		time.Sleep(day)
		l := e.runFor(time.Hour)
		if to(l) != "plain@xn--bcher-kva.example bücher@xn--bcher-kva.example" {
			t.Fatalf("sent to %q", to(l))
		}
		for i, utf8 := range []bool{false, true} {
			m := l[i]
			header, _, _ := strings.Cut(m.text, "\r\n\r\n")
			nonASCII := strings.ContainsFunc(header, func(r rune) bool { return r > 0x7f })
			if m.base.SMTPUTF8 != utf8 || nonASCII != utf8 || utf8 != strings.Contains(header, "To: bücher@bücher.example") || utf8 == strings.Contains(header, "To: plain@xn--bcher-kva.example") {
				t.Errorf("smtputf8 %v in\n%s", m.base.SMTPUTF8, header)
			}
			e.verified(m)
			parseReport(t, m)
		}
	})
}

func TestNoDMARCReportWithoutAReason(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		conf     change
		optional bool
		left     int
	}{
		"turned off": {func(s *config.Static, _ *config.Dynamic) { s.NoOutgoingDMARCReports = true }, false, 1},
		"only reports and unknown senders that were refused": {func(*config.Static, *config.Dynamic) {}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				e := newEnv(t, tc.conf)
				e.wants("example.com", "a@example.com")
				ev := evaluation("example.com", "192.0.2.1", time.Now())
				ev.Optional = tc.optional
				e.evaluate(ev)
				time.Sleep(day)
				if l := e.runFor(time.Hour); len(l) != 0 || e.left("example.com") != tc.left || len(e.zone.lookups()) != 0 {
					t.Errorf("%d messages, %d evaluations left, asked for %q", len(l), e.left("example.com"), e.zone.lookups())
				}
				// Old ones are removed in any case.
				if e.runFor(3 * day); e.left("example.com") != 0 {
					t.Errorf("%d evaluations left", e.left("example.com"))
				}
			})
		})
	}
}

func TestOptionalMessagesAreInAReportThatIsSentAnyway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wants("example.com", "a@example.com")
		ev := evaluation("example.com", "192.0.2.2", time.Now())
		ev.Optional = true
		e.evaluate(ev)
		l := e.sendOne(time.Hour)
		if len(l) != 1 || parseReport(t, l[0]).Messages() != 2 {
			t.Errorf("%d messages", len(l))
		}
	})
}

func TestPoliciesAndTooManyRecordsAreInReportsOfTheirOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wants("example.com", "a@example.com")
		const n = 2*maxRows + 100
		for i := range n {
			e.check(e.evals.AddEvaluation(evaluation("example.com", fmt.Sprintf("10.0.%d.%d", i>>8, i&0xff), time.Now())))
		}
		other := evaluation("example.com", "192.0.2.1", time.Now())
		other.Published.Policy = dmarc.PolicyNone
		e.evaluate(other)
		time.Sleep(day)
		l := e.runFor(time.Hour)
		ids, none, messages := map[string]bool{}, 0, int64(0)
		for _, m := range l {
			f := parseReport(t, m)
			ids[f.Metadata.ReportID] = true
			messages += f.Messages()
			if len(f.Records) > maxRows {
				t.Errorf("%d records", len(f.Records))
			}
			if f.Policy.Policy == dmarc.PolicyNone {
				none++
			}
		}
		if len(l) != 4 || len(ids) != 4 || none != 1 || messages != n+1 || e.left("example.com") != 0 {
			t.Errorf("%d messages with %d ids, %d about the other policy, about %d messages", len(l), len(ids), none, messages)
		}
	})
}

func TestReportsToADomainAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		var rua []string
		for i := range maxAddresses + 5 {
			rua = append(rua, fmt.Sprintf("a%d@example.com", i))
		}
		e.wants("example.com", rua...)
		for i := range maxPolicies + 5 {
			ev := evaluation("example.com", "192.0.2.1", time.Now())
			ev.Published.FailureOptions = strings.Repeat("1", i+1)
			ev.Published.FailureOptions = ""
			ev.Published.SubdomainPolicy = []dmarc.Policy{"", "none", "quarantine", "reject"}[i%4]
			ev.Published.NonexistentPolicy = []dmarc.Policy{"", "none", "quarantine", "reject"}[i/4]
			e.evaluate(ev)
		}
		time.Sleep(day)
		if l := e.runFor(time.Hour); len(l) != maxAddresses*maxPolicies || e.left("example.com") != 0 {
			t.Errorf("%d messages, %d evaluations left", len(l), e.left("example.com"))
		}
	})
}

func TestShorterIntervals(t *testing.T) {
	t.Parallel()
	for hours, want := range map[int32]int{0: 24, 1: 1, 2: 2, 5: 4, 7: 6, 11: 8, 12: 12, 23: 12, 24: 24, 1000: 24, -1: 24} {
		if got := interval(hours); got != time.Duration(want)*time.Hour {
			t.Errorf("%d: %s", hours, got)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wants("example.com", "a@example.com")
		start := time.Now().UTC().Truncate(day)
		for i := range 3 {
			ev := evaluation("example.com", "192.0.2.1", start.Add(time.Duration(i)*time.Hour))
			ev.IntervalHours = 2
			e.evaluate(ev)
		}
		time.Sleep(time.Until(start.Add(2*time.Hour + 55*time.Minute)))
		l := e.runFor(4 * time.Minute)
		if len(l) != 1 || e.left("example.com") != 1 {
			t.Fatalf("%d messages, %d evaluations left", len(l), e.left("example.com"))
		}
		if f := parseReport(t, l[0]); !f.Metadata.Begin.Equal(start) || f.Metadata.End.Sub(start) != 2*time.Hour-time.Second || f.Messages() != 2 {
			t.Errorf("report %+v", f)
		}
	})
}

// Over the network, with the records that a domain has.
func TestDMARCReportWithARealResolver(t *testing.T) {
	t.Parallel()
	srv := testkit.NewDNS(t, testkit.DNSOptions{Zone: `
_dmarc.example.com TXT "v=DMARC1; p=reject; rua=mailto:a@example.com,mailto:b@reports.example"
example.com._report._dmarc.reports.example TXT "v=DMARC1;"
_smtp._tls.example.com TXT "v=TLSRPTv1; rua=mailto:tls@example.com"
`})
	resolver, err := dns.NewStrictResolver(dns.ResolverOptions{Servers: []string{srv.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	e := newEnv(t)
	e.opts.Resolver = resolver
	s := New(e.opts)
	before := testkit.Metric(t, "mox_dmarcdb_report_queued_total")
	e.evaluate(evaluation("example.com", "192.0.2.1", time.Now().Add(-day)))
	s.dmarcDomain(t.Context(), "example.com")
	if l := e.queued(); to(l) != "a@example.com b@reports.example" || e.left("example.com") != 0 {
		t.Errorf("sent to %q", to(l))
	}
	if n := testkit.Metric(t, "mox_dmarcdb_report_queued_total"); n < before+1 {
		t.Errorf("counted %v after %v", n, before)
	}
	if l, err := s.tlsAddresses(t.Context(), parseDomain(t, "example.com")); err != nil || len(l) != 1 || l[0].String() != "tls@example.com" {
		t.Errorf("%v, %v", l, err)
	}
	srv.Set(t, testkit.DNSOptions{Faults: map[string]testkit.DNSFault{"_dmarc.example.com": testkit.DNSServFail}})
	e.evaluate(evaluation("example.com", "192.0.2.1", time.Now().Add(-day)))
	errs := testkit.Metric(t, "mox_dmarcdb_report_error_total")
	s.dmarcDomain(t.Context(), "example.com")
	if e.left("example.com") != 1 || testkit.Metric(t, "mox_dmarcdb_report_error_total") < errs+1 {
		t.Error("evaluations were removed after a server failure")
	}
}

var _ Evaluations = (*dmarcdb.DB)(nil)
