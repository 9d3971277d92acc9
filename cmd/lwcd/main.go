// Lwcd is the daemon of the collector appliance: it keeps the two ports apart,
// enrols with its cloud, takes its configuration from there, collects from the
// customer's Junos devices and publishes what they answered.
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
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
