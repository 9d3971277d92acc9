package main

import (
	"context"
	"fmt"
	"io"

	"lwc/image/provision"
)

// ownDevice is the subcommand that udev asks about a partition that calls itself the
// box's state (72-lwc-state.rules): exit code 0 says that it is of the disk that the
// box runs from. Any other disk may bear the same name.
func ownDevice(_ context.Context, args []string, _, stderr io.Writer) int {
	if len(args) != 1 {
		fmt.Fprintln(stderr, "usage: lwcd own DEVICE\nTells by its exit code whether a disk or partition, as sda7, is of the disk that an appliance runs from.")
		return exitUsage
	}
	if !(provision.Kernel{Sys: "/sys", Dev: "/dev"}).Owns(args[0]) {
		return exitFailed
	}
	return exitStopped
}
