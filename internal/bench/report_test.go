package bench

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"
)

// theReport is written when all benchmarks have run.
var theReport = report{start: time.Now(), load: loadAverage()}

// A report has the tables of results.
type report struct {
	start  time.Time
	load   string
	tables []*table

	settings sync.Once // For those of Dovecot to be printed.
}

// A table has a title, a line of column names, and rows. What stands in the first
// column is aligned to the left.
type table struct {
	title   string
	columns []string
	rows    [][]string
	notes   []string
}

// table adds a table.
func (r *report) table(title string, columns ...string) *table {
	tb := &table{title: title, columns: columns}
	r.tables = append(r.tables, tb)
	return tb
}

// row adds a row. Numbers are shown with three digits or so, others as they are.
func (tb *table) row(cells ...any) {
	var row []string
	for _, c := range cells {
		switch c := c.(type) {
		case float64:
			row = append(row, number(c))
		case time.Duration:
			row = append(row, number(c.Seconds()*1000))
		default:
			row = append(row, fmt.Sprint(c))
		}
	}
	tb.rows = append(tb.rows, row)
}

func (tb *table) note(format string, args ...any) {
	tb.notes = append(tb.notes, fmt.Sprintf(format, args...))
}

// number formats a number for people.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.0f", v)
	}
}

// write writes the tables, if there are any.
func (r *report) write(w io.Writer) {
	if len(r.tables) == 0 {
		return
	}
	dir, _ := root() // It was used.
	fmt.Fprintf(w, "\nmox on %d x %s, %s/%s, %s\n", runtime.NumCPU(), processor(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	fmt.Fprintf(w, "data in %s (%s)\n", dir, fileSystem(dir))
	fmt.Fprintf(w, "from %s to %s, load average %s to %s\n", r.start.Format(time.DateTime), time.Now().Format(time.TimeOnly), r.load, loadAverage())
	for _, tb := range r.tables {
		tb.write(w)
	}
	fmt.Fprintln(w)
}

func (tb *table) write(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n\n", tb.title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	width := len(tb.columns[0])
	for _, row := range tb.rows {
		width = max(width, len(row[0]))
	}
	for _, row := range slices.Concat([][]string{tb.columns}, tb.rows) {
		// The writer aligns to the right, with two spaces before each column: the first is
		// filled up.
		fmt.Fprintf(tw, "%-*s\t%s\t\n", width, row[0], strings.Join(row[1:], "\t"))
	}
	if err := tw.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "writing table:", err)
	}
	for _, note := range tb.notes {
		fmt.Fprintf(w, "  %s\n", note)
	}
}

// metric is a figure on a line for benchstat.
type metric struct {
	unit  string
	value float64
}

// line makes a line for benchstat out of what was measured before.
func line(b *testing.B, name string, metrics ...metric) {
	b.Run(name, func(b *testing.B) {
		b.ReportMetric(0, "ns/op") // Not shown, unless it is one of metrics.
		for _, m := range metrics {
			b.ReportMetric(m.value, m.unit)
		}
	})
}

// benchName makes a text for people a part of the name of a benchmark.
func benchName(s string) string {
	return strings.NewReplacer(" ", "-", ",", "", "/", "-").Replace(s)
}

// median returns the middle of values, which it sorts.
func median[T float64 | time.Duration](values []T) T {
	slices.Sort(values)
	n := len(values)
	if n == 0 {
		return 0
	}
	return (values[(n-1)/2] + values[n/2]) / 2
}

// loadAverage returns how many processes wanted to run in the last minute.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}

func processor() string {
	b, _ := os.ReadFile("/proc/cpuinfo") // Absent elsewhere than on Linux.
	for l := range strings.Lines(string(b)) {
		if name, value, _ := strings.Cut(l, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// fileSystem returns the type and device of the file system that a directory is on.
func fileSystem(dir string) string {
	b, _ := os.ReadFile("/proc/self/mounts") // Absent elsewhere than on Linux.
	best, text := "", "unknown file system"
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		if len(f) < 3 {
			continue
		}
		in := f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/")
		if in && len(f[1]) >= len(best) {
			best, text = f[1], f[2]+" on "+f[0]
		}
	}
	if strings.HasPrefix(text, "tmpfs") {
		text += ": in memory, so that figures with syncs say nothing"
	}
	return text
}
