package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// exposureGoal is what each unit of ours is to have at most, by systemd-analyze(1)
// security: 0 is closed, 10 is open.
const exposureGoal = 1.5

// exposures is what the units have. One that gets worse fails the test; one that gets
// better is to be written down here.
var exposures = map[string]float64{
	"lwc-clock@.service":    1.3,
	"lwc-forget.service":    1.1,
	"lwc-gate.service":      1.5,
	"lwc-half@.service":     1.4,
	"lwc-packet@.service":   1.4,
	"lwc-provision.service": 1.4,
	"lwc-reserve.service":   0.9,
	"lwc-restart.service":   1.0,
	"lwc-screen.service":    1.0,
	"lwc-state.service":     1.2,
	"lwc-update@.service":   2.0, // SYS_ADMIN, the disks, and what systemd-sysupdate needs
	"lwcd.service":          2.4, // docs/lwcd.md says what each right is for
}

// exposureLine is what systemd-analyze says at the end.
var exposureLine = regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+) `)

// TestExposureOfUnits holds what was reached, and says what is short of the goal.
func TestExposureOfUnits(t *testing.T) {
	analyze := analyzer(t)
	units, err := filepath.Glob("../mkosi/mkosi.extra/usr/lib/systemd/system/lwc*.service")
	if err != nil {
		t.Fatal(err)
	}
	if len(units) != len(exposures) {
		t.Errorf("there are %d units, and %d figures for them", len(units), len(exposures))
	}
	for _, path := range units {
		unit := filepath.Base(path)
		text, err := analyze("security", "--offline=yes", "--no-pager", path).CombinedOutput()
		found := exposureLine.FindSubmatch(text)
		if err != nil || found == nil {
			t.Errorf("asking for the exposure of %s: %v: %s", unit, err, text)
			continue
		}
		value, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		word := "ok"
		if value > exposureGoal {
			word = "short"
		}
		fmt.Printf("goal image-exposure-%s %g %g %s\n", strings.TrimRight(strings.TrimSuffix(unit, ".service"), "@"), value, exposureGoal, word)
		if was, known := exposures[unit]; !known || value > was {
			t.Errorf("%s has an exposure of %g, and had %g", unit, value, was)
		}
	}
}

// analyzer is systemd-analyze of the image's systemd: that of the tools that the image
// is built with, or this machine's where it is the same. Another version counts otherwise.
func analyzer(t *testing.T) func(args ...string) *exec.Cmd {
	t.Helper()
	if text, err := exec.Command("systemd-analyze", "--version").Output(); err == nil && bytes.HasPrefix(text, []byte("systemd 257 ")) {
		return func(args ...string) *exec.Cmd { return exec.Command("systemd-analyze", args...) }
	}
	return imageTool(t, "systemd-analyze")
}

// imageTool is a program of the tools that the image is built with, which
// LWC_IMAGE_TOOLS may name.
func imageTool(t *testing.T, name string) func(args ...string) *exec.Cmd {
	t.Helper()
	tools, given := os.LookupEnv("LWC_IMAGE_TOOLS")
	if !given {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		tools = filepath.Join(cache, "lwc-image", "tools")
	}
	libs, program := filepath.Join(tools, "usr/lib/x86_64-linux-gnu"), filepath.Join(tools, "usr/bin", name)
	if _, err := os.Stat(program); err != nil {
		if given {
			t.Fatalf("LWC_IMAGE_TOOLS: %v", err)
		}
		t.Skip("NOT RUN: it needs the systemd of the image, which make image brings")
	}
	return func(args ...string) *exec.Cmd {
		return exec.Command(filepath.Join(libs, "ld-linux-x86-64.so.2"), append([]string{"--library-path", libs + ":" + libs + "/systemd", program}, args...)...)
	}
}
