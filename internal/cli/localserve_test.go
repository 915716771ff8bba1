package cli

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"mox/internal/testkit"
)

// The test binary is the program if this is set, for tests that need a process of
// its own.
const mainEnv = "MOX_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainEnv) != "" {
		os.Exit(Main(os.Args, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// localserve starts a server in a process of its own, and returns it with the
// addresses of its services.
func localserve(t *testing.T, dir string) (*testkit.Process, map[string]string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-loglevel", "info", "localserve", "-dir", dir, "-ports", "0")
	cmd.Env = append(os.Environ(), mainEnv+"=1")
	p := testkit.Start(t, cmd)
	p.WaitLine(`^ready$`)
	addrs := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z]+) +(\S+:[0-9]+) `).FindAllStringSubmatch(p.Output(), -1) {
		if addrs[m[1]] == "" {
			addrs[m[1]] = m[2]
		}
	}
	return p, addrs
}

func TestLocalserveSaysWhatListensWhereAndWhatToTry(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	p, addrs := localserve(t, dir)
	for _, service := range []string{"smtp", "submission", "submissions", "imap", "imaps", "http", "https", "metricshttp"} {
		c, err := net.Dial("tcp", addrs[service])
		if err != nil {
			t.Errorf("%s: %v", service, err)
			continue
		}
		_ = c.Close()
	}
	for _, want := range []string{"mox@localhost", "moxmoxmox", dir, "swaks --server localhost:", "curl -u ", "stop"} {
		if !strings.Contains(p.Output(), want) {
			t.Errorf("no %q in output", want)
		}
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(testkit.ReadFile(t, filepath.Join(dir, "localhost.crt"))) {
		t.Fatal("no certificate")
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: testkit.ProcessTimeout}
	for path, want := range map[string]string{"/workdir/": "localserve_test.go", "/mail/config-v1.1.xml?emailaddress=mox@localhost": "<username>mox@localhost</username>"} {
		m := regexp.MustCompile(`https?://localhost:\d+` + regexp.QuoteMeta(path)).FindString(p.Output())
		resp, err := client.Get(m)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s, %v, no %q in\n%s", m, resp.Status, err, want, body)
		}
	}
}

func TestCommandsTalkToTheRunningServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	p, addrs := localserve(t, dir)
	path := filepath.Join(dir, "mox.conf")
	run := func(in string, args ...string) result {
		t.Helper()
		return mox(t, in, append([]string{"-config", path}, args...)...)
	}
	run("", "status").want(t, 0, "listener  "+addrs["smtp"]+" ", "")
	run("", "loglevels").want(t, 0, "(default): info\n", "")
	run("", "loglevels", "debug", "store").want(t, 0, "", "")
	run("", "loglevels").want(t, 0, "(default): info\nstore: debug\n", "")
	run("", "loglevels", "", "store").want(t, 0, "", "")
	run("", "loglevels", "loud").want(t, 1, "", `mox loglevels: unknown log level "loud"`)
	run("Subject: test\n\nhello\n", "deliver", "mox@localhost").want(t, 0, "message delivered\n", "")
	run("Subject: test\n\nhello\n", "deliver", "eve@localhost").want(t, 1, "", "address not configured")
	run("another password\n", "setaccountpassword", "mox").want(t, 0, "password of account mox was set\n", "")
	run("short\n", "setaccountpassword", "mox").want(t, 1, "", "shorter than 8")
	run("", "verifydata").want(t, 1, "", "stop the server first")
	run("", "compact").want(t, 1, "", "stop the server first")
	run("", "stop").want(t, 0, "stopped\n", "")
	if err := p.Wait(); err != nil {
		t.Errorf("server: %v", err)
	}
	compacted := run("", "compact")
	for _, name := range []string{"accounts/mox/index.db", "queue/index.db", "auth.db", "trace.db", "dmarcrpt.db"} {
		compacted.want(t, 0, name+": ", "")
	}
	run("", "verifydata").want(t, 0, "1 accounts, 1 messages", "")
	run("", "stop").want(t, 1, "", "mox is not running")
}

func TestSecondServerOnTheSameDataSaysSo(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	localserve(t, dir)
	mox(t, "", "localserve", "-dir", dir, "-ports", "0").want(t, 1, "", "another mox is running with data directory "+filepath.Join(dir, "data"))
}

func TestSignalsStopTheServerWithTheirNumberAsExitCode(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		dir := filepath.Join(t.TempDir(), "mox")
		p, _ := localserve(t, dir)
		if err := p.Cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		var eerr *exec.ExitError
		if err := p.Wait(); !errors.As(err, &eerr) || eerr.ExitCode() != int(sig) {
			t.Errorf("%s: got %v", sig, err)
		}
		mox(t, "", "verifydata", filepath.Join(dir, "data")).want(t, 0, "1 accounts", "")
	}
}

func TestServerStartsAgainAfterItWasKilled(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	p, _ := localserve(t, dir)
	mox(t, "Subject: test\n\nhello\n", "-config", filepath.Join(dir, "mox.conf"), "deliver", "mox@localhost").want(t, 0, "message delivered\n", "")
	p.Kill()
	localserve(t, dir)
	mox(t, "", "-config", filepath.Join(dir, "mox.conf"), "stop").want(t, 0, "stopped\n", "")
	mox(t, "", "verifydata", filepath.Join(dir, "data")).want(t, 0, "1 accounts, 1 messages", "")
}

func TestDirectoryOfInterruptedStartIsExplained(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mox")
	mox(t, "", "localserve", "-initonly", "-dir", dir).want(t, 0, "made ", "")
	if err := os.Remove(filepath.Join(dir, "mox.conf")); err != nil {
		t.Fatal(err)
	}
	mox(t, "", "localserve", "-dir", dir).want(t, 1, "", "if it is left over from an interrupted start, remove it")
}
