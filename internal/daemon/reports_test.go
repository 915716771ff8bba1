package daemon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/dmarc/dmarcdb"
	"mox/mtasts/mtastsdb"
	"mox/tlsrpt/tlsrptdb"
)

func TestReportDatabasesAreOpenWhileTheServerRuns(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	for _, name := range []string{dmarcdb.ReportsName, dmarcdb.EvaluationsName, tlsrptdb.FileName, tlsrptdb.ResultsName, mtastsdb.FileName} {
		if info, err := os.Stat(filepath.Join(d.DataDir(), name)); err != nil || info.Mode().Perm() != 0600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	dir := d.DataDir()
	d.stop()
	for _, verify := range []func() ([]string, error){
		func() ([]string, error) { return dmarcdb.Verify(t.Context(), dir) },
		func() ([]string, error) { return tlsrptdb.Verify(t.Context(), dir) },
		func() ([]string, error) { return mtastsdb.Verify(t.Context(), dir) },
	} {
		if l, err := verify(); err != nil || len(l) > 0 {
			t.Errorf("verify after the stop: %v, %v", l, err)
		}
	}
}

func TestReportsAreSentByAServerThatSendsMail(t *testing.T) {
	t.Parallel()
	for _, local := range []bool{false, true} {
		opts, log := testOptions(newDir(t))
		opts.Localserve = local
		d, err := Start(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if started := d.reports.cancel != nil && d.reports.monitor != nil; started == local {
			t.Errorf("started: %v", started)
		}
		d.reports.connected() // Also without a monitor.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Wait(ctx); err != nil || strings.Contains(log.String(), stillBusy) {
			t.Errorf("stop: %v\n%s", err, log)
		}
	}
}
