package seal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// patience is how long a program may take; the slowest signs 40 MB in a second.
const patience = 2 * time.Minute

// packages say what to install when a program is missing.
var packages = map[string]string{
	"sbsign": "sbsigntool", "sbverify": "sbsigntool", "sbsiglist": "sbsigntool", "sbvarsign": "sbsigntool",
	"mdir": "mtools", "mcopy": "mtools", "mmd": "mtools", "fsck.erofs": "erofs-utils",
}

// tool runs a program to its end and returns what it said.
func tool(ctx context.Context, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	// The geometry of an image made elsewhere is not one that mtools guesses.
	cmd.Env = append(os.Environ(), "MTOOLS_SKIP_CHECK=1", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("running %s: it is not here: install the package %s", name, packages[name])
	case err != nil:
		return string(out), fmt.Errorf("running %s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}

// workshop is a folder for what is taken out of an image; close removes it.
type workshop string

func newWorkshop() (workshop, error) {
	dir, err := os.MkdirTemp("", "lwc-seal-")
	if err != nil {
		return "", fmt.Errorf("making a folder to work in: %w", err)
	}
	return workshop(dir), nil
}

func (w workshop) path(name string) string { return filepath.Join(string(w), name) }

func (w workshop) close() error { return os.RemoveAll(string(w)) }
