package daemon

import (
	"os"
	"path/filepath"
	"time"

	"mox/config"
	"mox/internal/metrics"
	"mox/internal/safefile"
	"mox/mlog"
)

var (
	metricDiskFree = metrics.NewGauge("mox_disk_free_bytes",
		"Free space on the file system of the data directory.")
	metricDiskMinimum = metrics.NewGauge("mox_disk_minimum_free_bytes",
		"Free space below which new mail is refused (MinimumFreeSpace in mox.conf).")
	metricDatabase = metrics.NewGaugeVec("mox_database_size_bytes",
		"Sizes of database files, by path in the data directory. Those of all accounts are together.", "db")
)

// observeInterval is how often disk space and databases are looked at.
const observeInterval = time.Minute

// startObserving looks at the data directory in the background.
func (d *Daemon) startObserving(s *config.Snapshot) {
	d.run("disk space", func() error {
		t := time.NewTicker(observeInterval)
		defer t.Stop()
		for {
			d.observe(s)
			select {
			case <-d.stopping:
				return nil
			case <-t.C:
			}
		}
	})
}

// observe sets the gauges.
func (d *Daemon) observe(s *config.Snapshot) {
	metricDiskMinimum.Set(float64(max(0, s.MinimumFreeSpace)))
	if n, err := safefile.FreeSpace(s.DataDir); err != nil {
		d.log.Debug("measuring free space", mlog.Err(err))
	} else {
		metricDiskFree.Set(float64(n))
	}
	sizes := map[string]int64{}
	for _, pattern := range []string{"*.db", "queue/*.db", "accounts/*/*.db"} {
		paths, err := filepath.Glob(filepath.Join(s.DataDir, pattern))
		if err != nil {
			continue // Of the pattern.
		}
		for _, path := range paths {
			info, err := os.Stat(path)
			name, rerr := filepath.Rel(s.DataDir, path)
			if err != nil || rerr != nil {
				continue // It was removed.
			}
			if pattern == "accounts/*/*.db" {
				name = filepath.Join("accounts", "*", filepath.Base(path))
			}
			sizes[filepath.ToSlash(name)] += info.Size()
		}
	}
	for name, n := range sizes {
		metricDatabase.WithLabelValues(name).Set(float64(n))
	}
}
