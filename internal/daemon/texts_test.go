package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		got := ""
		// The last of messages that came at once may be indexed only some seconds later.
		for end := time.Now().Add(time.Minute); !strings.HasPrefix(got, "mox: 6 messages with ") && time.Now().Before(end); {
			got = stream(t, c, "searchrebuild", account)
		}
		if !strings.HasPrefix(got, "mox: 6 messages with ") || strings.Count(got, "\n") != 1 {
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
