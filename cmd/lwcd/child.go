package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/halves"
	"lwc/netguard"
)

const (
	// halfArgument is the hidden first argument of the collector half. It is of no
	// use by hand: the half needs the connection that it inherits.
	halfArgument = "-collector-half"
	// halfConn is the descriptor of that connection: the first after the standard ones.
	halfConn = 3
)

// child is a running collector half.
type child struct {
	half   *halves.Collector
	kill   func()        // ends it by force; it may have ended
	leave  func()        // what is still there is somebody else's to end
	ended  chan struct{} // closed when the process has ended, and all that served it
	err    error         // how it ended, nil with exit code 0; read after ended
	served sync.WaitGroup
}

// startChild starts the program anew as the collector half, in a network
// namespace of its own that holds nothing: what the half dials plainly leaves by
// no card of the machine, whether it is one of ours or not. It is the first
// process of a process namespace too: when it ends, however that happens, the
// kernel ends whatever it has started (pid_namespaces(7)), so that nothing is left
// that holds its sockets. /proc stays the one outside.
func startChild(mode netguard.Mode, o halves.Offer, stderr io.Writer) (*child, error) {
	ours, theirs, err := connected()
	if err != nil {
		return nil, fmt.Errorf("connecting the two halves: %w", err)
	}
	defer theirs.Close()
	cmd := exec.Command("/proc/self/exe", halfArgument)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(slices.DeleteFunc(os.Environ(), notForHalf), "GODEBUG="+overwriting(os.Getenv("GODEBUG")))
	cmd.Stderr, cmd.ExtraFiles = stderr, []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if mode != netguard.Unprotected {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET | syscall.CLONE_NEWPID
	}
	c := &child{half: halves.Serve(ours, o), ended: make(chan struct{}), leave: func() {}}
	started := make(chan error)
	go c.live(cmd, started)
	if err := <-started; err != nil {
		ours.Close()
		return nil, fmt.Errorf("starting the collector half: %w", err)
	}
	return c, nil
}

// live starts the process and waits for it on one thread: the signal that ends it
// with us comes when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG).
func (c *child) live(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	c.kill = func() { _ = cmd.Process.Kill() } // one that has just ended needs no signal
	ctx, cancel := context.WithCancel(context.Background())
	var broke error
	c.served.Go(func() {
		if broke = c.half.Run(ctx); errors.Is(broke, halves.ErrProtocol) {
			c.kill()
		}
	})
	started <- nil
	err := cmd.Wait()
	cancel()
	c.served.Wait()
	if errors.Is(broke, halves.ErrProtocol) {
		err = broke
	}
	c.err = err
	close(c.ended)
}

// connected makes two ends of a connection: one for us, one to be inherited.
func connected() (ours net.Conn, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	near, far := os.NewFile(uintptr(pair[0]), "collector half"), os.NewFile(uintptr(pair[1]), "supervisor")
	defer near.Close() // FileConn duplicates it
	if ours, err = net.FileConn(near); err != nil {
		return nil, nil, errors.Join(err, far.Close())
	}
	return ours, far, nil
}

// notForHalf tells what of the environment does not concern the half: systemd's
// socket is the supervisor's, and proxies are configured by file alone.
func notForHalf(entry string) bool {
	name, _, _ := strings.Cut(entry, "=")
	switch strings.ToLower(name) {
	case "http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy",
		"godebug", "notify_socket", "watchdog_usec", "watchdog_pid", "credentials_directory":
		return true
	}
	return false
}

// overwriting adds overwriteFreed to the settings that there are.
func overwriting(godebug string) string {
	if godebug == "" {
		return overwriteFreed
	}
	return godebug + "," + overwriteFreed
}

// stop asks the half to end, waits at most limit, and then ends it by force and waits
// for that: the next half must not begin before. Once leaving is closed we end too, and
// do not wait.
func (c *child) stop(limit time.Duration, leaving <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	asked := c.half.Stop(ctx)
	if asked != nil && !errors.Is(asked, halves.ErrGone) {
		c.kill()
	}
	select {
	case <-c.ended:
		if c.err != nil {
			return fmt.Errorf("stopping the collector half: %w", c.err)
		}
		return nil
	case <-ctx.Done():
	}
	c.kill()
	select {
	case <-c.ended:
	case <-leaving:
		c.leave()
		<-c.ended
	}
	return errors.Join(fmt.Errorf("stopping the collector half took longer than %v", limit), c.err)
}

// updaterGrace is how long an updater may take to end once it was asked to.
const updaterGrace = 5 * time.Second

// maxComplaint bounds what is kept of an updater's standard error.
const maxComplaint = 2 << 10

// runProgram runs a program without arguments and with an empty environment, gives
// it input, and has its output read. It ends with ctx, or when read finds fault
// with it: SIGTERM first, to its whole process group, and SIGKILL after a while.
// The complaint is the end of what it wrote to its standard error.
func runProgram(ctx context.Context, path string, input []byte, read func(io.Reader) error) (complaint string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// The death signal comes when the thread that started it ends (prctl(2)).
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, path)
	cmd.Env, cmd.Dir, cmd.Stdin = []string{}, "/", bytes.NewReader(input)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
	cmd.WaitDelay = updaterGrace
	last := &tail{most: maxComplaint}
	cmd.Stderr = last
	out, in := io.Pipe()
	cmd.Stdout = in
	if err := cmd.Start(); err != nil {
		return "", err
	}
	// It is not as urgent as the ports. One that has just ended needs no priority.
	_ = unix.Setpriority(unix.PRIO_PGRP, cmd.Process.Pid, halfNice)
	var reading sync.WaitGroup
	reading.Go(func() {
		if err := read(out); err != nil {
			cancel(err)
		}
		out.CloseWithError(io.ErrClosedPipe) // what it goes on to say is not waited for
	})
	err = cmd.Wait()
	in.Close()
	reading.Wait()
	if ctx.Err() != nil {
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL) // what it started and left; ESRCH: nothing
		err = context.Cause(ctx)
	}
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well, and left something behind: a reboot that is to come
	}
	return last.String(), err
}

// tail keeps the end of what is written to it.
type tail struct {
	most int
	kept []byte
}

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - t.most; over > 0 {
		t.kept = slices.Delete(t.kept, 0, over)
	}
	return len(p), nil
}

// String returns it.
func (t *tail) String() string { return string(t.kept) }
