//go:build linux

package machine

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"mox/internal/testkit"
)

// The authority of the test does not say where to ask whether a certificate was revoked.
var ofAuthority = map[string]bool{"cert_revocation": true}

// testTLS lets testssl.sh look at the ports of the server. In the short form it looks for all that
// it knows at one port, without trying what each of many clients would get; at the others,
// which have the same configuration, at protocols, ciphers and certificates.
func (w *world) testTLS(t *testing.T) {
	path := testkit.Tool(t, "testssl")
	w.machine.configure(t, "\t\tSubmissions:\n\t\t\tEnabled: true\n", "\t\tSubmission:\n\t\t\tEnabled: true\n")
	dir := testkit.PublicDir(t)
	ca := filepath.Join(dir, "ca.pem")
	testkit.WriteFile(t, ca, w.authority.trusted)
	basic := []string{"--protocols", "--std", "--server-defaults"}
	all := append([]string{"--fs", "--server-preference", "--vulnerable"}, basic...)
	var wg sync.WaitGroup
	for _, p := range []struct {
		port            string
		starttls, short []string
	}{
		{"25", []string{"-t", "smtp"}, basic},
		{"465", nil, basic},
		{"587", []string{"-t", "smtp"}, basic},
		{"993", nil, basic},
		{"443", nil, append([]string{"--headers"}, all...)},
	} {
		out := filepath.Join(dir, p.port+".json")
		args := append([]string{"timeout", "1200", path, "--quiet", "--color", "0", "--warnings", "batch", "--add-ca", ca, "--ip", w.machine.IP4(), "--jsonfile", out}, p.starttls...)
		if !soak() {
			args = append(args, p.short...)
		}
		cmd := w.outside(t, append(args, hostname+":"+p.port)...)
		wg.Go(func() { w.testssl(t, cmd, p.port, out) })
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
	data, err := os.ReadFile(out)
	if err == nil {
		err = json.Unmarshal(data, &findings)
	}
	if err != nil {
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
