package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"lwc/cmd/lwcd/report"
	"lwc/image/provision"
	"lwc/image/sitefile"
	"lwc/image/trial"
)

// The places of an appliance that provisioning works with.
const (
	settingsFolder = "/state/settings"
	runFolder      = "/run/lwc"
	volumeFolder   = "/run/lwc-volume"
	systemctl      = "/usr/bin/systemctl"
)

// provisionBox is the subcommand that gives an appliance its settings, until it is
// told to stop. It runs beside lwcd, as lwc-provision.service.
func provisionBox(ctx context.Context, args []string, _, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintln(stderr, "usage: lwcd provision\nGives an appliance its settings; it takes no arguments.")
		return exitUsage
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	for _, folder := range []string{runFolder, volumeFolder} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			log.Error("preparing for provisioning", "error", err)
			return exitFailed
		}
	}
	p := &provision.Provisioner{
		Volumes:  provision.Kernel{Sys: "/sys", Dev: "/dev", Folder: volumeFolder},
		Settings: settingsFolder, RAM: runFolder, State: sitefile.StateDir,
		Check: daemonProblems, Restart: restartDaemon, Works: portsOpen, Log: log,
	}
	if err := p.Run(ctx); err != nil {
		log.Error("provisioning", "error", err)
		return exitFailed
	}
	return exitStopped
}

// portsOpen tells what lwcd said last: that the two ports are open with its settings.
func portsOpen() bool {
	r, err := report.Read(report.Path)
	return err == nil && r.Ports == report.Open
}

// restartDaemon has systemd start lwcd anew, where it runs: it reads its
// configuration at the start. It waits for the order to be taken, not for the end.
func restartDaemon(ctx context.Context) error {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, systemctl, "--no-block", "try-restart", "lwcd.service").CombinedOutput()
	if err != nil {
		return fmt.Errorf("starting lwcd anew: %w: %.200s", err, out)
	}
	return nil
}

// resetVariable asks for a factory reset at the next start (systemd-repart(8),
// --factory-reset=).
const resetVariable = "FactoryReset-8cf2644b-4b0b-428f-9387-6d876050dc67"

// forgetState is the subcommand of a factory reset: it overwrites the state partition
// before anything is mounted (lwc-forget.service), and takes the wish for it back. The
// mount of /state makes a file system anew where it finds zeros.
func forgetState(ctx context.Context, args []string, _, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintln(stderr, "usage: lwcd forget\nErases all that an appliance knows; it takes no arguments.")
		return exitUsage
	}
	_, err := os.Stat(filepath.Join(trial.Variables, resetVariable))
	if err != nil && trial.Counted(trial.Variables) {
		// The worker sets the variable only for a job, so this came from the boot menu.
		fmt.Fprintln(stderr, "lwcd: factory reset: refused: this release is on trial, and may have been started so by the boot loader itself: wait until the box is READY, then choose it again")
		return exitFailed
	}
	err = (provision.Kernel{Sys: "/sys", Dev: "/dev"}).Erase(ctx, provision.StatePartition)
	switch {
	case errors.Is(err, provision.ErrNothing):
		fmt.Fprintln(stderr, "lwcd: factory reset: there is nothing to erase")
	case err != nil:
		fmt.Fprintf(stderr, "lwcd: factory reset: %v\n", err)
		return exitFailed
	}
	// Only now, when all is gone. systemd-repart takes the wish back in an initrd alone;
	// one that stays is carried out at each start.
	if err = dropVariable(filepath.Join(trial.Variables, resetVariable)); err != nil {
		fmt.Fprintf(stderr, "lwcd: factory reset: the next start does it again: %v\n", err)
	}
	return exitStopped
}

// immutable is FS_IMMUTABLE_FL of the kernel's fs.h.
const immutable = 0x10

// dropVariable removes a variable of the firmware, where it is. The kernel keeps those
// that it does not know from being removed by mistake (efivarfs.rst).
func dropVariable(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS); err == nil && flags&immutable != 0 {
		if err := unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags&^immutable); err != nil {
			return os.NewSyscallError("setting the flags of "+path, err)
		}
	}
	return os.Remove(path)
}
