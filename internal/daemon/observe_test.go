package daemon

import (
	"path/filepath"
	"testing"

	"mox/config"
	"mox/internal/testkit"
	"mox/mlog"
)

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
		if got := testkit.Metric(t, name); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	if got := testkit.Metric(t, "mox_disk_free_bytes"); got < 1<<20 {
		t.Errorf("got %v bytes of free space", got)
	}
}
