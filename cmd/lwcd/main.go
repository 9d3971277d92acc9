// Lwcd is the daemon of the collector appliance: it keeps the two ports apart,
// enrols with its cloud, takes its configuration from there, collects from the
// customer's Junos devices and publishes what they answered.
//
// It is two processes. The supervisor, which systemd starts, reads the
// configuration file and holds the two ports with all privileges. The collector
// half is the same program in an empty network namespace and without any
// privilege: it dials by what the supervisor gave it, and does all the rest. The
// package halves is what they say to each other.
//
// It is wired here and nowhere else: netguard makes every socket, uplink talks
// to the cloud, collector does the work, transport/device and junos reach the
// devices. See docs/lwcd.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == halfArgument {
		os.Exit(runHalf(os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
