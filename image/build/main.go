// Build makes the appliance image: what a field engineer flashes, and what is
// handed out with it.
//
//	go run ./image/build -version 1.2.3
//
// The folder dist then holds the image in the forms that people install from, the
// parts of which an update is made, a list of what is inside (SBOM), checksums and
// the statement of how it was made. docs/image.md says how to build one bit for bit.
//
// Needs root, and Debian's mmdebstrap, python3, git and apt-get: everything else
// comes by package name from where this machine gets its own packages, into the
// user's cache folder, and is never installed.
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
	"regexp"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "build:", err)
	os.Exit(1)
}

// options are the command line.
type options struct {
	version string
	dist    string // where the results go
	cache   string // tools, packages, what the last build left for the next
	keys    string // PEM file of the keys that releases are signed with
	lwcd    string // program to use as lwcd instead of this tree's
	scratch string // place of the build itself; empty is in the cache
	// packages is an archive of a release: the build is given what that one was
	packages string
	archive  bool // no build: keep what the one in dist was given
	offline  bool // no network at all: packages from the cache only
	clean    bool // begin from the packages, not from what the last build left
	only     bool // the image alone, not the forms and papers of a release
}

func parse(args []string, stderr io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("build", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.version, "version", "0.1.0", "version of the image, MAJOR.MINOR.PATCH")
	fs.StringVar(&o.dist, "dist", "dist", "folder for the results")
	fs.StringVar(&o.cache, "cache", "", "folder for tools and packages (default: lwc-image in the user's cache)")
	fs.StringVar(&o.keys, "release-keys", "", "PEM file with the public keys that releases are signed with (default: throw-away keys)")
	fs.StringVar(&o.lwcd, "lwcd", "", "program to use as lwcd instead of this tree's: a test wants one that is broken")
	fs.StringVar(&o.scratch, "scratch", "", "folder to build in, removed afterwards (default: one in the cache, kept for the next build)")
	fs.StringVar(&o.packages, "packages", "", "archive of a release to take the packages and tools from; implies -offline and -clean")
	fs.BoolVar(&o.archive, "archive", false, "build nothing: write the archive of the release in dist, which -packages takes")
	fs.BoolVar(&o.offline, "offline", false, "use no network: what is in the cache has to suffice")
	fs.BoolVar(&o.clean, "clean", false, "use nothing that an earlier build left but downloaded packages")
	fs.BoolVar(&o.only, "image-only", false, "stop after the raw image and the parts of an update")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	return o, o.complete()
}

// versionForm is what file names, partition labels and comparisons are made for:
// a GPT label has 36 characters (UEFI 2.10, table 5.6).
var versionForm = regexp.MustCompile(`^(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})$`)

// complete checks the options and fills in what depends on the machine.
func (o *options) complete() error {
	if !versionForm.MatchString(o.version) {
		return fmt.Errorf("version %q: write it as MAJOR.MINOR.PATCH, like 1.2.3", o.version)
	}
	if o.packages != "" {
		o.offline, o.clean = true, true
	}
	if o.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("looking for the cache folder: %w", err)
		}
		o.cache = filepath.Join(dir, "lwc-image")
	}
	for _, p := range []*string{&o.dist, &o.cache, &o.keys, &o.lwcd, &o.scratch, &o.packages} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return fmt.Errorf("making %s absolute: %w", *p, err)
		}
		*p = abs
	}
	return nil
}

func run(ctx context.Context, args []string, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("building an image needs root: files in it belong to root")
	}
	b := build{options: o, log: stderr}
	if err := b.prepare(ctx); err != nil {
		return err
	}
	defer b.release()
	if b.archive {
		return b.keep(ctx)
	}
	return b.make(ctx)
}
