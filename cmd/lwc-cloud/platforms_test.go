package main

import (
	"os"
	"os/exec"
	"testing"
)

// Engineers check and prepare the files of sites on computers of their own; make cli
// builds lwc-cloud for these. What it imports has to be there, too.
func TestBuildsForOtherSystems(t *testing.T) {
	if testing.Short() {
		t.Skip("NOT RUN: compiling for other systems takes minutes the first time")
	}
	for _, system := range []string{"windows", "darwin"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", os.DevNull, ".")
		build.Env = append(os.Environ(), "GOOS="+system, "GOARCH=amd64", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Errorf("lwc-cloud for %s: %v\n%s", system, err, out)
		}
	}
}
