package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"lwc/image/provision"
	"lwc/image/trial"
)

const (
	// resetVariable has the next boot overwrite the state partition, before anything
	// mounts it, and make a new one (lwc-forget.service, which removes it then). Its
	// name is systemd's (systemd-repart(8), --factory-reset=).
	resetVariable = "FactoryReset-8cf2644b-4b0b-428f-9387-6d876050dc67"
	// The variable is kept, and seen by the running system (UEFI 2.10, section 8.2).
	resetAttributes = 0x7
	// forgetLimit is how long files are overwritten before the restart: the half, which
	// still runs, may make more of them than that takes.
	forgetLimit = 2 * time.Minute
)

// reset overwrites the identity and the settings, has the next boot do so with the
// whole state partition, and restarts the machine. It waits for the end of a trial: a
// release that does not find the state that it was installed beside is found bad, and
// the box would be reset and fall back to the release before.
func (b *box) reset(ctx context.Context, m mouth) (said, error) {
	if err := b.settled(ctx, m); err != nil {
		return said{}, fmt.Errorf("nothing was changed: the factory reset waited for the trial of a release to end: %w", err)
	}
	// The variable first: what is begun then ends with an empty state, whatever happens.
	if err := b.askReset(); err != nil {
		return said{}, fmt.Errorf("asking for a factory reset: %w", err)
	}
	m.say(running, "overwriting the identity and the settings")
	// A release that waits for its first start would not find the state that it was
	// installed beside, and be found bad.
	dropped := b.drop(func(e trial.Entry) bool { return e.Counted && e.Version != b.version })
	within, cancel := context.WithTimeout(ctx, forgetLimit)
	forgotten := errors.Join(dropped, provision.Forget(within, b.forget...))
	cancel()
	// Whatever became of that: the next boot overwrites all.
	if err := call(context.WithoutCancel(ctx), b.systemctl, "--no-block", "reboot"); err != nil {
		return said{}, errors.Join(err, forgotten)
	}
	if forgotten != nil {
		return said{waiting, fmt.Sprintf("the machine restarts and forgets all, but overwriting some of it did not work: %v", forgotten)}, nil
	}
	return said{waiting, "identity and settings are overwritten, the machine restarts as a new one"}, nil
}

// askReset sets the variable of the firmware: four bytes of attributes, then "true" in
// UTF-16 with its end. The kernel keeps one that is there already from being written
// (efivarfs.rst): somebody has asked before.
func (b *box) askReset() error {
	value := []byte{resetAttributes, 0, 0, 0, 't', 0, 'r', 0, 'u', 0, 'e', 0, 0, 0}
	f, err := os.OpenFile(filepath.Join(b.variables, resetVariable), os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return b.askedReset()
	}
	if err != nil {
		return err
	}
	_, err = f.Write(value) // in one call: each is a whole variable
	return errors.Join(err, f.Close())
}

// askedReset looks at the variable that is there: one that the firmware had no room for
// stays behind, empty, until the machine starts anew.
func (b *box) askedReset() error {
	info, err := os.Stat(filepath.Join(b.variables, resetVariable))
	if err == nil && info.Size() == 0 {
		err = errors.New("the firmware did not keep it: choose the reset in the boot menu")
	}
	return err
}
