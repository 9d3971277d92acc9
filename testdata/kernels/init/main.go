// Init is the first process under a kernel that the tests are tried on: it mounts
// what programs expect, loads kernel modules, runs the commands of its job with
// their output on the first serial port, says there how they ended, and ends the
// machine.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"lwc/testdata/kernels/job"
)

// serial is where the output goes; the kernel's own messages go to the second port.
const serial = "/dev/ttyS0"

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: this runs as the first process of a virtual machine only")
		os.Exit(2)
	}
	failed, err := run()
	fmt.Fprintln(os.Stdout, job.Last(failed, err))
	// The port is drained before the machine ends, or its last bytes are lost.
	_ = unix.IoctlSetInt(int(os.Stdout.Fd()), unix.TCSBRK, 1)
	unix.Sync()
	err = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	fmt.Fprintln(os.Stderr, "init: ending the machine:", err)
	select {}
}

func run() (failed []string, err error) {
	if err := mountAll(); err != nil {
		return nil, err
	}
	if err := openSerial(); err != nil {
		return nil, err
	}
	j, err := job.Read()
	if err != nil {
		return nil, err
	}
	for _, m := range j.Modules {
		if err := load(m); err != nil {
			return nil, err
		}
	}
	if err := loopbackUp(); err != nil {
		return nil, err
	}
	for _, c := range j.Commands {
		if err := execute(c); err != nil {
			fmt.Printf("%s: %v\n", c.Name, err)
			failed = append(failed, c.Name)
		}
	}
	return failed, nil
}

// mountAll mounts what a distribution has; the root itself is the initramfs.
func mountAll() error {
	for _, m := range []struct{ kind, on, options string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"tmpfs", "/run", "mode=755"},
		{"tmpfs", "/tmp", "mode=1777"},
	} {
		if err := os.MkdirAll(m.on, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.on, m.kind, 0, m.options); err != nil {
			return fmt.Errorf("mounting %s on %s: %w", m.kind, m.on, err)
		}
	}
	return nil
}

// openSerial makes the first port the output of this process and of all that it
// starts, byte for byte as written.
func openSerial() error {
	fd, err := unix.Open(serial, unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("opening %s: %w", serial, err)
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err == nil {
		t.Oflag &^= unix.OPOST
		t.Lflag &^= unix.ECHO | unix.ICANON
		err = unix.IoctlSetTermios(fd, unix.TCSETS, t)
	}
	if err != nil {
		return fmt.Errorf("setting %s: %w", serial, err)
	}
	for to := 1; to <= 2; to++ {
		if err := unix.Dup3(fd, to, 0); err != nil {
			return fmt.Errorf("using %s: %w", serial, err)
		}
	}
	return nil
}

func load(module string) error {
	f, err := os.Open(module)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return fmt.Errorf("loading the kernel module %s: %w", filepath.Base(module), err)
	}
	return nil
}

// loopbackUp does what every distribution does at boot.
func loopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("setting lo up: %w", err)
	}
	return nil
}

// execute runs one command and buries the orphans that fall to the first process
// meanwhile.
func execute(c job.Command) error {
	p, err := os.StartProcess(c.Args[0], c.Args, &os.ProcAttr{
		Dir: c.Dir, Env: c.Env, Files: []*os.File{nil, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR || err == nil && pid != p.Pid:
			continue
		case err != nil:
			return fmt.Errorf("waiting for the end: %w", err)
		case status.Signaled():
			return fmt.Errorf("ended by %v", status.Signal())
		case status.ExitStatus() != 0:
			return fmt.Errorf("exit code %d", status.ExitStatus())
		}
		return nil
	}
}
