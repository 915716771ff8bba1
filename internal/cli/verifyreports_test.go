package cli

import (
	"os"
	"path/filepath"
	"testing"

	"mox/dmarc/dmarcdb"
	"mox/mtasts/mtastsdb"
	"mox/tlsrpt/tlsrptdb"
)

func TestVerifyDataChecksReports(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 0, "made ", "")
	data := filepath.Join(dir, "data")
	db, err := dmarcdb.Open(t.Context(), dmarcdb.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	tdb, err := tlsrptdb.Open(t.Context(), data)
	if err != nil {
		t.Fatal(err)
	}
	if err := tdb.Close(); err != nil {
		t.Fatal(err)
	}
	rdb, err := tlsrptdb.OpenResults(t.Context(), tlsrptdb.ResultsOptions{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	if err := rdb.Close(); err != nil {
		t.Fatal(err)
	}
	pdb, err := mtastsdb.Open(t.Context(), mtastsdb.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	if err := pdb.Close(); err != nil {
		t.Fatal(err)
	}
	mox(t, "", "verifydata", data).want(t, 0, "checked", "")
	for name, want := range map[string]string{
		dmarcdb.ReportsName: "dmarc: ", dmarcdb.EvaluationsName: "dmarc: ",
		tlsrptdb.FileName: "tls reports: ", tlsrptdb.ResultsName: "tls reports: ",
		mtastsdb.FileName: "mta-sts: ",
	} {
		path := filepath.Join(data, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("x"), 0600); err != nil {
			t.Fatal(err)
		}
		mox(t, "", "verifydata", data).want(t, 1, want, "1 problems")
		if err := os.WriteFile(path, good, 0600); err != nil {
			t.Fatal(err)
		}
	}
}
