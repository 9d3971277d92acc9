// Command lwc-demo runs a whole site on one machine: 24 simulated devices, a
// collector with its two ports in network namespaces, and the cloud end. It
// collects once, says what came of it, and leaves the portal open until it is
// interrupted.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"lwc/cmd/lwc-demo/site"
)

// version is set by the linker.
var version = "dev"

const usage = `lwc-demo runs a simulated site: devices, collector, cloud end, portal.

Usage: lwc-demo [flags]

It needs Linux with network namespaces; without root it uses a user namespace.
Nothing of the host's network changes. Programs are looked for beside lwc-demo.

In the end it shows how the two ports are kept apart, and attacks them.

Exit codes: 0 all expected documents are stored and no attack came through (with
--once), 1 not so or something failed, 2 wrong usage.

Flags:
`

// options are the flags.
type options struct {
	once bool
	addr string
	dir  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2)
	}
	code, err := run(ctx, o, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "lwc-demo:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func parse(args []string, stdout, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("lwc-demo", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.BoolVar(&o.once, "once", false, "end after the summary")
	fs.StringVar(&o.addr, "portal", "", "`ADDRESS` where the portal is to be reached (default 127.0.0.1:8443, with --once any free port)")
	fs.StringVar(&o.dir, "dir", "", "keep data, logs and files here (default: a temporary folder, removed at the end)")
	show := fs.Bool("version", false, "print the version")
	fs.Usage = func() { fmt.Fprint(fs.Output(), usage); fs.PrintDefaults() }
	if len(args) == 1 && (args[0] == "-h" || args[0] == "--help" || args[0] == "-help") {
		fs.SetOutput(stdout)
	}
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if *show {
		fmt.Fprintln(stdout, "lwc-demo", version)
		return o, flag.ErrHelp
	}
	if fs.NArg() > 0 {
		fmt.Fprintf(stderr, "lwc-demo: unexpected argument %q; see lwc-demo --help\n", fs.Arg(0))
		return o, errors.New("usage")
	}
	return o, nil
}

// run listens for the portal outside, and does everything else inside.
func run(ctx context.Context, o options, stdout io.Writer) (int, error) {
	if site.Inside() {
		return runInside(ctx, o, stdout)
	}
	if o.addr == "" && o.once {
		o.addr = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", cmp.Or(o.addr, "127.0.0.1:8443"))
	if err != nil {
		return 1, fmt.Errorf("listening for the portal: %w (choose another address: make demo PORTAL=127.0.0.1:0)", err)
	}
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return 1, fmt.Errorf("handing on the portal's socket: %w", err)
	}
	defer f.Close()
	if err := l.Close(); err != nil {
		return 1, err
	}
	return site.Reexec(f)
}

func runInside(ctx context.Context, o options, stdout io.Writer) (code int, err error) {
	if err := site.Enter(); err != nil {
		return 1, err
	}
	l, err := inherited()
	if err != nil {
		return 1, err
	}
	dir, cleanup, err := workDir(o.dir)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, cleanup()) }()
	d := demo{out: stdout, portal: l, once: o.once, cfg: site.Config{
		Bin: filepath.Dir(site.Executable()), Dir: dir, Portal: "https://" + l.Addr().String(), Devices: 24, Behind: 6, Faulty: true, Latency: "100ms"}}
	err = d.run(ctx)
	if ctx.Err() != nil && !d.summarized {
		// What was under way when it was interrupted is no news.
		return 1, errors.New("interrupted before the summary")
	}
	if err != nil {
		return 1, err
	}
	return 0, nil
}

// inherited returns the listener that the outer program opened.
func inherited() (net.Listener, error) {
	f := os.NewFile(3, "portal")
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("taking over the portal's socket: %w", err)
	}
	return l, f.Close()
}

func workDir(dir string) (string, func() error, error) {
	if dir != "" {
		abs, err := filepath.Abs(dir)
		return abs, func() error { return nil }, err
	}
	dir, err := os.MkdirTemp("", "lwc-demo-")
	return dir, func() error { return os.RemoveAll(dir) }, err
}
