package reports

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"mox/dmarc/dmarcdb"
	"mox/dns"
	"mox/tlsrpt/tlsrptdb"
)

// As another server of this kind would: the second one is known by its id.
func TestReceiverKnowsAReportThatIsSentAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := newEnv(t)
		e.wants("example.com", "a@example.com")
		e.wantsTLS("example.com", "t@example.com")
		e.evaluate(evaluation("example.com", "192.0.2.1", time.Now()))
		e.connect(session(t, "example.com", "example.com", 1), session(t, "example.com", "mx.example.com", 1))
		time.Sleep(day)
		good := e.opts
		e.opts.Queue = &broken{Queue: e.opts.Queue, after: errors.New("killed")}
		e.runFor(10 * time.Minute)
		e.opts = good
		l := e.runFor(10 * time.Minute)
		if len(l) != 4 || e.left("example.com") != 0 || e.tlsLeft() != "" {
			t.Fatalf("%d messages, %d evaluations and %q left", len(l), e.left("example.com"), e.tlsLeft())
		}
		tlsDB, err := tlsrptdb.Open(t.Context(), t.TempDir())
		e.check(err)
		defer tlsDB.Close()
		ours := func(d dns.Domain) bool { return d.ASCII == "example.com" || d.ASCII == "mx.example.com" }
		var dmarcErrs, tlsErrs []error
		for _, m := range l {
			switch KindOf(m.base) {
			case KindDMARC:
				in, err := dmarcdb.NewIncoming(parseReport(t, m), parseDomain(t, "example.com"), parseDomain(t, "mx.example.org"))
				e.check(err)
				_, err = e.evals.AddReport(t.Context(), in, dmarcdb.Reference{})
				dmarcErrs = append(dmarcErrs, err)
			case KindTLS:
				in, err := tlsrptdb.NewIncoming(parseTLS(t, m), ours, false, parseDomain(t, "example.org"))
				e.check(err)
				tlsErrs = append(tlsErrs, tlsDB.AddReport(t.Context(), in, tlsrptdb.Reference{}))
			}
		}
		if len(dmarcErrs) != 2 || dmarcErrs[0] != nil || !errors.Is(dmarcErrs[1], dmarcdb.ErrDuplicate) {
			t.Errorf("dmarc: %v", dmarcErrs)
		}
		if len(tlsErrs) != 2 || tlsErrs[0] != nil || !errors.Is(tlsErrs[1], tlsrptdb.ErrDuplicate) {
			t.Errorf("tls: %v", tlsErrs)
		}
	})
}
