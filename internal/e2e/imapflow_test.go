package e2e

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

// imapFlowModules is where scripts/install-test-packages.sh puts what is in
// testdata/imapflow/package-lock.json.
const imapFlowModules = "/usr/local/lib/mox-test-packages/imapflow/node_modules"

// TestImapFlow runs a program with the library ImapFlow: a day's work with mailboxes and
// messages, and waiting for what another connection and a delivery change.
func TestImapFlow(t *testing.T) {
	t.Parallel()
	node := testkit.Tool(t, "node")
	if _, err := os.Stat(filepath.Join(imapFlowModules, "imapflow")); errors.Is(err, fs.ErrNotExist) {
		testkit.Missing(t, "ImapFlow is not installed: run scripts/install-test-packages.sh as root")
	}
	s := localserve(t, options{})
	_, port := s.hostPort("imaps")
	cmd := exec.Command(node, filepath.Join("testdata", "imapflow", "client.js"), port, s.cert(), user, password)
	cmd.Env = append(os.Environ(), "NODE_PATH="+imapFlowModules)
	p := testkit.Start(t, cmd)
	p.WaitLine("^waiting$")
	deliver(t, s.smtpClient(), user, simple("imapflow wakes"))
	p.WaitLine("^imapflow is done$")
	_ = p.Wait() // It has said how it ended.
	if out := p.Output(); strings.Contains(out, "Warning") {
		t.Errorf("output:\n%s", out)
	}
}
