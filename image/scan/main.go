// Scan judges a finished image by the list of image/contents: what can be executed
// in the root, in the initrd and in the boot partition, who could log in, and which
// bits change who runs a program.
//
//	go run ./image/scan dist/lwc_1.2.3.img
//
// It believes nothing of the build: it takes the root's file system and the kernel
// image out of the disk image, and the initrd out of that. A file is judged by its
// first bytes, whatever its name or mode. Exit code 1 and a line for each finding
// when there is one.
//
// Needs Debian's erofs-utils and mtools.
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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "scan:", err)
	os.Exit(1)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("scan", flag.ContinueOnError)
	fs.SetOutput(stderr)
	all := fs.Bool("all", false, "list all that can be executed, not the findings alone")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() != 1 {
		return errors.New("give the raw image: scan dist/lwc_1.2.3.img")
	}
	dir, err := os.MkdirTemp("", "lwc-scan-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir)
	reports, err := scan(ctx, fs.Arg(0), dir)
	if err != nil {
		return err
	}
	bad := 0
	for _, r := range reports {
		bad += r.print(stdout, *all)
	}
	if bad > 0 {
		return fmt.Errorf("%d findings", bad)
	}
	return nil
}
