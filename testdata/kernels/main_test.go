package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lwc/testdata/kernels/job"
)

func TestSourcesFollowTheMachines(t *testing.T) {
	got := sources("http://one.example/debian/ Debian\nhttp://one.example/debian/ Debian\nhttp://two.example/sec/ Debian-Security\nhttp://other.example/ Debian Backports\n", "trixie")
	want := []string{"one.example/debian/ trixie main", "one.example/debian/ trixie-updates main", "two.example/sec/ trixie-security main"}
	if lines := strings.Split(strings.TrimSpace(got), "\n"); len(lines) != len(want) {
		t.Errorf("sources are\n%s", got)
	}
	for _, w := range want {
		if !strings.Contains(got, keyring+"] http://"+w+"\n") {
			t.Errorf("no line ends with %q in\n%s", w, got)
		}
	}
	if got := sources("", "trixie"); got != "" {
		t.Errorf("sources out of nothing: %q", got)
	}
}

func TestLastLine(t *testing.T) {
	for _, want := range []job.End{{}, {Failed: []string{"a", "b"}}, {Error: "mounting"}} {
		var err error
		if want.Error != "" {
			err = errors.New(want.Error)
		}
		got, ok := job.ParseLast(job.Last(want.Failed, err) + "\n")
		if !ok || got.Error != want.Error || strings.Join(got.Failed, " ") != strings.Join(want.Failed, " ") {
			t.Errorf("%+v came back as %+v, %v", want, got, ok)
		}
	}
	for _, line := range []string{"", "PASS\n", "lwc-kernel-job {}", job.Last(nil, nil)[:17]} {
		if _, ok := job.ParseLast(line); ok {
			t.Errorf("%q counts as the last line", line)
		}
	}
}

func TestOutputOfTestsThatRunWellIsShort(t *testing.T) {
	var shown bytes.Buffer
	said := "=== RUN   TestA\n    --- PASS: TestA/b (0.00s)\n--- PASS: TestA (0.00s)\n    a_test.go:1: told\n    --- FAIL: TestC/d (0.01s)\n" + job.Last([]string{"x"}, nil) + "\n"
	got := machine{out: &shown}.pass(strings.NewReader(said), func() {})
	if !got.ended || len(got.end.Failed) != 1 || got.passed != 1 {
		t.Errorf("the report is %+v", got)
	}
	if want := "--- PASS: TestA (0.00s)\n    a_test.go:1: told\n    --- FAIL: TestC/d (0.01s)\n"; shown.String() != want {
		t.Errorf("shown is\n%swant\n%s", &shown, want)
	}
}

// A module comes after what it needs; one that the kernel has built in does not come.
func TestModulesComeInOrder(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	put("modules.builtin", "kernel/net/packet/af_packet.ko\nkernel/lib/crc-16.ko\n")
	put("not.ko", "no ELF file")
	m, err := openModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"af_packet", "crc-16", "crc_16"} {
		if missing, err := m.add(t.Context(), name); missing != "" || err != nil {
			t.Errorf("%s: missing %q, %v", name, missing, err)
		}
	}
	if missing, err := m.add(t.Context(), "veth"); missing != "veth" || err != nil {
		t.Errorf("veth: missing %q, %v", missing, err)
	}
	if _, err := m.add(t.Context(), "not"); err == nil || len(m.order) != 0 {
		t.Errorf("a file that is no module: %v, %d modules", err, len(m.order))
	}
}

// The format is the kernel's to judge, at each boot; here, that each part is where
// the one before ends.
func TestArchive(t *testing.T) {
	var b bytes.Buffer
	a := newArchive(&b)
	for range 2 { // the second time it is there
		if err := a.file("/etc/a/hosts", 0o644, []byte("12345")); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	var names []string
	for rest := b.String(); rest != ""; {
		const header = 110
		if len(rest) < header || rest[:6] != "070701" {
			t.Fatalf("no header at %q", rest[:min(20, len(rest))])
		}
		size, name := hex(t, rest[54:62]), hex(t, rest[94:102])
		names = append(names, rest[header:header+name-1])
		start := header + name + len(padding(header+name))
		rest = rest[start+size+len(padding(size)):]
	}
	if got := strings.Join(names, " "); got != "etc etc/a etc/a/hosts TRAILER!!!" {
		t.Errorf("the entries are %s", got)
	}
}

func hex(t *testing.T, digits string) (n int) {
	t.Helper()
	for _, d := range digits {
		n = n*16 + strings.IndexRune("0123456789abcdef", d)
	}
	return n
}

func TestCommandLine(t *testing.T) {
	var stderr bytes.Buffer
	if err := run(t.Context(), []string{"-bogus"}, &stderr, &stderr); err == nil || !strings.Contains(stderr.String(), "-release") {
		t.Errorf("a flag that does not exist: %v\n%s", err, &stderr)
	}
	o, err := parse(nil, &stderr)
	if err != nil || o.release != "bookworm" || len(o.packages) != 1 {
		t.Errorf("without flags: %+v, %v", o, err)
	}
}
