// Lwc-bench measures what collecting costs: the collector's own path beside a
// raw SSH client and PyEZ, against a simulated fleet on loopback, in one run. And it
// measures what guarding the two ports costs, how fast the guard acts, and what
// delivery costs from memory to the cloud's receipt.
//
//	lwc-bench collect
//	lwc-bench netguard
//	lwc-bench uplink
//
// Every client is a process of its own on one core, the simulator has the other.
// The clients take turns, round by round, and the least of the rounds counts, so
// that what else the machine does falls on all of them alike. It ends with one
// line for each goal: "goal NAME VALUE LIMIT ok|short".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

var errUsage = errors.New("reading the command line")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "lwc-bench:", err)
	if errors.Is(err, errUsage) {
		os.Exit(2)
	}
	os.Exit(1)
}

const usage = `lwc-bench measures what collecting costs, on loopback, in one run.

  lwc-bench collect [--rounds 5] [--devices 128] [--only NAME,…] [--junosim FILE]

  lwc-bench netguard --help    tells of the other measurements: the guard of the ports,
  lwc-bench uplink --help      and the delivery to the cloud

Collect needs two cores, junosim beside it or given, and, for the parts that name them,
OpenSSH's sshd and PyEZ (Debian: openssh-server, python3-junos-eznc).

Parts: %s.

Flags of collect:
`

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	switch {
	case len(args) > 0 && args[0] == "collect":
		return runCollect(ctx, args[1:], stdout, stderr)
	case len(args) > 0 && args[0] == "netguard":
		return runNetguard(ctx, args[1:], stdout, stderr)
	case len(args) > 0 && args[0] == "uplink":
		return runUplink(ctx, args[1:], stdout, stderr)
	case len(args) == 1 && args[0] == "sink":
		return runSink(ctx, stdout)
	case len(args) == 1 && args[0] == "client":
		return runClient(ctx, stdin, stdout)
	case len(args) == 1 && args[0] == "guard":
		return runGuard(ctx, stdin, stdout)
	case len(args) == 1 && args[0] == "dialer":
		return runDialer(ctx, stdin, stdout)
	}
	printUsage(stdout)
	if len(args) == 0 || args[0] == "--help" || args[0] == "-h" || args[0] == "help" {
		return flag.ErrHelp
	}
	return fmt.Errorf("%w: unknown command %q; lwc-bench --help tells them", errUsage, args[0])
}
