package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// build is one build of an image.
type build struct {
	options
	log   io.Writer
	work  string   // everything of this build
	tree  string   // in it: a copy of image/mkosi with what is generated
	epoch string   // SOURCE_DATE_EPOCH: the time that every file bears
	dirty bool     // what is built is in no commit
	lock  *os.File // held while anybody builds in this cache
	// unpacked is the cache of an archive's packages; empty: there is none.
	unpacked string
}

// say tells what the build is at.
func (b *build) say(format string, args ...any) {
	fmt.Fprintf(b.log, "image: "+format+"\n", args...)
}

// prepare takes the place to build in, and gets the tools.
func (b *build) prepare(ctx context.Context) error {
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return fmt.Errorf("making the cache: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(b.cache, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("locking the cache: %w", err)
	}
	b.lock = lock
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("locking the cache: %w", err)
	}
	b.work = filepath.Join(b.cache, "work")
	if b.scratch != "" {
		b.work = b.scratch
	}
	if err := errors.Join(b.time(ctx), b.source(ctx, ".")); err != nil {
		return err
	}
	b.tree = filepath.Join(b.work, "tree")
	if b.packages != "" {
		return b.unpack(ctx)
	}
	return b.tools(ctx)
}

// time settles the time that every file of the image bears, and below which the
// clock of a box never starts: the commit's, so that the same source has the same.
func (b *build) time(ctx context.Context) error {
	if b.epoch = os.Getenv("SOURCE_DATE_EPOCH"); b.epoch == "" {
		out, err := b.command(ctx, "git", "log", "-1", "--format=%ct").Output()
		if err != nil {
			return fmt.Errorf("asking git for the time of the commit (or set SOURCE_DATE_EPOCH): %w", err)
		}
		b.epoch = strings.TrimSpace(string(out))
	}
	if _, err := strconv.ParseInt(b.epoch, 10, 64); err != nil {
		return fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return nil
}

// source looks whether what is built is what the commit holds: an image that is handed
// out has to name where it comes from.
func (b *build) source(ctx context.Context, dir string) error {
	out, err := b.command(ctx, "git", "-C", dir, "status", "--porcelain").Output()
	if err != nil {
		return fmt.Errorf("asking git what was changed: %w", err)
	}
	if b.dirty = len(out) > 0; !b.dirty {
		return nil
	}
	if b.keys != "" {
		return fmt.Errorf("building an image to hand out: these files are not as in the commit:\n%s", out)
	}
	b.say("FILES ARE NOT AS IN THE COMMIT: nobody can build this image again")
	return nil
}

// release gives the place to the next build.
func (b *build) release() {
	if b.scratch != "" {
		os.RemoveAll(b.scratch)
	}
	if b.unpacked != "" {
		os.RemoveAll(b.unpacked)
	}
	b.lock.Close()
}

// make builds the image and what belongs to it.
func (b *build) make(ctx context.Context) error {
	if err := b.stage(ctx); err != nil {
		return err
	}
	if err := b.mkosi(ctx); err != nil {
		return err
	}
	if err := b.pinned(); err != nil {
		return err
	}
	if err := b.collect(ctx); err != nil || b.only {
		return err
	}
	return b.papers(ctx)
}

// mkosi runs the build proper.
func (b *build) mkosi(ctx context.Context) error {
	args := []string{"-m", "mkosi", "--directory", b.tree,
		"--image-version", b.version,
		"--source-date-epoch", b.epoch,
		"--tools-tree", filepath.Join(b.cache, "tools"),
		"--package-cache-dir", filepath.Join(b.cache, "packages"),
		"--cache-directory", filepath.Join(b.work, "cache"),
		"--output-directory", filepath.Join(b.work, "out"),
		"--workspace-directory", filepath.Join(b.work, "tmp"),
		"--incremental", yes(!b.clean)}
	if b.offline {
		args = append(args, "--cache-only", "always")
	}
	name, args := b.confined("python3", append(args, "-f", "build"))
	cmd := b.command(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(b.cache, "py"), "PYTHONDONTWRITEBYTECODE=1")
	return logged(cmd, filepath.Join(b.work, "mkosi.log"))
}

// confined runs a program without any network when the build is offline.
func (b *build) confined(name string, args []string) (string, []string) {
	if !b.offline {
		return name, args
	}
	return "unshare", append([]string{"-n", name}, args...)
}

// command is a program that ends with the build.
func (b *build) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	// The program gets the time to take down its mounts.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd
}

// logged runs a program whose words go to a file; the last of them become part of
// the error.
func logged(cmd *exec.Cmd, path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("opening the log: %w", err)
	}
	defer f.Close()
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s (its words are in %s): %w\n%s", filepath.Base(cmd.Path), path, err, tail(path, 15))
	}
	return nil
}

// tail returns the last lines of a file.
func tail(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
