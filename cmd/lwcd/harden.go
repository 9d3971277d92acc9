package main

import (
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"syscall"

	"golang.org/x/sys/unix"
)

// harden keeps what the process holds in memory from reaching a disk: no core
// dump, no debugger of the same user, and no swap where the system lets a process
// lock its memory. What cannot be had is told, and goes on.
func harden(log *slog.Logger) {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		log.Warn("making the process undumpable", "error", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		log.Warn("forbidding core dumps", "error", err)
	}
	if err := lockMemory(); err != nil {
		log.Info("memory is not locked: the machine must have no swap", "error", err)
	}
}

// hardenAgain repeats what a change of credentials undoes: the process is as
// dumpable then as fs.suid_dumpable says (kernel/cred.c, commit_creds).
func hardenAgain() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("making the process undumpable: %w", err)
	}
	return nil
}

// The nice values (setpriority(2)) of the two halves: putting a port right must
// not wait for a collection that keeps the processors busy.
const (
	supervisorNice = -10
	halfNice       = 0
)

// nice gives every thread of the process that nice value. A user who may not
// raise it goes on with what there is; the unit for systemd raises it.
func nice(value int) error {
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, uintptr(value))
	if errno != 0 {
		return os.NewSyscallError("setpriority", errno)
	}
	return nil
}

// firstToGo is the half's oom_score_adj (proc_pid_oom_score_adj(5)): when memory is
// short it ends, and not the supervisor, which keeps the ports. Raising it takes no
// privilege.
const firstToGo = "500"

func volunteer() error {
	return os.WriteFile("/proc/self/oom_score_adj", []byte(firstToGo), 0)
}

// lockMemory locks all pages, each when it is first used (MCL_ONFAULT): Go
// reserves far more address space than it uses. With a finite limit a later
// allocation would fail and end the process, so the limit has to go first.
func lockMemory() error {
	unlimited := &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, unlimited); err != nil {
		return fmt.Errorf("lifting the limit of locked memory: %w", err)
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		return fmt.Errorf("locking memory: %w", err)
	}
	return nil
}

const (
	// supervisorMemory is what the supervisor keeps its heap under.
	supervisorMemory = 32 << 20
	// halfMemory is what the collector half takes beside its devices, sessions and
	// documents: the session with the cloud, goroutines, what Go needs for itself. With
	// it a thousand devices stay within the budget and 32 MiB.
	halfMemory = 7 << 20
	// deviceMemory is what a device of the configuration takes: its address and keys,
	// its place in the plan, its records.
	deviceMemory = 1 << 10
	// sessionMemory is what a session takes: the buffers of SSH, and the reply that
	// is looked at before it is handed over.
	sessionMemory = 256 << 10
	// programMemory is what Go's limit does not count: the program itself.
	programMemory = 10 << 20
)

// memoryLimit is what the heap of the collector half may come to. Documents without
// receipt lie there once, packed, and are bounded by the budget.
func memoryLimit(budget int64, sessions, devices int) int64 {
	return halfMemory + int64(sessions)*sessionMemory + int64(devices)*deviceMemory + budget
}

// limitMemory sets Go's soft limit, unless GOMEMLIMIT does.
func limitMemory(limit int64) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}
