package site

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Process is one of the two processes of lwcd, as the kernel tells of it in
// /proc/PID/task/*/status, proc(5).
type Process struct {
	Name         string // supervisor or collector
	PID, Threads int
	UIDs         []int // of its threads, each once
	// Capabilities are those that any thread has: effective, permitted,
	// inheritable or ambient. Bounding are those that it could be given.
	Capabilities, Bounding Capabilities
	// NoNewPrivileges: no thread gets more by starting a program.
	NoNewPrivileges bool
}

// Capabilities is a set of Linux capabilities, capabilities(7).
type Capabilities uint64

// capabilityNames are those of linux/capability.h, in the order of their bits.
var capabilityNames = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
	SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
	AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

// NetAdmin is the capability that is needed to change anything of a network.
const NetAdmin Capabilities = 1 << 12

// String lists the names: "NET_ADMIN SYS_ADMIN", "all", "all but SYS_TIME" or
// "none".
func (c Capabilities) String() string {
	var has, lacks []string
	for i, name := range capabilityNames {
		if c&(1<<i) != 0 {
			has = append(has, name)
		} else {
			lacks = append(lacks, name)
		}
	}
	switch {
	case len(has) == 0:
		return "none"
	case len(lacks) == 0:
		return "all"
	case len(lacks) < len(has):
		return "all but " + strings.Join(lacks, " ")
	}
	return strings.Join(has, " ")
}

// Halves reads what the two processes of lwcd may do: the supervisor, which the
// site started, and the collector half, its one child.
func (s *Site) Halves() (supervisor, collector Process, err error) {
	if supervisor, err = readProcess("supervisor", s.lwcd.cmd.Process.Pid); err != nil {
		return supervisor, collector, err
	}
	pids, err := children(supervisor.PID)
	if err != nil {
		return supervisor, collector, err
	}
	if len(pids) != 1 {
		return supervisor, collector, fmt.Errorf("looking for the collector half: lwcd has %d children, not one", len(pids))
	}
	collector, err = readProcess("collector", pids[0])
	return supervisor, collector, err
}

// OwnUser tells whether the collector half has to be another user than the
// supervisor. In a user namespace there is only one.
func (s *Site) OwnUser() bool { return !ordinaryUser() }

// children lists the processes whose parent is pid.
func children(pid int) ([]int, error) {
	all, err := filepath.Glob("/proc/[0-9]*/status")
	if err != nil {
		return nil, err
	}
	var out []int
	for _, path := range all {
		fields, err := readStatus(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, errGone) {
			continue // it ended just now
		}
		if err != nil {
			return nil, err
		}
		if fields["PPid"] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(fields["Tgid"])
			if err != nil {
				return nil, fmt.Errorf("reading %s: %w", path, err)
			}
			out = append(out, child)
		}
	}
	return out, nil
}

// errGone: a process or thread ended while it was looked at.
var errGone = errors.New("it has ended")

// readStatus reads a status file, proc_pid_status(5).
func readStatus(path string) (map[string]string, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, syscall.ESRCH) { // it ended between opening and reading
		err = errGone
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	fields := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	if fields["Tgid"] == "" {
		return nil, fmt.Errorf("reading %s: %w", path, errGone)
	}
	return fields, nil
}

// readProcess looks at every thread: credentials are a thread's in Linux.
func readProcess(name string, pid int) (Process, error) {
	p := Process{Name: name, PID: pid, NoNewPrivileges: true}
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil {
		return p, err
	}
	for _, path := range threads {
		fields, err := readStatus(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, errGone) {
			continue
		}
		if err == nil {
			err = p.add(fields)
		}
		if err != nil {
			return p, fmt.Errorf("reading %s: %w", path, err)
		}
	}
	if p.Threads == 0 {
		return p, fmt.Errorf("looking at the %s half, process %d: it has ended", name, pid)
	}
	return p, nil
}

// add takes in one thread.
func (p *Process) add(status map[string]string) error {
	real, _, _ := strings.Cut(status["Uid"], "\t")
	uid, err := strconv.Atoi(real)
	if err != nil {
		return err
	}
	known := false
	for _, u := range p.UIDs {
		known = known || u == uid
	}
	if !known {
		p.UIDs = append(p.UIDs, uid)
	}
	for field, to := range map[string]*Capabilities{"CapEff": &p.Capabilities, "CapPrm": &p.Capabilities,
		"CapInh": &p.Capabilities, "CapAmb": &p.Capabilities, "CapBnd": &p.Bounding} {
		set, err := strconv.ParseUint(status[field], 16, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", field, err)
		}
		*to |= Capabilities(set)
	}
	p.NoNewPrivileges = p.NoNewPrivileges && status["NoNewPrivs"] == "1"
	p.Threads++
	return nil
}
