package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"lwc/image/seal"
)

// runSums signs the list of checksums of a build, or makes one of files and signs that.
func runSums(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	c := newCommand("sums", stderr)
	if err := c.Parse(args); err != nil {
		return err
	}
	list, files := c.out, c.Args()
	if list == "" && len(files) == 1 {
		list, files = files[0], nil
	}
	if c.keys == "" || list == "" || c.out != "" && len(files) == 0 {
		c.Usage()
		return errors.New("sums needs --keys and one list of checksums, or --keys, --out and the files of a list to make")
	}
	if len(files) > 0 {
		for _, f := range files {
			if filepath.Clean(filepath.Dir(f)) != filepath.Clean(filepath.Dir(list)) {
				return fmt.Errorf("making checksums: %s is not in the folder of %s, where people look for the list", f, list)
			}
		}
		if err := seal.MakeSums(ctx, list, files); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "made", list)
	}
	made, err := seal.Sums(ctx, list, c.keys)
	for _, name := range made {
		fmt.Fprintln(stdout, "made", name)
	}
	return err
}
