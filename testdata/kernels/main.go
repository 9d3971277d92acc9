// Kernels runs test binaries of this module under the kernels of Debian releases,
// in an emulated machine that has nothing else: the kernel, the tests, and the few
// programs that tests ask about the kernel's state.
//
//	go run ./testdata/kernels -release trixie ./netguard/...
//
// The kernel comes by package name from where this machine gets its own packages,
// is unpacked into the user's cache folder and never installed. Needs Debian's
// qemu-system-x86, xz-utils, iproute2 and nftables.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lacks are the features that the kernels of a release are known not to have, as
// tests name them (testdata/need, Kernel).
var lacks = map[string]string{"bookworm": "tcx,nft-persist"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "kernels:", err)
	os.Exit(1)
}

// options are the command line.
type options struct {
	release, run, bench string
	modules             string
	machine             machine
	packages            []string
}

func parse(args []string, stderr io.Writer) (options, error) {
	o := options{}
	fs := flag.NewFlagSet("kernels", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.release, "release", "bookworm", "Debian release whose kernel is used")
	fs.StringVar(&o.run, "run", "", "run only the tests that match this expression")
	fs.StringVar(&o.bench, "bench", "", "run the benchmarks that match this expression too")
	fs.StringVar(&o.modules, "modules", "", "load these kernel modules besides, separated by commas")
	fs.StringVar(&o.machine.accel, "accel", "tcg", "how QEMU runs the machine: tcg or kvm")
	fs.IntVar(&o.machine.memory, "memory", 1024, "memory of the machine in MiB")
	fs.DurationVar(&o.machine.timeout, "timeout", 30*time.Minute, "for all tests together")
	fs.BoolVar(&o.machine.verbose, "v", false, "show all that the tests say")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.packages = fs.Args()
	if len(o.packages) == 0 {
		o.packages = []string{"./netguard/..."}
	}
	return o, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return fmt.Errorf("looking for a cache folder: %w", err)
	}
	k, err := fetcher{release: o.release, dir: filepath.Join(cache, "lwc-kernels", o.release), out: stdout}.kernel(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lwc-kernels-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	initramfs := filepath.Join(dir, "initramfs")
	if err := o.image(ctx, k, initramfs); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "booting Linux %s of Debian %s\n", k.version, o.release)
	start := time.Now()
	o.machine.out = stdout
	if err := o.machine.run(ctx, k, initramfs); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Linux %s: all passed in %v\n", k.version, time.Since(start).Round(time.Second))
	return nil
}

func (o options) image(ctx context.Context, k kernel, initramfs string) error {
	f, err := os.Create(initramfs)
	if err != nil {
		return err
	}
	defer f.Close()
	b := &builder{dir: filepath.Dir(initramfs), into: newArchive(f), besides: strings.FieldsFunc(o.modules, isComma),
		args: []string{"-test.v", "-test.count=1", "-test.timeout=" + o.machine.timeout.String(), "-test.run=" + o.run, "-test.bench=" + o.bench},
		env: []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "LANG=C.UTF-8", "LWC_TEST_STRICT=1",
			"LWC_TEST_SLOW=" + slowness[o.machine.accel], "LWC_TEST_KERNEL_WITHOUT=" + lacks[o.release]},
	}
	if err := b.image(ctx, k, o.packages); err != nil {
		return err
	}
	return f.Close()
}

// slowness is how many times longer than on the metal a test may take.
var slowness = map[string]string{"tcg": "20", "kvm": "2"}

func isComma(r rune) bool { return r == ',' }
