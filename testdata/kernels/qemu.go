package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
	errFailed = errors.New("running the tests: some failed")
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
	end, ended := m.pass(out, func() { silent.Stop() })
	err = cmd.Wait()
	switch {
	case ended && end.Error != "":
		err = fmt.Errorf("preparing the machine: %s", end.Error)
	case ended && len(end.Failed) > 0:
		return fmt.Errorf("%w: %s under %s", errFailed, strings.Join(end.Failed, ", "), k.version)
	case ended:
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	default:
		err = fmt.Errorf("running %s: the machine ended early: %w", k.version, errors.Join(err, errors.New(complaints.String())))
	}
	return fmt.Errorf("%w\nthe kernel's last words:\n%s", err, tail(console))
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

// pass copies lines until the output ends. ended is false when the first process
// never said how it went.
func (m machine) pass(out io.Reader, first func()) (end job.End, ended bool) {
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		if line != "" {
			first()
		}
		if e, ok := job.ParseLast(line); ok {
			end, ended = e, true
		} else if m.verbose || worthShowing(line) {
			fmt.Fprint(m.out, line)
		}
		if err != nil {
			return end, ended
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
