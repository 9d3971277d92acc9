// Package trial knows how a release of the appliance proves itself: the boot loader
// counts the tries of a new one, the first start that is found good ends the counting,
// and one that never is falls back to the release before (systemd-boot(7), Boot
// Loader Specification, "Boot Counting").
//
// [Counted] tells whether this boot is a trial, [Entries] reads what the boot loader
// can start, and [Fault] is what is kept of a start that was found bad, so that the
// release before can tell.
package trial

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// Variables is where the kernel shows the variables of the firmware.
const Variables = "/sys/firmware/efi/efivars"

// counter is set by systemd-boot where it counts the tries of what it started.
const counter = "LoaderBootCountPath-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"

// Counted tells whether the boot loader counts the tries of what runs. It stays true
// until the machine starts anew, also when the counting has ended.
func Counted(variables string) bool {
	_, err := os.Stat(filepath.Join(variables, counter))
	return err == nil
}

// Entry is a release that the boot loader can start.
type Entry struct {
	Name    string // of the file
	Version string
	Counted bool // it has not proved itself
	Left    int  // tries, where counted
	Done    int
}

// kernel is the name of a unified kernel image with its counters.
var kernel = regexp.MustCompile(`^lwc_([0-9]+\.[0-9]+\.[0-9]+)(?:\+([0-9]{1,4})(?:-([0-9]{1,4}))?)?\.efi$`)

// Entries reads EFI/Linux below the mount point of the ESP. Other files are passed
// over.
func Entries(esp string) ([]Entry, error) {
	list, err := os.ReadDir(filepath.Join(esp, "EFI", "Linux"))
	if err != nil {
		return nil, fmt.Errorf("looking at what the boot loader can start: %w", err)
	}
	var out []Entry
	for _, f := range list {
		if e, ok := parse(f.Name()); ok {
			out = append(out, e)
		}
	}
	return out, nil
}

func parse(name string) (Entry, bool) {
	m := kernel.FindStringSubmatch(name)
	if m == nil {
		return Entry{}, false
	}
	e := Entry{Name: name, Version: m[1], Counted: m[2] != ""}
	e.Left, _ = strconv.Atoi(m[2]) // digits alone, and few
	e.Done, _ = strconv.Atoi(m[3])
	return e, true
}

// ESP is where the EFI system partition is mounted: the first of these that has
// EFI/Linux (systemd-gpt-auto-generator(8)).
func ESP(candidates ...string) (string, error) {
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "EFI", "Linux")); err == nil {
			return dir, nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("looking for the EFI system partition: %w", err)
		}
	}
	return "", fmt.Errorf("looking for the EFI system partition: none of %v holds EFI/Linux", candidates)
}
