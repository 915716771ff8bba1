package daemon

import "testing"

// The server sees a moment later that a command has ended, and what it held is released.
func TestBackupWaitsForTheEndOfOneThatWasInterrupted(t *testing.T) {
	t.Parallel()
	d := start(t, newDir(t))
	first := d.dial(t)
	if err := first.Do("backup"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		next := d.dial(t)
		answer := make(chan error, 1)
		go func() { answer <- next.Do("backup") }()
		_ = first.Close()
		if err := <-answer; err != nil {
			t.Fatalf("after one that was interrupted: %v", err)
		}
		first = next
	}
	refused(t, d.dial(t).Do("backup"), "another backup is being made")
}
