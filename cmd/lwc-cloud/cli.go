package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"lwc/cloud/client"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// Exit codes of the client commands.
const (
	exitFailed  = 1 // it could not be done
	exitUsage   = 2 // the command line is wrong
	exitDevices = 3 // collect --wait, probe --wait: it came to its end, and devices failed
	exitLedger  = 5 // ledger verify: something is wrong
	exitExcess  = 4 // probe --wait: every device can be collected, and an account can do too much
)

// exitError ends the process with a code of its own. An empty text means that
// all was said already.
type exitError struct {
	code int
	text string
}

// Error implements error.
func (e *exitError) Error() string { return e.text }

// ExitCode is the code for the process to end with.
func (e *exitError) ExitCode() int { return e.code }

func usageErrorf(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Sprintf(format, args...)}
}

// clientCmd is one command that talks to a running cloud.
type clientCmd struct {
	name    string // may be two words
	args    string // positional arguments, as in the usage line
	summary string
	details string
	many    bool // the last argument may be repeated, or left out
	offline bool // it needs no cloud and no token
	flags   func(*flag.FlagSet) func(context.Context, *call) error
}

// call is one use of a client command.
type call struct {
	stdout, stderr io.Writer
	args           []string
	*client.Client
}

// table returns a writer that aligns tab-separated cells. Flush ends it.
func (c *call) table() *tabwriter.Writer { return tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0) }

// clientCmds are the client commands, in the order of help.
func clientCmds() []clientCmd {
	return append([]clientCmd{
		enrolTokenCmd(), applyCmd(), collectCmd(), probeCmd(), collectorsCmd(), revokeCmd(), devicesCmd(),
		factsListCmd(), factsGetCmd(), runsCmd(), runShowCmd(), eventsCmd(), maskingRotateCmd(),
		heldListCmd(), heldDecideCmd(true), heldDecideCmd(false), ledgerShowCmd(), ledgerVerifyCmd(), ledgerExportCmd(),
		healthCmd(), catalogueCmd(), loginClassCmd(), imageCheckCmd(), imagePrepareCmd(), imageVolumeCmd(),
	}, slices.Concat(machineCmds(), jobCmds(), releaseCmds(), []clientCmd{updatesCmd(), updatePolicyCmd()})...)
}

// clientHelp lists the client commands.
func clientHelp(w io.Writer) { listCommands(w, func(clientCmd) bool { return true }) }

func listCommands(w io.Writer, which func(clientCmd) bool) {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, c := range clientCmds() {
		if which(c) {
			fmt.Fprintf(t, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.summary)
		}
	}
	_ = t.Flush() // help that nobody reads is no failure
}

// clientCommand runs a client command, if args name one. An error with a method
// ExitCode() int asks for that exit code.
func clientCommand(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) (handled bool, err error) {
	if len(args) == 0 {
		return false, nil
	}
	words := func(c clientCmd) []string { return strings.Fields(c.name) }
	for _, c := range clientCmds() {
		w := words(c)
		if len(args) >= len(w) && slices.Equal(args[:len(w)], w) {
			return true, c.run(ctx, args[len(w):], stdout, stderr)
		}
	}
	rest := second(args[0])
	switch {
	case len(rest) == 0:
		return false, nil
	case len(args) > 1 && slices.Contains([]string{"help", "-h", "-help", "--help"}, args[1]):
		_, err := fmt.Fprintf(stdout, "usage: lwc-cloud %s COMMAND\n\n", args[0])
		listCommands(stdout, func(c clientCmd) bool { return words(c)[0] == args[0] })
		return true, err
	}
	return true, usageErrorf("%s needs one of: %s", args[0], strings.Join(rest, ", ")) // "facts" alone, or "facts lst"
}

// second lists what may follow the first word of a command.
func second(first string) (out []string) {
	for _, c := range clientCmds() {
		if rest, ok := strings.CutPrefix(c.name, first+" "); ok {
			out = append(out, rest)
		}
	}
	return out
}

func (c clientCmd) run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet(c.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	tokenFile := new(string)
	if !c.offline {
		fs.StringVar(tokenFile, "api-token-file", "", "`FILE` with the API token (default: the environment variable LWC_API_TOKEN)")
	}
	do := c.flags(fs)
	rest, err := parseAnywhere(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		c.help(fs, stdout)
		return nil
	case err != nil:
		return usageErrorf("%s: %v; see lwc-cloud %s --help", c.name, err, c.name)
	case slices.Contains(rest, ""): // most often a variable of a script that is not set
		return usageErrorf("%s: an argument is empty", c.name)
	case emptyFlag(fs) != "":
		return usageErrorf("%s: --%s is empty: give it a value, or leave it out", c.name, emptyFlag(fs))
	case !c.many && len(rest) != len(strings.Fields(c.args)):
		return usageErrorf("usage: %s; see --help", c.usage())
	case c.offline:
		return do(ctx, &call{stdout: stdout, stderr: stderr, args: rest})
	}
	conn, err := connect(*tokenFile)
	if err != nil {
		return err
	}
	defer conn.Close()
	return do(ctx, &call{stdout: stdout, stderr: stderr, args: rest, Client: conn})
}

// emptyFlag names a flag that was given without a value: what it would narrow down would
// be done to all. Empty: none.
func emptyFlag(fs *flag.FlagSet) (name string) {
	fs.Visit(func(f *flag.Flag) {
		// Those of flag.Func keep no text; they look at it themselves.
		if _, keeps := f.Value.(flag.Getter); keeps && f.Value.String() == "" {
			name = f.Name
		}
	})
	return name
}

// parseAnywhere parses flags that stand before, between or after arguments.
func parseAnywhere(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		args = fs.Args()
		if len(args) == 0 {
			return rest, nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

func (c clientCmd) usage() string {
	return strings.TrimSpace("lwc-cloud " + c.name + " [flags] " + c.args)
}

func (c clientCmd) help(fs *flag.FlagSet, w io.Writer) {
	fmt.Fprintf(w, "usage: %s\n\n%s.\n", c.usage(), c.summary)
	if c.details != "" {
		fmt.Fprintf(w, "%s\n", c.details)
	}
	fmt.Fprintln(w, "\nFlags:")
	fs.VisitAll(func(f *flag.Flag) {
		value, text := flag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" {
			text += " (default " + f.DefValue + ")"
		}
		dashes := "--"
		if len(f.Name) == 1 {
			dashes = "-"
		}
		fmt.Fprintf(w, "  %s%s\n        %s\n", dashes, strings.TrimSpace(f.Name+" "+value), text)
	})
}

// connect makes a client from the token that the user gave.
func connect(file string) (*client.Client, error) {
	text := secret.FromString(os.Getenv("LWC_API_TOKEN"))
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the API token: %w", err)
		}
		text = secret.New(b)
	}
	if text.Empty() {
		return nil, usageErrorf("no API token: set LWC_API_TOKEN, or give --api-token-file (make one on the server: lwc-cloud api-token --data DIR)")
	}
	if bytes.HasPrefix(bytes.TrimSpace(text.Reveal()), []byte(wire.EnrolToken)) {
		return nil, errors.New("this is an enrolment token, for a collector; make an API token with lwc-cloud api-token")
	}
	token, err := wire.ParseToken(wire.APIToken, text)
	if err != nil {
		return nil, err
	}
	return client.New(token)
}

// several is a flag that may be given more than once.
type several []string

// String implements flag.Value.
func (s *several) String() string { return strings.Join(*s, ",") }

// Set implements flag.Value.
func (s *several) Set(v string) error {
	if v == "" {
		return errors.New("it is empty")
	}
	*s = append(*s, v)
	return nil
}
