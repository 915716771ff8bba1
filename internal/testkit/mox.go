package testkit

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// moxDir has the program, while tests run.
var moxDir string

var buildMox = sync.OnceValue(func() error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(moxDir, "mox"), "mox")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
})

// RunMox runs the tests of a package that may use [Mox], for its TestMain, and returns their
// exit code.
func RunMox(m *testing.M) int {
	dir, err := os.MkdirTemp("", "mox-binary-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	moxDir = dir
	return m.Run()
}

// Mox returns the path of the program, built as for releases when it is first asked for.
func Mox(t testing.TB) string {
	t.Helper()
	if err := buildMox(); err != nil {
		t.Fatalf("building mox: %v", err)
	}
	return filepath.Join(moxDir, "mox")
}
