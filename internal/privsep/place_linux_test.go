package privsep

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/testkit"
)

func TestCheckPlaceFindsWhatOthersCouldReplace(t *testing.T) {
	t.Parallel()
	testkit.NeedRoot(t, "owners of files")
	for _, tc := range []struct {
		name         string
		uid          int // Of the directory, and that above it.
		mode         os.FileMode
		upUID        int
		upMode       os.FileMode
		want         string // Part of the error.
		doesNotExist bool
	}{
		{"root's", 0, 0755, 0, 0755, "", false},
		{"the user's own, which root takes over", someone.UID, 0700, 0, 0755, "", false},
		{"below a directory for all", 0, 0755, 0, os.ModeSticky | 0777, "", false},
		{"to be made", 0, 0755, 0, 0755, "", true},
		{"another user's", 54321, 0755, 0, 0755, "belongs to the user with number 54321", false},
		{"below the user's", 0, 0755, someone.UID, 0755, "chown root ", false},
		{"for all to write", 0, 0777, 0, 0755, "can be written by others", false},
		{"below one for all", 0, 0755, 0, 0777, "chmod go-w ", false},
		{"below one of root's alone", 0, 0755, 0, 0700, "cannot get through directory ", false},
		{"for root alone", 0, 0700, 0, 0755, "chmod o+x ", false},
	} {
		up, err := os.MkdirTemp("", "mox-place-")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(up) })
		dir := filepath.Join(up, "mox")
		if !tc.doesNotExist {
			if err := os.Mkdir(dir, 0700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(dir, tc.uid, 0); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(dir, tc.mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(up, tc.upUID, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(up, tc.upMode); err != nil {
			t.Fatal(err)
		}
		err = CheckPlace(dir, someone)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: got %v", tc.name, err)
		}
	}
}
