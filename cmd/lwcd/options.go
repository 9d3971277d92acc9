package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"lwc/cmd/lwcd/report"
)

// The exit codes.
const (
	exitStopped = 0 // asked to stop, or nothing else to do
	exitFailed  = 1 // a failure while running; a restart may help
	exitUsage   = 2 // the command line, or for check the file; a restart does not help
)

// defaultConfig is where the appliance has its configuration file.
const defaultConfig = "/etc/lwcd/lwcd.toml"

const usage = `Lwcd collects from Junos devices and publishes to its cloud.

usage:
  lwcd [--config FILE]          run until SIGTERM or SIGINT
  lwcd check [--config FILE]    read the configuration, say what is wrong, change nothing
  lwcd check-config FILE        the same for the lwc.toml of an appliance
  lwcd provision                give an appliance its settings (lwc-provision.service)
  lwcd forget                   ERASE all that an appliance knows (lwc-forget.service)
  lwcd tidy                     remove what is not lwcd's from the state folder of an appliance (lwc-state.service)
  lwcd own DEVICE               tell whether a partition is of the disk that an appliance runs from
  lwcd gate                     judge a new release in its first start (lwc-gate.service)
  lwcd screen                   show how an appliance stands on its consoles (lwc-screen.service)
  lwcd clock                    set the clock of an appliance, once (lwc-clock.socket)
  lwcd half                     the collector half of an appliance (lwc-half.socket)
  lwcd packet                   make a packet socket for an appliance, once (lwc-packet.socket)
  lwcd --version
  lwcd --help

  --config FILE    configuration file (default ` + defaultConfig + `)
  --report FILE    where to tell other programs of this machine how things stand
                   (the appliance: ` + report.Path + `); without it, nowhere

exit codes:
  0  stopped as asked; check, check-config: the configuration is good
  1  failed while running; starting again may help
  2  the command line is wrong; check, check-config: the configuration is wrong

What keeps the two ports from being brought up, a configuration file that is
missing or wrong included, does not end lwcd: it says so, keeps both ports down,
and goes on once the cause is gone.

The log goes to standard error, one JSON object a line. It holds no secrets, no
facts and no device banners. Under systemd (Type=notify) lwcd is ready once the
two ports are enforced, and says in words what it is doing (systemctl status).
`

// version is the release, set by the linker (-X main.version=…).
var version string

// release is version, or what the build knows of its origin.
func release() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "dev"
	}
	return strings.Trim(info.Main.Version, "()")
}

// options is a parsed command line.
type options struct {
	config, report       string
	check, version, help bool
}

func parseOptions(args []string) (options, error) {
	var o options
	if len(args) > 0 && args[0] == "check" {
		o.check, args = true, args[1:]
	}
	set := flag.NewFlagSet("lwcd", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.StringVar(&o.config, "config", defaultConfig, "")
	set.StringVar(&o.report, "report", "", "")
	set.BoolVar(&o.version, "version", false, "")
	if err := set.Parse(args); err != nil {
		o.help = errors.Is(err, flag.ErrHelp)
		if o.help {
			return o, nil
		}
		return o, err
	}
	if set.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	return o, nil
}

// run is main with its surroundings as parameters. It returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		if sub := subcommand(args[0]); sub != nil {
			return sub(ctx, args[1:], stdout, stderr)
		}
	}
	o, err := parseOptions(args)
	switch {
	case err != nil:
		fmt.Fprintf(stderr, "lwcd: %v\nlwcd --help tells the usage.\n", err)
		return exitUsage
	case o.help:
		fmt.Fprint(stdout, usage)
		return exitStopped
	case o.version:
		fmt.Fprintln(stdout, "lwcd", release())
		return exitStopped
	case o.check:
		return check(o.config, stdout, stderr)
	}
	return supervise(ctx, o.config, o.report, stderr)
}

// subcommand is what runs in the place of the daemon under a name; nil: none.
func subcommand(name string) func(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	switch name {
	case "check-config":
		return checkConfig
	case "provision":
		return provisionBox
	case "forget":
		return forgetState
	case "tidy":
		return tidyState
	case "own":
		return ownDevice
	case "gate":
		return runGate
	case "screen":
		return showScreens
	case "clock":
		return serveClock
	case halfCommand:
		return runUnit
	case packetCommand:
		return servePacket
	}
	return nil
}

// check reads a configuration file and says what it amounts to, or what is wrong.
func check(path string, stdout, stderr io.Writer) int {
	conf, err := loadConfig(path)
	if err != nil {
		fmt.Fprintf(stderr, "lwcd: the configuration cannot be used:\n%v\n", err)
		return exitUsage
	}
	fmt.Fprint(stdout, conf.summary(path))
	return exitStopped
}
