package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lwc/image/release"
	"lwc/image/trial"
)

const (
	// workLimit ends an order; lwcd gives up later than that.
	workLimit = 45 * time.Minute
	// orderLimit is for the one line to come.
	orderLimit = 10 * time.Second
	// trialLimit is how long a release on trial is waited for: its gate takes five
	// minutes at most, then it is good, or the machine restarts.
	trialLimit = 10 * time.Minute
	trialPoll  = time.Second
)

// serve carries out one order, and says how it ended. The answer is lost where nobody
// listens any more: the work goes on, and who asks again learns of it.
func (b *box) serve(ctx context.Context, in io.Reader, out io.Writer) error {
	signal.Ignore(syscall.SIGPIPE)
	ctx, cancel := context.WithTimeoutCause(ctx, workLimit, fmt.Errorf("it took longer than %v", workLimit))
	defer cancel()
	m := mouth{out}
	o, err := readWithin(in, orderLimit)
	if err != nil {
		m.say(failed, "%v", err)
		return err
	}
	unlock, err := b.lock(ctx, m)
	if err != nil {
		m.say(failed, "%v", err)
		return err
	}
	defer unlock()
	last, err := b.carryOut(ctx, o, m)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		m.say(failed, "%v", err)
		return nil // it was told: the unit has not failed
	}
	m.say(last.State, "%s", last.Text)
	return nil
}

// lock keeps a second worker waiting.
func (b *box) lock(ctx context.Context, m mouth) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(b.run, "update.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	told := false
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errors.Join(os.NewSyscallError("flock", err), f.Close())
		}
		if !told {
			m.say(running, "waiting for another order to end")
			told = true
		}
		if !sleep(ctx, trialPoll) {
			return nil, errors.Join(context.Cause(ctx), f.Close())
		}
	}
}

// carryOut does what the order asks for, unless it was done already.
func (b *box) carryOut(ctx context.Context, o order, m mouth) (said, error) {
	if o.Reset {
		return b.reset(ctx, m)
	}
	p, err := b.installed()
	if err != nil {
		return said{}, err
	}
	if p.Job == o.Job {
		if last, known, err := b.outcome(ctx, p, m); known || err != nil {
			return last, err
		}
	}
	tried, err := b.onTrial()
	switch {
	case err != nil:
		return said{}, err
	case tried:
		return said{}, fmt.Errorf("release %s is on trial: nothing else is installed until it has been found good", b.version)
	case o.Release == b.version:
		return said{done, "release " + b.version + " runs already"}, nil
	}
	// What has been done already tells its result by any clock.
	if err := o.inTime(ctx, m); err != nil {
		return said{}, err
	}
	if o.Files == "" {
		return said{fetch, "release " + o.Release + " has to be downloaded"}, nil
	}
	if err := b.raise(); err != nil {
		return said{}, err
	}
	return b.install(ctx, o, m)
}

// installed is the newest release that was installed, the zero value where none is
// known. A note that is damaged counts as none: the next release replaces it.
func (b *box) installed() (pending, error) {
	var p pending
	err := trial.Load(b.state, trial.PendingFile, &p)
	var disk *fs.PathError
	if errors.As(err, &disk) && !errors.Is(err, fs.ErrNotExist) {
		return pending{}, err
	}
	if err != nil {
		return pending{}, nil
	}
	return p, nil
}

// outcome tells what became of the release that a job installed. It is not known
// where the work was cut off before the boot loader could start it.
func (b *box) outcome(ctx context.Context, p pending, m mouth) (last said, known bool, err error) {
	if p.Version == b.version {
		last, err = b.proven(ctx, m)
		return last, true, err
	}
	e, there, err := b.entry(p.Version)
	switch {
	case err != nil:
		return said{}, false, err
	case !there:
		return said{}, false, nil
	case e.Counted && (e.Done > 0 || e.Left == 0):
		return said{}, true, errors.New(b.rolledBack(p, e))
	case p.Boot != b.boot:
		return said{}, true, fmt.Errorf("release %s is installed, but the boot loader started %s again", p.Version, b.version)
	}
	// Installed, and not started yet.
	last, err = b.schedule(ctx, p)
	return last, true, err
}

// proven waits for the verdict on the running release.
func (b *box) proven(ctx context.Context, m mouth) (said, error) {
	if err := b.settled(ctx, m); err != nil {
		return said{}, err
	}
	return said{done, "release " + b.version + " runs, and was found good"}, b.raise()
}

// settled waits until the running release is no trial any more. One that is found bad
// restarts the machine meanwhile.
func (b *box) settled(ctx context.Context, m mouth) error {
	ctx, cancel := context.WithTimeoutCause(ctx, trialLimit, fmt.Errorf("release %s runs, but was not found good within %v", b.version, trialLimit))
	defer cancel()
	told := false
	for {
		tried, err := b.onTrial()
		if err != nil || !tried {
			return err
		}
		if !told {
			m.say(running, "release %s runs on trial", b.version)
			told = true
		}
		if !sleep(ctx, trialPoll) {
			return context.Cause(ctx)
		}
	}
}

// rolledBack says why a release that was started does not run.
func (b *box) rolledBack(p pending, e trial.Entry) string {
	why := fmt.Sprintf("it was started %d times and never came as far as its own check", e.Done)
	if e.Done == 1 {
		why = "it was started once and did not come as far as its own check"
	}
	if f, err := trial.LoadFault(b.state); err == nil && f.Version == p.Version {
		why = f.Text
	}
	return fmt.Sprintf("rolled back to %s: release %s was not found good: %s", b.version, p.Version, why)
}

// schedule has the machine restart when the installed release is due.
func (b *box) schedule(ctx context.Context, p pending) (said, error) {
	if err := call(ctx, b.systemctl, "--no-block", "restart", restartUnit); err != nil {
		return said{}, err
	}
	at := time.Unix(p.RebootAt, 0).UTC()
	if time.Until(at) <= 0 {
		return said{waiting, fmt.Sprintf("release %s is installed, the machine restarts now", p.Version)}, nil
	}
	return said{waiting, fmt.Sprintf("release %s is installed, the machine restarts at %s", p.Version, stamp(at))}, nil
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// fits tells whether a verified release may be installed here.
func (b *box) fits(m release.Manifest, o order) error {
	lowest, err := b.lowest()
	switch {
	case err != nil:
		return err
	case o.Release != "" && m.Version != o.Release:
		return fmt.Errorf("release %s was asked for, the manifest is of %s", o.Release, m.Version)
	case release.Compare(m.Version, b.version) <= 0:
		return fmt.Errorf("release %s is not newer than %s, which runs", m.Version, b.version)
	case release.Compare(m.Version, lowest) < 0:
		return fmt.Errorf("release %s is older than %s, which was good here once", m.Version, lowest)
	case m.Floor != "" && release.Compare(b.version, m.Floor) < 0:
		return fmt.Errorf("release %s needs %s or newer to be installed, %s runs: install %s first", m.Version, m.Floor, b.version, m.Floor)
	}
	return nil
}
