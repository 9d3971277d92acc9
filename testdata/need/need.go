// Package need states what a test needs of its machine. Where it is missing the
// test is skipped with a line that says so, or fails when CI or LWC_TEST_STRICT
// is set, so that nothing is skipped silently where it should run.
package need

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Program returns the path of a program, looking in the sbin folders too.
func Program(t testing.TB, name string) string {
	t.Helper()
	for _, p := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(p); err == nil {
			return path
		}
	}
	Missing(t, "the program "+name+" (make deps installs it)")
	return ""
}

// Root skips or fails unless the test runs as root.
func Root(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "root")
	}
}

// Folder returns the path of data that stands beside the project and is not part
// of it. Not everyone has it: only CI fails without.
func Folder(t testing.TB, path string) string {
	t.Helper()
	if _, err := os.Stat(path); err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatalf("this test needs the folder %s", path)
	}
	t.Skipf("NOT RUN: this test needs the folder %s", path)
	return ""
}

// Missing skips the test, or fails it where skipping is not allowed.
func Missing(t testing.TB, what string) {
	t.Helper()
	if Strict() {
		t.Fatalf("this test needs %s", what)
	}
	t.Skipf("NOT RUN: this test needs %s", what)
}

// Kernel skips the test where the kernel is known not to have a feature: where
// LWC_TEST_KERNEL_WITHOUT names it, in a list with commas. Elsewhere the lack is
// one like any other. what says which kernel has it.
func Kernel(t testing.TB, feature, what string) {
	t.Helper()
	if slices.Contains(strings.Split(os.Getenv("LWC_TEST_KERNEL_WITHOUT"), ","), feature) {
		t.Skipf("NOT RUN here: needs a kernel with %s (make test-kernels)", what)
	}
	Missing(t, "a kernel with "+what+", or "+feature+" in LWC_TEST_KERNEL_WITHOUT")
}

// Strict tells whether a missing need is a failure.
func Strict() bool { return os.Getenv("CI") != "" || os.Getenv("LWC_TEST_STRICT") != "" }
