// Package stepclock gives a program clocks of its own: a test can set its wall clock
// while it runs, and have its time go faster. The clock of the machine is never
// touched.
//
// Prepare writes what the go command needs to build such a program:
//
//	go run ./testdata/stepclock/prepare DIR
//	go build -overlay DIR/overlay.json -modfile DIR/go.mod ./cmd/lwcd
//
// The overlay patches package time of the standard library, which then goes by a page
// that is shared in memory, named by the environment variable Env. A step is seen by
// the wall clock alone, as a real one is; a faster pace by both clocks, by timers and
// by the deadlines of connections, those alone excepted that were set before, and
// time.Sleep. The module file puts a copy of golang.org/x/sys in which every call that
// sets the clock sets the page.
package stepclock

import (
	_ "embed" // the patches
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Env names the environment variable with the path of the page. A program that was
// built so and is started without it has the machine's clock.
const Env = "LWC_STEPPED_CLOCK"

var (
	//go:embed patch/time.go.txt
	timePatch []byte
	//go:embed patch/unix.go.txt
	unixPatch []byte
)

// setters are the functions of golang.org/x/sys/unix that set a clock.
var setters = []string{"Adjtimex", "ClockAdjtime", "ClockSettime", "Settimeofday"}

// Prepare fills a folder with the overlay and the module file. Call it inside the
// module; a folder that is there already is written anew.
func Prepare(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, "sys")); err != nil {
		return fmt.Errorf("emptying %s: %w", dir, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", dir, err)
	}
	if err := overlayTime(dir); err != nil {
		return fmt.Errorf("patching package time: %w", err)
	}
	if err := replaceSys(dir); err != nil {
		return fmt.Errorf("patching golang.org/x/sys: %w", err)
	}
	return nil
}

// edit is a piece of a file of the standard library and what takes its place, as
// often as it occurs.
type edit struct {
	file, old, new string
	times          int
}

// edits have package time go by this program's clocks, and timers and deadlines of
// connections, which the runtime keeps, by the machine's.
func edits() []edit {
	return []edit{
		{"time/time.go", "sec, nsec, mono := runtimeNow()\n\tif mono == 0", "sec, nsec, mono := steppedNow()\n\tif mono == 0", 1},
		{"time/time.go", "subMono(runtimeNano()-startNano", "subMono(steppedNano()-startNano", 1},
		{"time/time.go", "subMono(t.ext, runtimeNano()-startNano", "subMono(t.ext, steppedNano()-startNano", 1},
		{"time/time.go", "var startNano int64 = runtimeNano()", "var startNano int64 = steppedNano()", 1},
		{"time/sleep.go", "t := runtimeNano() + int64(d)", "t := runtimeNano() + int64(MachineTime(d))", 1},
		{"time/tick.go", "when(d), int64(d)", "when(d), max(1, int64(MachineTime(d)))", 2},
		{"internal/poll/fd_poll_runtime.go", "d = int64(time.Until(t))", "d = int64(time.MachineTime(time.Until(t)))", 1},
	}
}

// overlayTime writes the patched standard library and overlay.json.
func overlayTime(dir string) error {
	root, err := goSays("env", "GOROOT")
	if err != nil {
		return err
	}
	files := map[string]string{"time/step.go": string(timePatch)}
	for _, e := range edits() {
		text, ok := files[e.file]
		if !ok {
			b, err := os.ReadFile(filepath.Join(root, "src", e.file))
			if err != nil {
				return err
			}
			text = string(b)
		}
		if n := strings.Count(text, e.old); n != e.times {
			return fmt.Errorf("this Go's %s is not the one that the patch is for: it has %q %d times", e.file, e.old, n)
		}
		files[e.file] = strings.ReplaceAll(text, e.old, e.new)
	}
	replace := map[string]string{}
	for name, text := range files {
		path := filepath.Join(dir, strings.ReplaceAll(name, "/", "-")+".txt")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
		replace[filepath.Join(root, "src", name)] = path
	}
	b, err := json.MarshalIndent(map[string]any{"Replace": replace}, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "overlay.json"), b, 0o644)
}

// replaceSys copies golang.org/x/sys, which the go command lets no overlay change,
// and writes a go.mod that takes the copy.
func replaceSys(dir string) error {
	module, err := goSays("list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys")
	if err != nil {
		return err
	}
	copied := filepath.Join(dir, "sys")
	if err := os.CopyFS(copied, os.DirFS(module)); err != nil {
		return err
	}
	calls := filepath.Join(copied, "unix", "zsyscall_linux.go")
	text, err := os.ReadFile(calls)
	if err != nil {
		return err
	}
	patched := string(text)
	for _, name := range setters {
		head := "\nfunc " + name + "("
		if strings.Count(patched, head) != 1 {
			return fmt.Errorf("%s is not where the patch looks for it", name)
		}
		patched = strings.Replace(patched, head, "\nfunc "+strings.ToLower(name[:1])+name[1:]+"OfMachine(", 1)
	}
	if err := os.Chmod(calls, 0o644); err != nil {
		return err
	}
	err = errors.Join(os.WriteFile(calls, []byte(patched), 0o644),
		os.WriteFile(filepath.Join(copied, "unix", "zstep_linux.go"), unixPatch, 0o644))
	if err != nil {
		return err
	}
	return moduleFile(dir, copied)
}

func moduleFile(dir, copied string) error {
	path, err := goSays("env", "GOMOD")
	if err != nil {
		return err
	}
	mod, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	sum, err := os.ReadFile(strings.TrimSuffix(path, ".mod") + ".sum")
	if err != nil {
		return err
	}
	mod = fmt.Appendf(mod, "\nreplace golang.org/x/sys => %q\n", copied)
	return errors.Join(os.WriteFile(filepath.Join(dir, "go.mod"), mod, 0o644),
		os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o644))
}

// goSays runs the go command and returns what it prints.
func goSays(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running go %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
