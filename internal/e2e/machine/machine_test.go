//go:build linux

package machine

import (
	"regexp"
	"testing"
)

// TestMachine sets up a machine as README says, and uses it. The parts go on in this order on
// the same machine.
func TestMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setUp(t)
	for _, part := range []struct {
		name string
		test func(t *testing.T)
	}{
		{"processes", w.testProcesses},
		{"settings for mail programs", w.testSettings},
		{"mail", w.testMail},
		{"challenges", w.testChallenges},
		{"thunderbird", w.testThunderbird},
		{"reload", w.testReload},
		{"testssl", w.testTLS},
		{"kills", w.testKills},
		{"power cut", w.testPowerCut},
	} {
		t.Run(part.name, part.test)
	}
	w.machine.verify(t)
	if panics := regexp.MustCompile(`(?m)^.*\bpanic\b.*$`).FindAllString(w.machine.log(t), -1); panics != nil {
		t.Errorf("there were panics in the server: %q", panics)
	}
}
