package cli

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"mox/config"
	"mox/internal/testkit"
	"mox/packaging"
)

func TestPrintServiceFillsInPaths(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t, map[string]string{
		"my config/mox.conf": `DataDir: ../100% data
LogLevel: info
Hostname: mail.example.org
Listeners:
	local:
		IPs:
			- 127.0.0.1
		LMTP:
			Enabled: true
			Socket: /run/mox/lmtp
Postmaster:
	Account: ann
	Mailbox: Postmaster
`,
		"my config/domains.conf": "Domains:\n\texample.org: nil\nAccounts:\n\tann:\n\t\tDomain: example.org\n",
	})
	conf := filepath.Join(dir, "my config", "mox.conf")
	mox(t, "", "-config", conf, "config", "printservice").want(t, 0, ` -config "`+conf+`" serve`+"\n", "")
	s, err := config.Load(conf)
	if err != nil {
		t.Fatal(err)
	}
	unit, err := serviceUnit("/home/mox/$1/mox", s)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nExecStart=/home/mox/$1/mox -config \"" + conf + "\" serve\n", // The path of a program has no variables.
		"\nReadWritePaths=/run/mox \"" + dir + "/100%% data\" \"" + dir + "/my config\"\n",
		"\nProtectHome=read-only\n",
		"\nPrivateTmp=no\n",
	} {
		if !strings.Contains(unit, want) {
			t.Errorf("no %q in\n%s", want, unit)
		}
	}
}

func TestServiceHasLittleToLose(t *testing.T) {
	t.Parallel()
	for _, path := range []string{packaging.ServiceProgram, packaging.ServiceConfig, packaging.ServiceWritePath} {
		if !strings.Contains(packaging.Service, path) {
			t.Errorf("no path %s", path)
		}
	}
	tool := testkit.Tool(t, "systemd-analyze")
	unit := strings.Replace(packaging.Service, packaging.ServiceProgram, "/bin/true", 1)
	path := filepath.Join(testkit.Dir(t, map[string]string{"mox.service": unit}), "mox.service")
	out, err := exec.Command(tool, "verify", path).CombinedOutput()
	// It needs a system that systemd runs for what other units are there.
	if regexp.MustCompile(`mox\.service:\d+`).Match(out) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	out, err = exec.Command(tool, "security", "--offline=yes", "--no-pager", path).CombinedOutput()
	m := regexp.MustCompile(`Overall exposure level for mox\.service: (\d+\.\d+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	if level, err := strconv.ParseFloat(string(m[1]), 64); err != nil || level > 2.6 {
		t.Errorf("exposure level is %s, it must be at most 2.6\n%s", m[1], out)
	}
}
