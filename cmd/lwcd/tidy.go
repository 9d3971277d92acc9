package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"lwc/image/sitefile"
)

// tidyState is the subcommand that clears an appliance's state folder before lwcd
// starts (lwc-state.service). The folder is on the partition of the settings and of
// the updater's notes, and the collector half may write there: whoever took the half
// over could leave so many files that nobody else can make one.
func tidyState(_ context.Context, args []string, _, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintln(stderr, "usage: lwcd tidy\nRemoves what lwcd did not make from the state folder of an appliance; it takes no arguments.")
		return exitUsage
	}
	if err := (folder{dir: sitefile.StateDir}).tidy(); err != nil {
		fmt.Fprintf(stderr, "lwcd: %v\n", err)
		return exitFailed
	}
	return exitStopped
}

// tidy removes all but lwcd's own files, also the beginnings of them that a power cut
// left. It is called while no lwcd runs, and goes on after an error.
func (f folder) tidy() error {
	root, err := os.OpenRoot(f.dir)
	if err != nil {
		return fmt.Errorf("tidying the state folder: %w", err)
	}
	defer root.Close()
	entries, err := os.ReadDir(f.dir)
	errs := []error{err}
	for _, e := range entries {
		if !e.Type().IsRegular() || !slices.Contains(append(halfFiles(), listFile), e.Name()) {
			errs = append(errs, root.RemoveAll(e.Name()))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("tidying the state folder: %w", err)
	}
	return nil
}
