package site

import (
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
)

func TestCapabilities(t *testing.T) {
	for set, want := range map[Capabilities]string{0: "none", NetAdmin: "NET_ADMIN", 1<<12 | 1<<21: "NET_ADMIN SYS_ADMIN",
		1<<41 - 1: "all", 1<<41 - 1 - 1<<25: "all but SYS_TIME"} {
		if got := set.String(); got != want {
			t.Errorf("%x: %q, want %q", uint64(set), got, want)
		}
	}
}

// What the kernel tells of a process is read of all its threads, and children
// are found.
func TestReadProcess(t *testing.T) {
	self, err := readProcess("test", os.Getpid())
	must(t, err)
	if self.Capabilities&NetAdmin == 0 || self.Threads < 2 || len(self.UIDs) != 1 || self.UIDs[0] != os.Geteuid() || self.NoNewPrivileges {
		t.Errorf("%+v", self)
	}
	c := exec.Command("sleep", "60")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, c.Start())
	pids, err := children(os.Getpid())
	must(t, err)
	if len(pids) != 1 || pids[0] != c.Process.Pid {
		t.Errorf("children %v, want %d", pids, c.Process.Pid)
	}
	must(t, c.Process.Kill())
	_ = c.Wait() // it was killed
	if _, err := readProcess("test", c.Process.Pid); err == nil {
		t.Error("a process that has ended is read")
	}
	var p Process
	if p.add(map[string]string{"Uid": "0", "CapEff": strconv.Itoa(1)}) == nil {
		t.Error("a status without the other sets is taken")
	}
}
