package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mox/internal/search/textindex"
)

func TestSearchUsesAnIndexThatCanBeMadeAgain(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	d.fill(t, 3)
	if err := d.texts.Flush(t.Context(), "mox"); err != nil {
		t.Fatal(err)
	}
	c := d.dial(t)
	for _, account := range []string{"mox", ""} {
		if got := stream(t, c, "searchrebuild", account); !strings.HasPrefix(got, "mox: 6 messages with ") || strings.Count(got, "\n") != 1 {
			t.Errorf("rebuild %q: got %q", account, got)
		}
	}
	refused(t, c.Do("searchrebuild", "nobody"), `no account "nobody"`)
	if _, err := os.Stat(filepath.Join(d.DataDir(), "accounts/mox", textindex.FileName)); err != nil {
		t.Error(err)
	}
	// What is on disk is good when the server has stopped.
	d.stop()
	if problems, err := textindex.Verify(t.Context(), d.DataDir()); err != nil || len(problems) > 0 {
		t.Errorf("verify: %v, %v", problems, err)
	}
}
