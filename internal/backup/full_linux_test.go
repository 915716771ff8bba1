package backup

import (
	"errors"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"mox/internal/testkit"
)

// A destination that is full fails the backup, and one with room again gets it.
func TestFullDestinationFailsTheBackup(t *testing.T) {
	t.Parallel()
	testkit.NeedRoot(t, "mounting a small file system")
	for kind, o := range kinds(t) {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dir, small := dataDir(t), t.TempDir()
			mount := testkit.Tool(t, "mount")
			if out, err := exec.Command(mount, "-t", "tmpfs", "-o", "size=100k", "tmpfs", small).CombinedOutput(); err != nil {
				testkit.Missing(t, "cannot mount: %s", out)
			}
			t.Cleanup(func() {
				if err := syscall.Unmount(small, 0); err != nil {
					t.Error(err)
				}
			})
			o.Location = filepath.Join(small, "dst")
			if _, err := runBackup(t, o, dir, 0); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("got error %v", err)
			}
			if !damaged(t, o) {
				t.Errorf("there is a snapshot")
			}
			if out, err := exec.Command(mount, "-o", "remount,size=20m", small).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if _, err := runBackup(t, o, dir, 1); err != nil {
				t.Fatal(err)
			}
			if l := verifyProblems(t, snapshotOf(t, o, "")); len(l) > 0 {
				t.Error(l)
			}
		})
	}
}
