package daemon

import (
	"os"
	"path/filepath"
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
