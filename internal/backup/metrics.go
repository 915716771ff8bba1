package backup

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"mox/internal/metrics"
	"mox/internal/safefile"
)

var (
	metricSuccess = metrics.NewGauge("mox_backup_last_success_timestamp_seconds",
		"When the last backup that has everything was complete, in seconds since 1970. Zero: there was none.")
	metricRuns = metrics.NewCounterVec("mox_backup_runs_total",
		"Backups, by result: ok, incomplete (some files could not be read) or error.", "result")
	metricDuration = metrics.NewGauge("mox_backup_last_duration_seconds",
		"How long the last backup took.")
	metricSize = metrics.NewGauge("mox_backup_last_size_bytes",
		"Octets in the last backup.")
	metricCopied = metrics.NewGauge("mox_backup_last_copied_bytes",
		"Octets of files in the last backup that were not in the one before.")
	metricFailed = metrics.NewGauge("mox_backup_last_failed_files",
		"Files that could not be read for the last backup.")
)

// Results of runs.
const (
	ResultOK         = "ok"
	ResultIncomplete = "incomplete" // Some files could not be read.
	ResultError      = "error"
)

// Outcome is what became of a run, for metrics and for who looks.
type Outcome struct {
	Location string        `json:"location"`
	Snapshot string        `json:"snapshot"` // Empty for an error.
	Finished time.Time     `json:"finished"`
	Duration time.Duration `json:"duration"` // Nanoseconds.
	Result   string        `json:"result"`
	Error    string        `json:"error,omitempty"`
	Size     int64         `json:"size"`
	Copied   int64         `json:"copied"` // Octets.
	Failed   int           `json:"failed"` // Files.
}

// NewOutcome returns the outcome of a run that began at a time and returned res and err.
func NewOutcome(location string, start time.Time, res Result, err error) Outcome {
	now := time.Now()
	o := Outcome{
		Location: location, Snapshot: res.Name, Finished: now.UTC(), Duration: now.Sub(start),
		Result: ResultOK, Size: res.Size, Copied: res.CopiedSize, Failed: res.Failed,
	}
	if err != nil {
		o.Error, o.Result = err.Error(), ResultError
		o.Error = o.Error[:min(len(o.Error), maxErrorText)]
		if errors.Is(err, ErrFailures) {
			o.Result = ResultIncomplete
		}
	}
	return o
}

// state is what is remembered of runs.
type state struct {
	Success Outcome `json:"success"` // The last one that has everything.
	Last    Outcome `json:"last"`
}

func statePath(dataDir string) string { return filepath.Join(dataDir, StateDir, "last.json") }

func readState(dataDir string) (st state, err error) {
	data, err := os.ReadFile(statePath(dataDir))
	if errors.Is(err, fs.ErrNotExist) {
		return st, nil
	} else if err != nil {
		return st, err
	}
	return st, json.Unmarshal(data, &st)
}

// Remember keeps what became of a run in the data directory.
func Remember(dataDir string, o Outcome) error {
	st, err := readState(dataDir)
	var jerr *json.SyntaxError
	if err != nil && !errors.As(err, &jerr) {
		return err
	}
	st.Last = o
	if o.Result == ResultOK {
		st.Success = o
	}
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	if _, err := stateDir(dataDir); err != nil {
		return err
	}
	if err := safefile.WriteFile(statePath(dataDir), data, 0600); err != nil {
		return err
	}
	own, err := ownerOf(dataDir)
	if err != nil {
		return err
	}
	return own.set(statePath(dataDir)) // The server reads it.
}

// stateDir makes the directory that this package has in the data directory.
func stateDir(dataDir string) (string, error) {
	dir := filepath.Join(dataDir, StateDir)
	err := os.Mkdir(dir, 0700)
	if errors.Is(err, fs.ErrExist) {
		return dir, nil
	} else if err != nil {
		return "", err
	}
	own, err := ownerOf(dataDir)
	if err != nil {
		return "", err
	}
	return dir, errors.Join(own.set(dir), safefile.SyncDir(dataDir))
}

// Count counts a run in the metrics of a server.
func Count(o Outcome) {
	metricRuns.WithLabelValues(o.Result).Inc()
	show(o)
}

func show(o Outcome) {
	if o.Result == ResultOK {
		metricSuccess.Set(float64(o.Finished.Unix()))
	}
	metricDuration.Set(o.Duration.Seconds())
	metricFailed.Set(float64(o.Failed))
	if o.Result != ResultError {
		metricSize.Set(float64(o.Size))
		metricCopied.Set(float64(o.Copied))
	}
}

// CountRemembered sets the metrics of a server that starts to what was remembered.
func CountRemembered(dataDir string) error {
	for _, result := range []string{ResultOK, ResultIncomplete, ResultError} {
		metricRuns.WithLabelValues(result).Add(0)
	}
	st, err := readState(dataDir)
	if err != nil {
		return err
	}
	for _, o := range []Outcome{st.Success, st.Last} {
		if o.Result != "" {
			show(o)
		}
	}
	return nil
}
