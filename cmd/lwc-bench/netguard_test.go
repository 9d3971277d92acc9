package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"lwc/testdata/need"
)

// A few changes and dials of each kind, so that the benchmark still runs when
// somebody needs it. As root, and in a user namespace where the test has no root.
func TestMeasuresTheGuard(t *testing.T) {
	needNamespaces(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "netguard", "--only", "fix,verify,dial,flood", "--events", "2", "--dials", "20", "--flood", "700ms")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"\ngoal netguard-fix-ip-forward-p50-ms ", "\ngoal netguard-fix-link-down-p99-ms ", "\ngoal netguard-verify-p99-ms ",
		"\ngoal netguard-dial-external-half-p50-more-ms ", "\ngoal netguard-killed-crossed-frames 0 0 ok\n"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// needNamespaces: root can make them, others in a user namespace alone.
func needNamespaces(t *testing.T) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run", "^$")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
	}
	if err := cmd.Run(); err != nil {
		need.Missing(t, "root or user namespaces")
	}
}

func TestSpread(t *testing.T) {
	var s spread
	for i := range 100 {
		s = append(s, time.Duration(100-i)*time.Millisecond)
	}
	for q, want := range map[float64]float64{0: 1, 0.5: 51, 0.99: 100, 1: 100} {
		if got := ms(s.at(q)); got != want {
			t.Errorf("share %v: %v ms, want %v", q, got, want)
		}
	}
	if got := spread(nil).at(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
