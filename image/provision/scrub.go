package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"lwc/image/sitefile"
)

// scrub overwrites the token that this box enrolled with, on each volume that has
// it. One that refuses is not tried again while it is there.
func (p *Provisioner) scrub(ctx context.Context, k knowledge, all []found) []sitefile.Problem {
	var problems []sitefile.Problem
	here := map[string]bool{}
	for _, f := range all {
		here[f.mark()] = true
		if !f.hasFile() || k.tokenID == "" || !holds(f, k.tokenID) {
			continue
		}
		if p.stubborn[f.mark()] {
			problems = append(problems, notErased(f))
			continue
		}
		err := p.Volumes.Open(ctx, f.volume, true, func(root *os.Root) error { return overwrite(root, f.name, f.raw) })
		if errors.Is(err, errChanged) {
			continue // the next look reads what is there now
		}
		if err != nil {
			p.log().Warn("overwriting the used token", "volume", f.volume.String(), "error", err)
			p.stubborn[f.mark()] = true
			problems = append(problems, notErased(f))
			continue
		}
		p.log().Info("used token overwritten", "volume", f.volume.String())
	}
	for name := range p.stubborn {
		if !here[name] {
			delete(p.stubborn, name)
		}
	}
	return problems
}

func holds(f found, id string) bool {
	file, err := sitefile.ParseSettings(f.name, f.raw)
	return err == nil && tokenID(file) == id
}

func notErased(f found) sitefile.Problem {
	return sitefile.Problem{Kind: KindNotErased, Text: "the used token on " + f.volume.String() + " could not be overwritten: the volume cannot be written",
		Do: "take the volume out and delete lwc.toml on it"}
}

// errChanged says that somebody else writes to the volume.
var errChanged = errors.New("the file has changed")

// overwrite replaces the token where it stands: the same bytes of the same file, so
// that a file system that writes in place leaves no copy.
func overwrite(root *os.Root, name string, raw []byte) (err error) {
	scrubbed, ok := sitefile.Scrub(raw)
	if !ok {
		return nil
	}
	f, err := root.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("overwriting the token: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	now := make([]byte, len(raw)+1)
	n, _ := f.ReadAt(now, 0)
	if !bytes.Equal(now[:n], raw) {
		return fmt.Errorf("overwriting the token: %w", errChanged)
	}
	if _, err := f.WriteAt(scrubbed, 0); err != nil {
		return fmt.Errorf("overwriting the token: %w", err)
	}
	return f.Sync()
}
