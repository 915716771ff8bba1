package store

import "testing"

func TestDirectoryOfAMessageFile(t *testing.T) {
	t.Parallel()
	for id, want := range map[int64]string{
		1:                        "a",
		8191:                     "a",
		8192:                     "b",
		26 * 8192:                "0",
		36 * 8192:                "A",
		63 * 8192:                "_",
		64 * 8192:                "ab",
		(64*64 + 2*64 + 3) << 13: "dcb",
	} {
		if got := contentDir(id); got != want {
			t.Errorf("directory of %d is %q, expected %q", id, got, want)
		}
	}
}
