package backup

import "testing"

func TestWhatIsMadeFromMessagesIsNoPlainFile(t *testing.T) {
	t.Parallel()
	f := finder{}
	for path, want := range map[string]bool{
		"accounts/ann/fts.db":        false,
		"accounts/ann/junkfilter.db": false,
		"accounts/ann/index.db":      false,
		"accounts/ann/msg":           false,
		"accounts/ann/lost":          true,
		"accounts/ann/lost/fts.db":   true,
		"srs.key":                    true,
		"tmp":                        false,
		"acme/fts.db":                true,
	} {
		if got := f.isPlain(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
