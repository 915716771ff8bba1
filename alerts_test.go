package main

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"mox/internal/metrics"
	"mox/internal/testkit"
)

const alertsFile = "packaging/prometheus/mox.rules.yml"

// alertRule is a rule of Prometheus.
type alertRule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func alertRules(t *testing.T) []alertRule {
	t.Helper()
	data, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var f struct {
		Groups []struct {
			Name  string
			Rules []alertRule
		}
	}
	if err := yaml.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	var l []alertRule
	for _, g := range f.Groups {
		l = append(l, g.Rules...)
	}
	return l
}

// notOurs are the metrics in rules that are of Prometheus and its library.
var notOurs = []string{"up", "process_resident_memory_bytes", "process_open_fds", "process_max_fds"}

// selector matches a metric with the labels that it is selected by.
var (
	selector     = regexp.MustCompile(`\b(mox_\w+|process_\w+|go_\w+|up)\b(?:\{([^}]*)\})?`)
	labelMatcher = regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)`)
)

func TestAlertsAreAboutMetricsThatExist(t *testing.T) {
	t.Parallel()
	known := map[string]metrics.Info{}
	for _, m := range metrics.List() {
		known[m.Name] = m
		if m.Type == "histogram" {
			known[m.Name+"_count"], known[m.Name+"_sum"], known[m.Name+"_bucket"] = m, m, m
		}
	}
	rules := alertRules(t)
	if len(rules) < 20 {
		t.Fatalf("read only %d rules", len(rules))
	}
	for _, r := range rules {
		found := selector.FindAllStringSubmatch(r.Expr, -1)
		if len(found) == 0 {
			t.Errorf("%s: no metric in %q", r.Alert, r.Expr)
		}
		for _, m := range found {
			info, ok := known[m[1]]
			if !ok {
				if !slices.Contains(notOurs, m[1]) {
					t.Errorf("%s: metric %s does not exist", r.Alert, m[1])
				}
				continue
			}
			for _, l := range labelMatcher.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(info.Labels, l[1]) {
					t.Errorf("%s: metric %s has no label %s", r.Alert, m[1], l[1])
				}
			}
		}
	}
}

// What wakes someone up says what to do, with commands that exist.
func TestAlertsSayWhatToDo(t *testing.T) {
	t.Parallel()
	commands, err := os.ReadFile("docs/commands.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`"mox ((?:[a-z]+ ?)+)`)
	seen := map[string]bool{}
	for _, r := range alertRules(t) {
		if seen[r.Alert] || !strings.HasPrefix(r.Alert, "Mox") {
			t.Errorf("name %q is there twice, or does not start with Mox", r.Alert)
		}
		seen[r.Alert] = true
		if !slices.Contains([]string{"page", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s: severity %q", r.Alert, r.Labels["severity"])
		}
		if r.Annotations["summary"] == "" || len(r.Annotations["action"]) < 40 {
			t.Errorf("%s: annotations %q", r.Alert, r.Annotations)
		}
		for _, m := range command.FindAllStringSubmatch(r.Annotations["action"], -1) {
			words := strings.Fields(m[1])
			for len(words) > 0 && !strings.Contains(string(commands), "\nusage: mox "+strings.Join(words, " ")) {
				words = words[:len(words)-1]
			}
			if len(words) == 0 {
				t.Errorf("%s: there is no command %q", r.Alert, "mox "+m[1])
			}
		}
	}
}

func TestPrometheusTakesTheAlerts(t *testing.T) {
	t.Parallel()
	out, err := exec.Command(testkit.Tool(t, "promtool"), "check", "rules", alertsFile).CombinedOutput()
	if err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}
