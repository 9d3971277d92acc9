package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The image's time is the floor of the clock where it is later than the program's.
func TestFloorOfTheClock(t *testing.T) {
	epoch := filepath.Join(t.TempDir(), "clock-epoch")
	floor := builtAt(epoch)
	if err := os.WriteFile(epoch, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[time.Time]time.Time{floor.Add(time.Hour): floor.Add(time.Hour), floor.Add(-time.Hour): floor} {
		if err := os.Chtimes(epoch, at, at); err != nil {
			t.Fatal(err)
		}
		if got := builtAt(epoch); !got.Equal(want) {
			t.Errorf("with an image of %v it is after %v, want %v", at, got, want)
		}
	}
}
