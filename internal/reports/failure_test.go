package reports

import (
	"testing"

	"mox/internal/testkit"
	"mox/queue/queuedb"
)

func TestReportsThatCannotBeDeliveredAreCounted(t *testing.T) {
	t.Parallel()
	for _, series := range []struct {
		kind Kind
		name string
	}{{KindDMARC, "mox_queue_dmarcreport_failure_total"}, {KindTLS, "mox_queue_tlsreport_failure_total"}} {
		before := testkit.Metric(t, series.name)
		CountFailure(queuedb.Base{})
		CountFailure(queuedb.Base{Extra: map[string]string{"other": string(series.kind)}})
		if got := testkit.Metric(t, series.name); got != before {
			t.Errorf("%s: got %v after %v for another message", series.name, got, before)
		}
		CountFailure(queuedb.Base{Extra: map[string]string{extraKind: string(series.kind)}})
		if got := testkit.Metric(t, series.name); got == before {
			t.Errorf("%s: still %v", series.name, got)
		}
	}
}
