package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"lwc/testdata/kernels/job"
)

// machine is one virtual machine. Emulation needs nothing of this machine; the
// model "max" has all that the emulator can do.
type machine struct {
	accel   string // tcg or kvm
	memory  int    // MiB
	timeout time.Duration
	verbose bool
	out     io.Writer
}

// bootTime bounds the time to the first line of output: some 10 s when emulated on
// an idle machine, minutes on a busy one.
const bootTime = 5 * time.Minute

var (
	errFailed = errors.New("running the tests: not all passed")
	errSilent = errors.New("booting: no output")
)

// run boots a kernel and passes on what its first process writes.
func (m machine) run(ctx context.Context, k kernel, initramfs string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, m.timeout, fmt.Errorf("running the tests: more than %v", m.timeout))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	console := filepath.Join(filepath.Dir(initramfs), "console.txt")
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", m.args(k, initramfs, console)...)
	// Not even a SIGKILL of this process leaves the emulator behind. The signal
	// comes when the thread that started it ends.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the emulator: %w (make deps installs it)", err)
	}
	silent := time.AfterFunc(bootTime, func() { stop(errSilent) })
	defer silent.Stop()
	r := m.pass(out, func() { silent.Stop() })
	if err = cmd.Wait(); ctx.Err() != nil {
		err = context.Cause(ctx)
	} else if err != nil {
		err = fmt.Errorf("running the emulator: %w: %s", err, complaints.String())
	}
	if err = r.judge(k, err); err == nil || errors.Is(err, errFailed) {
		return err
	}
	return fmt.Errorf("%w\nthe test that began last: %s\nthe kernel's last words:\n%s", err, cmp.Or(r.last, "none"), tail(console))
}

func (m machine) args(k kernel, initramfs, console string) []string {
	accel := m.accel
	if accel == "tcg" {
		accel = "tcg,thread=multi"
	}
	return []string{
		"-accel", accel, "-cpu", "max", "-smp", "2", "-m", fmt.Sprint(m.memory),
		"-nodefaults", "-display", "none", "-no-reboot",
		"-serial", "stdio", "-serial", "file:" + console,
		"-kernel", k.image, "-initrd", initramfs,
		"-append", "console=ttyS1 panic=-1 loglevel=6 mitigations=off",
	}
}

// report is what a machine said.
type report struct {
	end    job.End
	ended  bool   // the first process said how it went
	passed int    // tests, not counting those inside of others
	last   string // the test that began last
}

// judge makes an error of it; ran is how the emulator ended.
func (r report) judge(k kernel, ran error) error {
	switch {
	case r.ended && r.end.Error != "":
		return fmt.Errorf("preparing the machine: %s", r.end.Error)
	case r.ended && len(r.end.Failed) > 0:
		return fmt.Errorf("%w: %s under %s", errFailed, strings.Join(r.end.Failed, ", "), k.version)
	case r.ended && r.passed == 0:
		return fmt.Errorf("%w: no test ran under %s", errFailed, k.version)
	case r.ended:
		return nil
	case ran == nil:
		return fmt.Errorf("running %s: the machine ended early", k.version)
	}
	return ran
}

// pass copies lines until the output ends.
func (m machine) pass(out io.Reader, first func()) (r report) {
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if line != "" {
			first()
		}
		if e, ok := job.ParseLast(line); ok {
			r.end, r.ended = e, true
			continue
		}
		if strings.HasPrefix(line, "--- PASS") {
			r.passed++
		}
		if name, ok := strings.CutPrefix(line, "=== RUN   "); ok {
			r.last = strings.TrimSpace(name)
		}
		if m.verbose || worthShowing(line) {
			fmt.Fprint(m.out, line)
		}
		if err != nil {
			return r
		}
	}
}

// worthShowing leaves out what the testing package says of tests that run well.
func worthShowing(line string) bool {
	text := strings.TrimLeft(line, " ")
	return !strings.HasPrefix(text, "=== ") && (text == line || !strings.HasPrefix(text, "--- PASS"))
}

// tailSize is as much of the kernel's messages as an oops has.
const tailSize = 4 << 10

func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-tailSize):])
}
