package boottest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"lwc/testdata/need"
)

// startTPM runs a TPM 2.0 whose state is in a folder. endTPM ends it.
func (vm *VM) startTPM(ctx context.Context, state, socket string) error {
	if err := os.MkdirAll(state, 0o700); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, need.Program(vm.t, "swtpm"), "socket", "--tpm2", "--tpmstate", "dir="+state,
		"--ctrl", "type=unixio,path="+socket, "--terminate")
	cmd.Stderr = vm.errors
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // as for the machine
		err := cmd.Start()
		started <- err
		if err == nil {
			defer close(ended)
			_ = cmd.Wait() // it is killed, or ends with the machine
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("starting the TPM: %w", err)
	}
	vm.endTPM = func() {
		_ = cmd.Process.Kill() // it writes its state before it answers
		<-ended
	}
	return awaitFile(ctx, socket, ended)
}

// awaitFile waits until a program has made its socket.
func awaitFile(ctx context.Context, path string, ended <-chan struct{}) error {
	for {
		if _, err := os.Stat(path); err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ended:
			return fmt.Errorf("waiting for %s: the program ended", path)
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", path, ctx.Err())
		}
	}
}
