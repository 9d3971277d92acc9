// Lwc-update is the updater of the appliance, /usr/lib/lwc/update.
//
// It is one program in four roles. Without an argument it is what lwcd starts for an
// update job: it passes the order on to a socket of systemd's, and the answers back,
// since lwcd and all that it starts may not touch a disk. "work" is the other end:
// systemd starts it for each connection, as root, without a network and with the
// disks (lwc-update@.service). It reads one order, verifies what was downloaded,
// installs it into the free slot, and says how it went in lines of JSON. "restart"
// waits for the time of an installed release and starts the machine anew; "blessed"
// runs once a new release has been found good.
//
// The worker believes nothing of what it is given: not the order, not the files, which
// the collector half wrote. A release has to be signed by a key of the running image,
// and be newer than any that was ever good here. Nothing is written to the disk before
// all of it has been verified; docs/lwcd.md, "Updates of the appliance", has the steps.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

const usage = `usage: update            hand the order on standard input to the worker (for lwcd)
       update work       carry out the order on standard input
       update restart    restart the machine when an installed release is due
       update blessed    note that the running release is good

This is the updater of the appliance: lwcd and systemd start it. docs/lwcd.md,
"Updates of the appliance", has its steps.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "update:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	role := ""
	if len(args) == 1 {
		role = args[0]
	}
	switch {
	case len(args) == 0:
		return relay(ctx, socket, in, out)
	case slices.Contains([]string{"help", "-h", "-help", "--help"}, role):
		_, err := fmt.Fprint(out, usage)
		return err
	case role == "work", role == "restart", role == "blessed":
	default:
		fmt.Fprint(out, usage)
		return fmt.Errorf("unknown arguments %q", args)
	}
	b, err := appliance()
	if err != nil {
		return err
	}
	switch role {
	case "work":
		return b.serve(ctx, in, out)
	case "restart":
		return b.restart(ctx)
	}
	return b.blessed()
}
