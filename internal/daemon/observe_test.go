package daemon

import (
	"io"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"mox/config"
	"mox/internal/metrics"
	"mox/internal/testkit"
	"mox/mlog"
)

// gauge returns the value of a metric, and whether it is there.
func gauge(t *testing.T, name string) (float64, bool) {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	b, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(b)
	if m == nil {
		return 0, false
	}
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v, true
}

func TestDiskSpaceAndDatabasesAreMeasured(t *testing.T) {
	dir := testkit.Dir(t, map[string]string{
		"data/observed.db":             "12345",
		"data/queue/observed.db":       "123",
		"data/accounts/a/observed2.db": "1",
		"data/accounts/b/observed2.db": "22",
		"data/accounts/b/other":        "1",
	})
	d := &Daemon{log: mlog.Discard()}
	d.observe(&config.Snapshot{DataDir: filepath.Join(dir, "data"), MinimumFreeSpace: 1000})
	for name, want := range map[string]float64{
		`mox_database_size_bytes{db="observed.db"}`:             5,
		`mox_database_size_bytes{db="queue/observed.db"}`:       3,
		`mox_database_size_bytes{db="accounts/*/observed2.db"}`: 3,
		`mox_disk_minimum_free_bytes`:                           1000,
	} {
		if got, ok := gauge(t, name); !ok || got != want {
			t.Errorf("%s: got %v, %t, want %v", name, got, ok, want)
		}
	}
	if got, ok := gauge(t, "mox_disk_free_bytes"); !ok || got < 1<<20 {
		t.Errorf("got %v bytes of free space", got)
	}
}
