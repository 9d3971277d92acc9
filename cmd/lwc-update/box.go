package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"lwc/image/release"
	"lwc/image/trial"
)

// box is the machine, as far as the updater touches it.
type box struct {
	version   string   // of the image that runs
	boot      string   // id of this boot
	keys      string   // file of the keys that sign releases
	spool     string   // folder of the collector half: anybody may have written there
	work      string   // folder in memory, root's alone
	state     string   // folder that outlives a boot, root's alone
	run       string   // folder in memory that others read
	variables string   // of the firmware
	esp       []string // where the EFI system partition may be mounted
	forget    []string // folders that a factory reset empties
	// disk finds the disk that the image runs from.
	disk func() (string, error)
	// The programs of systemd, with their first arguments.
	sysupdate, systemctl []string
}

// appliance is the box that this program runs on.
func appliance() (*box, error) {
	v, err := imageVersion("/usr/lib/os-release")
	if err != nil {
		return nil, err
	}
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return nil, err
	}
	return &box{version: v, boot: strings.TrimSpace(string(id)), keys: "/usr/lib/lwc/release-keys", spool: "/run/lwc/spool",
		work: "/run/lwc/update", state: trial.State, run: "/run/lwc", variables: trial.Variables, esp: []string{"/efi", "/boot"},
		forget:    []string{"/state/lwcd", "/state/settings", trial.State},
		disk:      func() (string, error) { return diskOf("/sys", "/") },
		sysupdate: []string{"/usr/lib/systemd/systemd-sysupdate", "--verify=no"},
		systemctl: []string{"/usr/bin/systemctl"}}, nil
}

// imageVersion reads IMAGE_VERSION of os-release(5).
func imageVersion(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "IMAGE_VERSION="); ok {
			v = strings.Trim(v, `"'`)
			return v, release.CheckVersion(v)
		}
	}
	return "", fmt.Errorf("%s has no IMAGE_VERSION: this is no appliance", path)
}

// entries reads what the boot loader can start, and where.
func (b *box) entries() (esp string, list []trial.Entry, err error) {
	if esp, err = trial.ESP(b.esp...); err == nil {
		list, err = trial.Entries(esp)
	}
	return esp, list, err
}

// entry returns the one of that version.
func (b *box) entry(version string) (trial.Entry, bool, error) {
	_, list, err := b.entries()
	for _, e := range list {
		if e.Version == version {
			return e, true, err
		}
	}
	return trial.Entry{}, false, err
}

// onTrial tells whether what runs has not been found good yet.
func (b *box) onTrial() (bool, error) {
	if !trial.Counted(b.variables) {
		return false, nil
	}
	e, there, err := b.entry(b.version)
	return there && e.Counted, err
}

const (
	floorFile   = "floor.json"
	blessedFile = "blessed"
)

// pending is the newest release that was installed.
type pending struct {
	V        int    `json:"v"`
	Job      string `json:"job"`
	Version  string `json:"version"`
	From     string `json:"from"`      // what ran when it was installed
	Boot     string `json:"boot"`      // in which boot
	RebootAt int64  `json:"reboot_at"` // Unix time
}

// floor is the newest version that was ever found good: nothing older is installed.
type floor struct {
	V       int    `json:"v"`
	Version string `json:"version"`
}

// lowest is the floor, that of the running release at least.
func (b *box) lowest() (string, error) {
	var f floor
	err := trial.Load(b.state, floorFile, &f)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if release.Compare(f.Version, b.version) > 0 {
		return f.Version, nil
	}
	return b.version, nil
}

// blessed notes that the running release was found good, for this boot and for good.
func (b *box) blessed() error {
	mark := os.WriteFile(filepath.Join(b.run, blessedFile), nil, 0o644)
	return errors.Join(mark, b.raise())
}

// raise raises the floor to the running release.
func (b *box) raise() error {
	var f floor
	if err := trial.Load(b.state, floorFile, &f); err == nil && release.Compare(f.Version, b.version) >= 0 {
		return nil
	}
	return trial.Save(b.state, floorFile, floor{1, b.version})
}

// call runs a program to its end. Its last words are part of an error.
func call(ctx context.Context, argv []string, more ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], append(argv[1:len(argv):len(argv)], more...)...)
	cmd.Env = []string{"PATH=/usr/bin:/usr/sbin", "SYSTEMD_LOG_LEVEL=info", "SYSTEMD_COLORS=0"}
	var words bytes.Buffer
	cmd.Stdout, cmd.Stderr = &words, &words
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(words.String()), "\n")
		return fmt.Errorf("running %s: %w: %s", filepath.Base(argv[0]), err, lines[len(lines)-1])
	}
	return nil
}
