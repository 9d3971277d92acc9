package seal

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// esp is the EFI system partition inside an image, reached by mtools: nothing is
// mounted.
type esp struct{ at string }

func (d disk) system() esp { return esp{d.file + "@@" + strconv.FormatInt(d.esp.Start, 10)} }

// programs returns the paths of all programs that firmware or boot loader may start.
func (e esp) programs(ctx context.Context) ([]string, error) {
	out, err := tool(ctx, "mdir", "-i", e.at, "-b", "-/", "::/EFI")
	if err != nil {
		return nil, fmt.Errorf("listing the EFI system partition: %w", err)
	}
	var all []string
	for line := range strings.Lines(out) {
		path, ok := strings.CutPrefix(strings.TrimSpace(line), "::")
		if ok && strings.HasSuffix(strings.ToLower(path), ".efi") {
			all = append(all, path)
		}
	}
	slices.Sort(all)
	if len(all) == 0 {
		return nil, fmt.Errorf("listing the EFI system partition: there is no program on it")
	}
	return all, nil
}

// kernels are those programs that systemd-boot offers.
func (e esp) kernels(ctx context.Context) ([]string, error) {
	all, err := e.programs(ctx)
	return slices.DeleteFunc(all, func(p string) bool { return !strings.HasPrefix(p, "/EFI/Linux/") }), err
}

// take copies a file out of the partition.
func (e esp) take(ctx context.Context, path, to string) error {
	_, err := tool(ctx, "mcopy", "-n", "-i", e.at, "::"+path, to)
	return err
}

// put copies a file into the partition, in place of one of that name.
func (e esp) put(ctx context.Context, from, path string) error {
	_, err := tool(ctx, "mcopy", "-D", "o", "-i", e.at, from, "::"+path)
	return err
}

// folder makes a folder and those above it, unless they are there.
func (e esp) folder(ctx context.Context, path string) error {
	at := "::"
	for _, name := range strings.Split(strings.Trim(path, "/"), "/") {
		at += "/" + name
		if _, err := tool(ctx, "mdir", "-i", e.at, "-b", at); err == nil {
			continue
		}
		if _, err := tool(ctx, "mmd", "-i", e.at, at); err != nil {
			return err
		}
	}
	return nil
}
