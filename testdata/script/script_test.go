package script

import (
	"fmt"
	"os/exec"
	"sync"
	"testing"
)

// A script runs at once, however many processes others start meanwhile.
func TestWrite(t *testing.T) {
	var busy sync.WaitGroup
	for worker := range 8 {
		busy.Go(func() {
			for i := range 100 {
				path := Write(t, t.TempDir(), fmt.Sprint(worker, "-", i), "#!/bin/sh\nexit 0\n")
				if err := exec.Command(path).Run(); err != nil {
					t.Errorf("run %d: %v", i, err)
				}
			}
		})
	}
	busy.Wait()
}
