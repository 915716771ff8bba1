package cli

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"mox/internal/testkit"
	"mox/packaging"
)

// runsMox checks that the words of a command are those of mox.
func runsMox(t *testing.T, words []string) {
	t.Helper()
	if len(words) == 0 || words[0] != "/bin/mox" {
		t.Errorf("%q is not run by mox", words)
		return
	}
	if _, rest, ok, _ := findCommand(words[1:]); !ok || len(rest) > 0 {
		t.Errorf("%q: no such command", words)
	}
}

func TestDockerfileRunsCommandsThatExist(t *testing.T) {
	t.Parallel()
	text := string(testkit.ReadFile(t, filepath.Join(testkit.Root(t), "Dockerfile")))
	text = strings.ReplaceAll(text, "\\\n", " ")
	last := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, rest, _ := strings.Cut(line, " ")
		if !slices.Contains([]string{"FROM", "WORKDIR", "COPY", "RUN", "ENV", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"}, name) {
			t.Errorf("instruction %q", name)
		}
		last[name] = rest
	}
	words := func(s string) (l []string) {
		t.Helper()
		if err := json.Unmarshal([]byte(s), &l); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		return l
	}
	_, check, ok := strings.Cut(last["HEALTHCHECK"], " CMD ")
	if !ok {
		t.Fatalf("HEALTHCHECK is %q", last["HEALTHCHECK"])
	}
	runsMox(t, words(check))
	runsMox(t, append(words(last["ENTRYPOINT"]), words(last["CMD"])...))
	if !strings.Contains(last["ENV"], "MOXCONF=/mox/config/mox.conf") {
		t.Errorf("commands in the container do not find the configuration: ENV is %q", last["ENV"])
	}
}

func TestComposeFileGivesTheCapabilitiesOfTheUnit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(testkit.Root(t), "docker-compose.yml")
	var file struct {
		Services map[string]struct {
			Build, Image, Restart string
			NetworkMode           string `yaml:"network_mode"`
			Environment           map[string]string
			Volumes, Tmpfs        []string
			ReadOnly              bool     `yaml:"read_only"`
			CapDrop               []string `yaml:"cap_drop"`
			CapAdd                []string `yaml:"cap_add"`
			SecurityOpt           []string `yaml:"security_opt"`
			Ulimits               map[string]int
			StopGracePeriod       string `yaml:"stop_grace_period"`
			Healthcheck           struct {
				Test              []string
				Interval, Timeout string
				StartPeriod       string `yaml:"start_period"`
			}
		}
	}
	dec := yaml.NewDecoder(strings.NewReader(string(testkit.ReadFile(t, path))))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		t.Fatal(err)
	}
	mox := file.Services["mox"]
	if !slices.Equal(mox.CapDrop, []string{"ALL"}) {
		t.Errorf("cap_drop is %q", mox.CapDrop)
	}
	_, caps, _ := strings.Cut(packaging.Service, "\nCapabilityBoundingSet=")
	caps, _, _ = strings.Cut(caps, "\n")
	if got := "CAP_" + strings.Join(mox.CapAdd, " CAP_"); got != caps {
		t.Errorf("capabilities are %s, those of the unit %s", got, caps)
	}
	if len(mox.Healthcheck.Test) < 2 || mox.Healthcheck.Test[0] != "CMD" {
		t.Fatalf("healthcheck is %q", mox.Healthcheck.Test)
	}
	runsMox(t, mox.Healthcheck.Test[1:])
	docker, err := exec.LookPath("docker")
	if err != nil {
		t.Log("docker is not installed: the file was not given to it")
		return
	}
	if exec.Command(docker, "compose", "version").Run() != nil {
		t.Log("docker has no compose: the file was not given to it")
		return
	}
	if out, err := exec.Command(docker, "compose", "-f", path, "config", "--quiet").CombinedOutput(); err != nil {
		t.Errorf("docker compose: %v\n%s", err, out)
	}
}
