package imapserver

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"mox/internal/testkit"
	"mox/mlog"
)

// converseTraced logs in in several ways and reads a message, with a log at a level. It
// returns the log.
func converseTraced(t *testing.T, level slog.Level) string {
	var log testkit.LogBuffer
	ts := newTestServer(t, testSetup{options: func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
	}})
	c := ts.connect("raw")
	c.line("* OK")
	c.send("a1 LOGIN mjl@mox.example \"secret-one\"")
	c.line("a1 NO")
	c.send("a2 LOGIN mjl@mox.example {10+}\r\nsecret-two")
	c.line("a2 NO")
	c.send("a3 AUTHENTICATE PLAIN c2VjcmV0LXRocmVl")
	c.until("a3 ")
	c.send("a4 AUTHENTICATE PLAIN")
	c.line("+ ")
	c.send("c2VjcmV0LWZvdXI=")
	c.until("a4 ")
	c.send("a5 LOGIN mjl@mox.example test1234")
	c.line("a5 OK")
	c.send("a6 APPEND Inbox {26+}\r\nSubject: x\r\n\r\nmessage-data")
	c.line("a6 OK")
	c.send("a7 SELECT Inbox")
	c.until("a7 OK")
	c.send("a8 FETCH 1 BODY[]")
	c.until("a8 OK")
	c.send("a9 LOGOUT")
	c.until("a9 OK")
	return log.String()
}

func TestTranscriptsHideWhatTheirLevelDoes(t *testing.T) {
	t.Parallel()
	auth := []string{"secret-one", "secret-two", "c2VjcmV0LXRocmVl", "c2VjcmV0LWZvdXI=", "test1234"}
	for _, tt := range []struct {
		level      slog.Level
		auth, data bool
	}{
		{mlog.LevelDebug, false, false},
		{mlog.LevelTrace, false, false},
		{mlog.LevelTraceauth, true, false},
		{mlog.LevelTracedata, true, true},
	} {
		log := converseTraced(t, tt.level)
		for _, s := range auth {
			// A literal is not a line, and is in no transcript.
			if got := strings.Contains(log, s); got != (tt.auth && s != "secret-two") {
				t.Errorf("level %v: %s shown: %v", tt.level, s, got)
			}
		}
		if got := strings.Contains(log, "message-data"); got != tt.data {
			t.Errorf("level %v: message shown: %v", tt.level, got)
		}
		if got := strings.Contains(log, "a7 SELECT Inbox"); got != (tt.level <= mlog.LevelTrace) {
			t.Errorf("level %v: commands shown: %v", tt.level, got)
		}
	}
}

// counted returns how often each kind of a metric was counted, by the values of its labels.
func counted(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	ch := make(chan prometheus.Metric, 1000)
	c.Collect(ch)
	close(ch)
	counts := map[string]float64{}
	for m := range ch {
		var d dto.Metric
		if err := m.Write(&d); err != nil {
			t.Fatal(err)
		}
		var labels []string
		for _, l := range d.Label {
			labels = append(labels, l.GetValue())
		}
		counts[strings.Join(labels, " ")] = d.GetCounter().GetValue() + float64(d.GetHistogram().GetSampleCount())
	}
	return counts
}

func TestCommandsAndConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, testSetup{})
	connections, commands := counted(t, metricConnections), counted(t, metricCommands)
	c := ts.connect("imap")
	for _, cmd := range []string{"NOOP", "NOOP x", "SELECT missing", "FROBNICATE", "NOOP"} {
		c.send("a %s", cmd)
		c.line("a ")
	}
	if n := counted(t, metricConnections)["imap"] - connections["imap"]; n < 1 {
		t.Errorf("%v connections counted", n)
	}
	after := counted(t, metricCommands)
	for _, kind := range []string{"LOGIN ok", "NOOP ok", "NOOP badsyntax", "SELECT usererror", "(unknown) badsyntax"} {
		if after[kind]-commands[kind] < 1 {
			t.Errorf("%q is not counted: %v", kind, after)
		}
	}
}
