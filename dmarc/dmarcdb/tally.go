package dmarcdb

import (
	"cmp"
	"slices"

	"mox/dkim"
	"mox/dmarc/report"
	"mox/spf"
)

// A metric is a number of messages for one of the metrics: evaluations if
// disposition is set, and otherwise a result of DKIM or SPF.
type metric struct {
	disposition report.Disposition
	dkim, spf   string
	n           int64
}

// count adds to the metric. Labels have few values: words that package report
// reads, and domains of ours.
func (m metric) count(domain string) {
	n := float64(m.n)
	switch {
	case m.disposition != "":
		metricEvaluated.WithLabelValues(domain, string(m.disposition), m.dkim, m.spf).Add(n)
	case m.dkim != "":
		metricDKIM.WithLabelValues(m.dkim).Add(n)
	default:
		metricSPF.WithLabelValues(m.spf).Add(n)
	}
}

func passFail(pass bool) string {
	if pass {
		return "pass"
	}
	return "fail"
}

// tally counts the messages of a report.
func tally(f *report.Feedback) (Tally, []metric) {
	var t Tally
	counts := map[metric]int64{}
	for _, r := range f.Records {
		t.Messages += r.Count
		switch r.Disposition {
		case report.DispositionReject:
			t.Reject += r.Count
		case report.DispositionQuarantine:
			t.Quarantine += r.Count
		default:
			t.None += r.Count
		}
		if !r.AlignedDKIM {
			t.DKIMFail += r.Count
		}
		if !r.AlignedSPF {
			t.SPFFail += r.Count
		}
		if !r.AlignedDKIM && !r.AlignedSPF {
			t.BothFail += r.Count
		}
		counts[metric{disposition: r.Disposition, dkim: passFail(r.AlignedDKIM), spf: passFail(r.AlignedSPF)}] += r.Count
		for _, s := range r.DKIM {
			counts[metric{dkim: string(cmp.Or(s.Result, dkim.StatusNone))}] += r.Count
		}
		for _, s := range r.SPF {
			counts[metric{spf: string(cmp.Or(s.Result, spf.StatusNone))}] += r.Count
		}
	}
	var l []metric
	for m, n := range counts {
		m.n = n
		l = append(l, m)
	}
	slices.SortFunc(l, func(a, b metric) int { return cmp.Compare(b.n, a.n) })
	return t, l
}
