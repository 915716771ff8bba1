//go:build linux

package machine

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mox/internal/testkit"
)

// The authority of the test does not say where to ask whether a certificate was revoked.
var ofAuthority = map[string]bool{"cert_revocation": true}

// testTLS lets testssl.sh look at the ports of the server.
func (w *world) testTLS(t *testing.T) {
	path := testkit.Tool(t, "testssl")
	w.machine.configure(t, "\t\tSubmissions:\n\t\t\tEnabled: true\n", "\t\tSubmission:\n\t\t\tEnabled: true\n")
	dir := publicDir(t)
	ca := filepath.Join(dir, "ca.pem")
	writeFile(t, ca, w.authority.trusted)
	var wg sync.WaitGroup
	for port, args := range map[string][]string{"25": {"-t", "smtp"}, "465": nil, "587": {"-t", "smtp"}, "993": nil, "443": nil} {
		out := filepath.Join(dir, port+".json")
		args = append([]string{"timeout", "900", path, "--quiet", "--color", "0", "--warnings", "batch", "--add-ca", ca, "--ip", w.machine.IP4(), "--jsonfile", out, "--connect-timeout", "10", "--openssl-timeout", "10"}, args...)
		if !soak() {
			// Without trying all ciphers one by one, and what clients would get.
			args = append(args, "--protocols", "--server-defaults", "--std", "--fs", "--server-preference", "--vulnerable")
			if port == "443" {
				args = append(args, "--headers")
			}
		}
		cmd := w.outside(t, append(args, hostname+":"+port)...)
		wg.Go(func() { w.testssl(t, cmd, port, out) })
	}
	wg.Wait()
}

func (w *world) testssl(t *testing.T, cmd *exec.Cmd, port, out string) {
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	var err error
	w.client.Do(t, func() { err = cmd.Start() })
	if err == nil {
		_ = cmd.Wait() // Its exit code is how many findings there are.
	}
	var findings []struct{ ID, Severity, Finding string }
	if err := json.Unmarshal(testkit.ReadFile(t, out), &findings); err != nil {
		t.Errorf("port %s: findings: %v\n%s", port, err, &said)
		return
	}
	if len(findings) < 20 {
		t.Errorf("port %s: %d findings\n%s", port, len(findings), &said)
	}
	for _, f := range findings {
		id, _, _ := strings.Cut(f.ID, " ") // Followed by a number, if there are several certificates.
		switch f.Severity {
		case "MEDIUM", "HIGH", "CRITICAL", "FATAL":
			if !ofAuthority[id] {
				t.Errorf("port %s: %s: %s: %s", port, f.Severity, f.ID, f.Finding)
			}
		case "WARN", "LOW":
			t.Logf("port %s: %s: %s: %s", port, f.Severity, f.ID, f.Finding)
		}
	}
}
