package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lwc/netguard"
)

// The variables by which the test binary knows that it is lwcd, or the tests in
// namespaces of their own.
const (
	envMain   = "LWCD_TEST_MAIN"
	envInside = "LWCD_TEST_INSIDE"
	// envSleeper makes a collector half begin with starting a process that outlasts
	// all of its own kind.
	envSleeper = "LWCD_TEST_SLEEPER"
)

// TestMain is lwcd itself when a test starts it so. Otherwise it runs the tests
// in namespaces of their own, so that they touch no interface of the machine: as
// root in a new network and mount namespace, otherwise in a user namespace too.
func TestMain(m *testing.M) {
	if os.Getenv(envMain) != "" {
		if err := hideNames(); err != nil {
			fmt.Fprintln(os.Stderr, "hiding the names of the namespaces:", err)
			os.Exit(1)
		}
		if err := leaveTheClock(); err != nil {
			fmt.Fprintln(os.Stderr, "giving up the clock:", err)
			os.Exit(1)
		}
		if err := asOnTheAppliance(); err != nil {
			fmt.Fprintln(os.Stderr, "giving up rights:", err)
			os.Exit(1)
		}
		if err := startSleeper(); err != nil {
			fmt.Fprintln(os.Stderr, "starting a sleeper:", err)
			os.Exit(1)
		}
		main()
	}
	if strings.Contains(strings.Join(os.Args, " "), "-test.fuzz=") {
		os.Exit(m.Run()) // workers talk through inherited files
	}
	if os.Getenv(envInside) != "" {
		if err := errors.Join(privateNames(), loopbackUp()); err != nil {
			fmt.Fprintln(os.Stderr, "preparing the namespaces:", err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	os.Exit(enclosed(m))
}

// startSleeper is what a half would do that was taken over and wants to stay.
func startSleeper() error {
	if os.Getenv(envSleeper) == "" || len(os.Args) != 2 || os.Args[1] != halfArgument {
		return nil
	}
	cmd := exec.Command("sleep", "600")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd.Start()
}

// leaveTheClock makes sure that no test sets the clock of the machine.
func leaveTheClock() error {
	const clock = uint64(1) << unix.CAP_SYS_TIME
	if err := confine(needed()&^clock | 1<<unix.CAP_SYS_NICE); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/thread-self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "CapEff:"); ok {
			if have, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64); err != nil || have&clock != 0 {
				return fmt.Errorf("capabilities %s, %v", value, err)
			}
			return nil
		}
	}
	return errors.New("there is no CapEff")
}

func enclosed(m *testing.M) int {
	if os.Geteuid() != 0 || os.Getenv("LWC_NETGUARD_PREPARE") != "" {
		inside, code, err := netguard.Reexec()
		switch {
		case errors.Is(err, netguard.ErrUnsupported) && os.Getenv("CI") == "" && os.Getenv("LWC_TEST_STRICT") == "":
			fmt.Println("NOT RUN: the tests of lwcd need root or user namespaces:", err)
			return 0
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			return 1
		case !inside:
			return code
		}
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), envInside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// privateNames hides the machine's named namespaces behind a folder of our own.
func privateNames() error {
	if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	dir := netguard.DefaultNamespaceDir
	if _, err := os.Stat(dir); err != nil {
		dir = filepath.Dir(dir)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755,size=1m"); err != nil {
		return fmt.Errorf("mounting %s: %w", dir, err)
	}
	return os.MkdirAll(netguard.DefaultNamespaceDir, 0o755)
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(lo)
}
