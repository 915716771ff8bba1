package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Root returns the root directory of the repository: the nearest one with go.mod,
// from the working directory up.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatalf("finding working directory: %v", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatalf("no go.mod in the working directory or above it")
		}
		dir = parent
	}
}

// Shared returns the path of test data that is not in the repository: rel, with
// slashes, in the directory named by the environment variable MOX_SHARED, or else
// in ../shared next to the repository, such as "testdata/mail/rfc2822". The test is
// skipped where that directory is absent, and fails where it has no such path.
func Shared(t testing.TB, rel string) string {
	t.Helper()
	base := os.Getenv("MOX_SHARED")
	if base == "" {
		base = filepath.Join(Root(t), "..", "shared")
	}
	if _, err := os.Stat(base); err != nil {
		t.Skipf("shared test data absent: %v (MOX_SHARED names the directory with it)", err)
	}
	path := filepath.Join(base, filepath.FromSlash(rel))
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("shared test data: %v", err)
	}
	return path
}

// packages are the Debian packages of external programs whose name is another.
var packages = map[string]string{
	"imaptest":         "dovecot-imaptest",
	"delv":             "bind9-dnsutils",
	"dig":              "bind9-dnsutils",
	"unbound":          "unbound",
	"unbound-control":  "unbound",
	"doveadm":          "dovecot-core",
	"dovecot":          "dovecot-core",
	"mbsync":           "isync",
	"offlineimap":      "offlineimap3",
	"node":             "nodejs",
	"postconf":         "postfix",
	"posttls-finger":   "postfix",
	"sendmail":         "postfix",
	"smtp-source":      "postfix",
	"exim":             "exim4-daemon-light",
	"exim4":            "exim4-daemon-light",
	"opendkim-testmsg": "opendkim-tools",
	"dkimverify":       "python3-dkim",
	"ip":               "iproute2",
	"fail2ban-client":  "fail2ban",
	"fail2ban-regex":   "fail2ban",
	"unshare":          "util-linux",
	"setpriv":          "util-linux",
	"python3":          "python3",
	"xmllint":          "libxml2-utils",
	"systemd-nspawn":   "systemd-container",
	"knotd":            "knot",
	"knotc":            "knot",
	"keymgr":           "knot",
	"mta-sts-daemon":   "postfix-mta-sts-resolver",
	"testssl":          "testssl.sh",
	"systemd-analyze":  "systemd",
	"certutil":         "libnss3-tools",
}

// Missing skips the test because the machine lacks something that it needs: a program, a
// right, an address. In CI (the environment variable CI is not empty), where a machine has
// to have it all, it fails the test.
func Missing(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// NeedRoot says that the test must run as root for some purpose.
func NeedRoot(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "must run as root for %s", what)
	}
}

// Tool returns the path of an external program. If it is not installed, it is [Missing],
// with a line that names the package to install.
func Tool(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	// Where daemons are, which may not be in the PATH of a user.
	if runtime.GOOS != "windows" {
		for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return path
			}
		}
	}
	pkg := packages[name]
	if pkg == "" {
		pkg = name
	}
	Missing(t, "program %q is not installed: apt-get install %s", name, pkg)
	return ""
}

// Python returns the path of Debian's Python, which has modules of Debian's packages.
func Python(t testing.TB, modules ...string) string {
	t.Helper()
	python := Tool(t, "/usr/bin/python3")
	if out, err := exec.Command(python, "-I", "-c", "import "+strings.Join(modules, ", ")).CombinedOutput(); err != nil {
		Missing(t, "%s lacks one of %v (Debian packages: python3-NAME): %s", python, modules, out)
	}
	return python
}

// goTool returns the path of a tool of a module for tools, which is built if it has not
// been yet. If that is not possible, it is [Missing].
func goTool(t testing.TB, modfile, name string) string {
	t.Helper()
	cmd := exec.Command(Tool(t, "go"), "tool", "-modfile="+modfile, "-n", name)
	cmd.Dir = Root(t)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		Missing(t, "building %s (once is enough, with: go tool -modfile=%s -n %s): %v\n%s", name, modfile, name, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}
