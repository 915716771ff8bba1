package cli

import (
	"strings"
	"testing"
)

func TestHelpOfAllHasCommandsForDevelopersToo(t *testing.T) {
	t.Parallel()
	all := mox(t, "", "helpall")
	usage := mox(t, "").err
	for _, c := range commands() {
		if !strings.Contains(all.out, "usage: "+c.usage()+"\n") {
			t.Errorf("%q is not in the help of all", c.words)
		}
		if got := strings.Contains(usage, "\n  "+c.words+" "); got == c.unlisted {
			t.Errorf("%q: in usage %t", c.words, got)
		}
	}
	mox(t, "", "helpall", "x").want(t, 2, "", "unexpected argument")
}

func TestLicensesArePrinted(t *testing.T) {
	t.Parallel()
	mox(t, "", "licenses").want(t, 0, "github.com/mjl-/bstore", "")
}
