//go:build linux

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// What it does for as long as it is mounted is tested with package powercut.
func TestExitCodeSaysWhyNothingIsMounted(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "none")
	for _, tc := range []struct {
		args []string
		code int
		text string
	}{
		{nil, 2, "usage: "},
		{[]string{"a"}, 2, "usage: "},
		{[]string{"a", "b", "c"}, 2, "usage: "},
		{[]string{t.TempDir(), none}, 1, "mount: "},
	} {
		var stderr strings.Builder
		if code := run(tc.args, &stderr); code != tc.code || !strings.HasPrefix(stderr.String(), tc.text) || !strings.HasSuffix(stderr.String(), "\n") {
			t.Errorf("%q: exit code %d, %q", tc.args, code, stderr.String())
		}
	}
}
