package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"lwc/image/release"
	"lwc/image/trial"
	"lwc/image/verity"
)

// install verifies the release in the spool whole, writes it into the free slot, reads
// it back, and has the machine restart when it is due.
func (b *box) install(ctx context.Context, o order, m mouth) (said, error) {
	manifest, err := b.verify(ctx, o, m)
	if err != nil {
		return said{}, fmt.Errorf("nothing was changed: %w", err)
	}
	if !o.RebootBefore.IsZero() && time.Now().After(o.RebootBefore) {
		return said{}, errors.New("nothing was changed: the window closed while the release was loading: it goes on in the next one")
	}
	m.say(running, "release %s is verified, clearing the free slot", manifest.Version)
	// The restart for a release that was installed before would cut this one off.
	if err := call(ctx, b.systemctl, "stop", restartUnit); err != nil {
		return said{}, fmt.Errorf("nothing was changed: %w", err)
	}
	if err := b.clear(ctx); err != nil {
		return said{}, fmt.Errorf("no release waits for a restart any more: %w", err)
	}
	if err := trial.DropFault(b.state); err != nil {
		return said{}, err
	}
	p := pending{V: 1, Job: o.Job, Version: manifest.Version, From: b.version, Boot: b.boot, RebootAt: o.RebootAt.Unix()}
	if err := trial.Save(b.state, trial.PendingFile, p); err != nil {
		return said{}, err
	}
	m.say(running, "writing release %s into the free slot", manifest.Version)
	if err := call(ctx, b.sysupdate, "update", manifest.Version); err != nil {
		return said{}, errors.Join(err, b.disarm())
	}
	m.say(running, "reading release %s back", manifest.Version)
	if err := b.compare(ctx, manifest); err != nil {
		return said{}, errors.Join(err, b.disarm())
	}
	last, err := b.schedule(ctx, p)
	if err != nil {
		// The job fails: what it installed may not start with the next power cut.
		err = errors.Join(err, b.disarm())
	}
	return last, err
}

// verify opens the manifest and unpacks its files from the spool into memory that is
// root's alone. Each file of the spool is removed when it has been read, to make room.
func (b *box) verify(ctx context.Context, o order, m mouth) (release.Manifest, error) {
	text, err := os.ReadFile(b.keys)
	if err != nil {
		return release.Manifest{}, err
	}
	trusted, err := release.ParseKeys(text)
	if err != nil {
		return release.Manifest{}, err
	}
	spool, err := os.OpenRoot(b.spool)
	if err != nil {
		return release.Manifest{}, err
	}
	defer spool.Close()
	signed, err := readSigned(spool)
	if err != nil {
		return release.Manifest{}, err
	}
	manifest, err := release.Open(signed, trusted)
	if err == nil {
		err = b.fits(manifest, o)
	}
	if err == nil {
		err = emptied(b.work)
	}
	if err != nil {
		return release.Manifest{}, err
	}
	for _, f := range manifest.Files {
		m.say(running, "verifying the %s of release %s", f.Role, manifest.Version)
		if err := b.take(ctx, spool, f); err != nil {
			return release.Manifest{}, err
		}
	}
	m.say(running, "comparing the root of release %s with its kernel", manifest.Version)
	return manifest, b.fitTogether(ctx, manifest)
}

// fitTogether tells whether the kernel of a release starts its root: each file may be the
// one that was signed, and the box not come up with them all the same.
func (b *box) fitTogether(ctx context.Context, m release.Manifest) error {
	files := map[release.Role]*os.File{}
	for _, f := range m.Files {
		in, err := os.Open(filepath.Join(b.work, f.Name))
		if err != nil {
			return err
		}
		defer in.Close()
		files[f.Role] = in
	}
	want, err := verity.Named(files[release.UKI])
	if got := m.File(release.Root).Partition() + m.File(release.Verity).Partition(); err == nil && got != want {
		err = fmt.Errorf("%w: the kernel names %s, the partitions are of %s", verity.ErrOther, want, got)
	}
	if err == nil {
		err = verity.Check(ctx, files[release.Root], files[release.Verity], want)
	}
	if err != nil {
		return fmt.Errorf("release %s could not start: %w", m.Version, err)
	}
	return nil
}

