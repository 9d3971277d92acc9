// Lwc-cloud is the cloud end of the collectors, in one binary: broker,
// enrolment, data platform, API and portal. "lwc-cloud serve --data DIR" needs
// nothing else. The same binary is the command-line client of the API.
//
// It is wired here and nowhere else; see docs/cloud.md.
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

// version is set when a release is built.
var version = "dev"

func main() {
	// A reader that goes away is an error of the write: a token that nobody got is revoked.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(exitCode(err, os.Stderr))
}

// exitCode says what went wrong and returns the code to end with.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	if text := err.Error(); text != "" {
		fmt.Fprintln(stderr, "lwc-cloud:", text)
	}
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return exitFailed
}

// serverCmd is a command that works on a data folder.
type serverCmd struct {
	name, summary string
	run           func(ctx context.Context, args []string, stdout, stderr io.Writer) error
}

func serverCmds() []serverCmd {
	return []serverCmd{
		{"serve", "run the cloud end", serveCommand},
		{"admin-link", "print a one-time link that makes an admin, or resets a password", adminLinkCommand},
		{"api-token", "print a token for the client commands", apiTokenCommand},
		{"broker-cert", "make the certificates of a broker of your own", brokerCertCommand},
		{"release-keys", "list and change the keys that may sign releases of the appliance", releaseKeysCommand},
	}
}

// run carries out one command line.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if len(args) == 0 {
		help(stderr)
		return &exitError{code: exitUsage}
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		help(stdout)
		return nil
	case "version", "-version", "--version":
		_, err := fmt.Fprintln(stdout, "lwc-cloud", version)
		return err
	}
	for _, c := range serverCmds() {
		if c.name == args[0] {
			return c.run(ctx, args[1:], stdout, stderr)
		}
	}
	if handled, err := clientCommand(ctx, args, stdin, stdout, stderr); handled {
		return err
	}
	return usageErrorf("there is no command %q: see lwc-cloud --help", args[0])
}

func help(w io.Writer) {
	fmt.Fprint(w, "lwc-cloud is the cloud end of the collectors.\n\nOn the server, with its data folder:\n")
	for _, c := range serverCmds() {
		fmt.Fprintf(w, "  %-12s  %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nFrom anywhere, with an API token in LWC_API_TOKEN:\n")
	clientHelp(w)
	fmt.Fprint(w, "\nlwc-cloud COMMAND --help says more.\n")
}

// parse reads the flags of a server command, which has no other arguments. It
// returns flag.ErrHelp after it printed help.
func parse(fs *flag.FlagSet, args []string, summary string, stdout io.Writer) error {
	fs.SetOutput(io.Discard)
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		clientCmd{name: fs.Name(), summary: summary}.help(fs, stdout)
		return err
	case err != nil:
		return usageErrorf("%s: %v; see lwc-cloud %s --help", fs.Name(), err, fs.Name())
	case fs.NArg() > 0:
		return usageErrorf("%s: unexpected argument %q; see lwc-cloud %s --help", fs.Name(), fs.Arg(0), fs.Name())
	}
	return nil
}

// helped turns the end after help into success.
func helped(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}
