package safefile

import (
	"errors"
	"testing"
)

func TestNothingIsRemovedWhileItIsHeld(t *testing.T) {
	t.Parallel()
	var r Removals
	failure := errors.New("test")
	if held, err := r.Do(func() error { return failure }); held || !errors.Is(err, failure) {
		t.Fatalf("without hold: %v, %v", held, err)
	}
	first, second := r.Hold(), r.Hold()
	for _, release := range []func(){first, first, second} {
		if held, err := r.Do(func() error { t.Errorf("removed"); return nil }); !held || err != nil {
			t.Fatalf("with hold: %v, %v", held, err)
		}
		release()
	}
	done := false
	if held, err := r.Do(func() error { done = true; return nil }); held || err != nil || !done {
		t.Fatalf("after the last release: %v, %v, done %v", held, err, done)
	}
}

func TestHoldWaitsForRemovalsInProgress(t *testing.T) {
	t.Parallel()
	var r Removals
	ended := false
	begun, end := make(chan struct{}), make(chan struct{})
	go r.Do(func() error {
		close(begun)
		<-end
		ended = true
		return nil
	})
	<-begun
	held := make(chan func())
	go func() { held <- r.Hold() }()
	close(end)
	release := <-held
	defer release()
	if !ended {
		t.Fatalf("held while files were being removed")
	}
}