// openSpooled opens a file that anybody may have put there: no link is followed out of
// the folder, and a pipe does not make us wait.
func openSpooled(spool *os.Root, name string) (*os.File, error) {
	f, err := spool.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s in the spool is no file", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func readSigned(spool *os.Root) ([]byte, error) {
	f, err := openSpooled(spool, release.ManifestName)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, release.MaxSigned+1))
}

// take unpacks one file out of the spool.
func (b *box) take(ctx context.Context, spool *os.Root, f release.File) (err error) {
	in, err := openSpooled(spool, f.PackedName)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(b.work, f.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	to := &holes{file: out}
	if err := release.Unpack(ctx, to, in, f); err != nil {
		return err
	}
	return errors.Join(to.end(), spool.Remove(f.PackedName))
}

// holes writes a file and leaves out the blocks of zeros, since the memory that it
// lies in is scarce and a slot is half empty.
type holes struct {
	file *os.File
	n    int64
}

// block is a page of a tmpfs.
const block = 4 << 10

func (h *holes) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		piece := rest[:min(len(rest), block-int(h.n%block))]
		if !zero(piece) {
			if _, err := h.file.WriteAt(piece, h.n); err != nil {
				return len(p) - len(rest), err
			}
		}
		h.n += int64(len(piece))
		rest = rest[len(piece):]
	}
	return len(p), nil
}

// end gives the file its size.
func (h *holes) end() error { return h.file.Truncate(h.n) }

func zero(p []byte) bool {
	for _, c := range p {
		if c != 0 {
			return false
		}
	}
	return true
}

// emptied makes a folder that nobody else can enter, with nothing in it.
func emptied(folder string) error {
	list, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return os.Mkdir(folder, 0o700)
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range list {
		errs = append(errs, os.RemoveAll(filepath.Join(folder, e.Name())))
	}
	return errors.Join(errs...)
}

// clear frees the slot that does not run, whatever became of what is in it: the boot
// loader forgets it first, so that a power cut leaves nothing that cannot start.
func (b *box) clear(ctx context.Context) error {
	if err := b.disarm(); err != nil {
		return err
	}
	// The running version is protected (ProtectVersion= of the transfers), and the only
	// one that may stay.
	return call(ctx, b.sysupdate, "--instances-max=1", "vacuum")
}

// disarm takes from the boot loader whatever it could start but the running release,
// and what a power cut left half written.
func (b *box) disarm() error {
	return b.drop(func(e trial.Entry) bool { return e.Version != b.version })
}

// drop removes entries of the boot loader, and what was left half written.
func (b *box) drop(which func(trial.Entry) bool) error {
	esp, list, err := b.entries()
	if err != nil {
		return err
	}
	folder := filepath.Join(esp, "EFI", "Linux")
	var errs []error
	for _, e := range list {
		if which(e) {
			errs = append(errs, os.Remove(filepath.Join(folder, e.Name)))
		}
	}
	left, err := filepath.Glob(filepath.Join(folder, ".#*"))
	errs = append(errs, err)
	for _, name := range left {
		errs = append(errs, os.Remove(name))
	}
	errs = append(errs, trial.SyncFolder(folder))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("clearing the boot loader's entries: %w", err)
	}
	return nil
}

const restartUnit = "lwc-restart.service"

// restartPoll is how often the clock is looked at: it may be set meanwhile.
const restartPoll = time.Minute

// restart waits until the installed release is due, and has the machine start anew.
func (b *box) restart(ctx context.Context) error {
	var p pending
	if err := trial.Load(b.state, trial.PendingFile, &p); err != nil {
		return err
	}
	at := time.Unix(p.RebootAt, 0)
	// The connection to the cloud has a moment to tell that the restart is to come.
	const moment = 3 * time.Second
	for wait := moment; ; wait = min(time.Until(at), restartPoll) {
		if wait <= 0 {
			break
		}
		if !sleep(ctx, wait) {
			return nil // another release is due instead, or the machine stops anyway
		}
	}
	return call(ctx, b.systemctl, "--no-block", "reboot")
}
