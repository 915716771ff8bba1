package cli

import (
	"net/netip"
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
		"\nBindReadOnlyPaths=-/home/mox/$1/mox\n",
		"\nReadWritePaths=/run/mox \"" + dir + "/100%% data\" \"" + dir + "/my config\"\n",
		"\nProtectHome=tmpfs\n",
		"\nPrivateTmp=no\n",
	} {
		if !strings.Contains(unit, want) {
			t.Errorf("no %q in\n%s", want, unit)
		}
	}
}

func TestServiceSeesOfHomeDirectoriesWhatItNeeds(t *testing.T) {
	t.Parallel()
	dir := testkit.Dir(t, map[string]string{
		"mox.conf": `DataDir: data
LogLevel: info
Hostname: mail.example.org
Listeners:
	local:
		IPs:
			- 127.0.0.1
Postmaster:
	Account: ann
	Mailbox: Postmaster
`,
		"domains.conf": "Domains:\n\texample.org: nil\nAccounts:\n\tann:\n\t\tDomain: example.org\n",
	})
	s, err := config.Load(filepath.Join(dir, "mox.conf"))
	if err != nil {
		t.Fatal(err)
	}
	s.DataDir = "/home/mox/data"
	s.Listeners[0].TLS = &config.TLS{HostKeyFiles: []string{"/home/mox/data/key.pem"}, KeyCerts: []config.KeyCert{{CertFile: "/home/my keys/cert.pem", KeyFile: "/srv/keys/key.pem"}}}
	for path, want := range map[string]string{
		"/home/mox/config/mox.conf": "ProtectHome=tmpfs\nBindPaths=/home/mox/config /home/mox/data\nBindReadOnlyPaths=\"-/home/my keys\"\nPrivateTmp=yes\n",
		"/etc/mox/mox.conf":         "ProtectHome=tmpfs\nBindPaths=/home/mox/data\nBindReadOnlyPaths=\"-/home/my keys\"\nPrivateTmp=yes\n",
		"/root/mox.conf":            "ProtectHome=read-only\nPrivateTmp=yes\n",
		"/home/a:b/mox.conf":        "ProtectHome=read-only\nPrivateTmp=yes\n",
	} {
		s.Path = path
		unit, err := serviceUnit("/usr/local/bin/mox", s)
		if err != nil || !strings.Contains(unit, want) {
			t.Errorf("%s: %v, expected\n%s\nin\n%s", path, err, want, unit)
		}
		if written := strings.Contains(unit, "\nReadWritePaths="); written != !strings.Contains(want, "/home/mox/config") {
			t.Errorf("%s: paths to write: %v", path, written)
		}
		if level := exposure(t, unit); level > 2.6 && strings.Contains(want, "tmpfs") {
			t.Errorf("%s: exposure level is %v, it must be at most 2.6", path, level)
		}
	}
	for ip, netlink := range map[string]bool{"192.0.2.1": false, "0.0.0.0": true, "::": true} {
		s.Listeners[0].IPs = []netip.Addr{netip.MustParseAddr(ip)}
		if unit, err := serviceUnit("/usr/local/bin/mox", s); err != nil || strings.Contains(unit, packaging.ServiceNetlink) != netlink {
			t.Errorf("listener on %s: %v, the unit has%s: %v", ip, err, packaging.ServiceNetlink, !netlink)
		}
	}
}

func TestServiceHasLittleToLose(t *testing.T) {
	t.Parallel()
	for _, path := range []string{packaging.ServiceProgram, packaging.ServiceConfig, packaging.ServiceWritePath, packaging.ServiceNetlink + "\n"} {
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
	if level := exposure(t, unit); level > 2.6 {
		t.Errorf("exposure level is %v, it must be at most 2.6", level)
	}
}

// exposure returns what systemd says about a unit: from 0 for little to lose, to 10.
func exposure(t *testing.T, unit string) float64 {
	t.Helper()
	path := filepath.Join(testkit.Dir(t, map[string]string{"mox.service": unit}), "mox.service")
	out, err := exec.Command(testkit.Tool(t, "systemd-analyze"), "security", "--offline=yes", "--no-pager", path).CombinedOutput()
	m := regexp.MustCompile(`Overall exposure level for mox\.service: (\d+\.\d+)`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	level, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return level
}
