package provision

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Forget overwrites every file below the folders with zeros, syncs, and removes
// them: the identity key, the settings. The folders themselves stay, empty. It goes
// on after an error, so that as much as possible is gone, and can be called again.
// Links are removed, not followed.
//
// An ext4 file that is overwritten keeps its blocks (data=ordered writes in place);
// what a flash disk does below is its own: see docs/image.md.
func Forget(ctx context.Context, folders ...string) error {
	var errs []error
	for _, folder := range folders {
		errs = append(errs, forget(ctx, folder))
	}
	return errors.Join(errs...)
}

func forget(ctx context.Context, folder string) error {
	root, err := os.OpenRoot(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("forgetting %s: %w", folder, err)
	}
	defer root.Close()
	var errs []error
	err = fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			err = zero(root, path)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("overwriting %s: %w", filepath.Join(folder, path), err))
		}
		return ctx.Err()
	})
	errs = append(errs, err, removeAll(folder), syncFolder(folder))
	return errors.Join(errs...)
}

// zero overwrites a file in place. A pipe that was put there since does not make us
// wait.
func zero(root *os.Root, path string) error {
	f, err := root.OpenFile(path, os.O_WRONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	block := make([]byte, 64<<10)
	for left := info.Size(); left > 0 && err == nil; left -= int64(len(block)) {
		_, err = f.Write(block[:min(left, int64(len(block)))])
	}
	return errors.Join(err, f.Sync(), f.Close())
}

func removeAll(folder string) error {
	entries, err := os.ReadDir(folder)
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(folder, e.Name())))
	}
	return errors.Join(errs...)
}
