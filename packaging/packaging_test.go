package packaging

import (
	"strings"
	"testing"
)

// Who replaces the paths of the unit finds them.
func TestUnitHasThePaths(t *testing.T) {
	t.Parallel()
	for _, want := range []string{
		"\nExecStart=" + ServiceProgram + " -config " + ServiceConfig + " serve\n",
		"\nReadWritePaths=" + ServiceWritePath + "\n",
	} {
		if !strings.Contains(Service, want) {
			t.Errorf("no %q in the unit", want)
		}
	}
}
