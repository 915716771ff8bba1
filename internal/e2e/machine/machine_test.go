//go:build linux

package machine

import "testing"

// TestMachine sets up a machine as README says, and uses it.
func TestMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.machine.run(t, "hostname"); got != hostname+"\n" {
		t.Errorf("the machine is called %q", got)
	}
}
