package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"lwc/image/sitefile"
)

// keep writes the settings, without the token, to the state partition, where they
// are others than those there. That the file was taken is noted first: a power cut
// between the two leaves the settings before it, and not a file before it that counts.
func (p *Provisioner) keep(k knowledge, f *sitefile.File, id string, raw []byte) error {
	if err := p.makeSettings(); err != nil {
		return err
	}
	if !k.taken.newest(raw) {
		if err := replace(filepath.Join(p.Settings, takenFile), k.taken.with(raw).text(), 0o600); err != nil {
			return err
		}
	}
	if id != "" && id != k.tokenID {
		if err := replace(filepath.Join(p.Settings, tokenIDFile), []byte(id), 0o600); err != nil {
			return err
		}
	}
	settings := f.Settings()
	defer clear(settings)
	if bytes.Equal(settings, k.text) {
		return nil
	}
	return replace(filepath.Join(p.Settings, settingsFile), settings, 0o600)
}

// hand writes lwcd's configuration and what it names. lwcd waits for the file where
// there was none; where there was another one it is started anew.
func (p *Provisioner) hand(ctx context.Context, f *sitefile.File) error {
	changed := false
	for _, one := range []struct {
		name string
		text []byte
	}{{passwordFile, f.External.ProxyPassword.Reveal()}, {proxyCAFile, []byte(f.External.ProxyCA)}} {
		is, err := p.put(one.name, one.text, 0o600)
		if err != nil {
			return err
		}
		changed = changed || is
	}
	_, err := os.Lstat(filepath.Join(p.RAM, daemonFile))
	had := err == nil
	is, err := p.put(daemonFile, f.Daemon(), 0o600)
	if err != nil || !had || !is && !changed || p.Restart == nil {
		return err
	}
	p.log().Info("starting lwcd with new settings")
	return p.Restart(ctx)
}

// put makes a file in RAM hold the text, or be gone when there is none, and tells
// whether it did not yet.
func (p *Provisioner) put(name string, text []byte, mode os.FileMode) (bool, error) {
	path := filepath.Join(p.RAM, name)
	old, err := os.ReadFile(path)
	defer clear(old)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(text) == 0:
		return false, nil
	case err == nil && len(text) == 0:
		return true, os.Remove(path)
	case err == nil && bytes.Equal(old, text):
		return false, nil
	}
	return true, replace(path, text, mode)
}

// handToken puts the token into RAM, once: lwcd erases it when it was used.
func (p *Provisioner) handToken(f *sitefile.File, id string) error {
	if id == p.givenID && p.hasToken() {
		return nil
	}
	if err := replace(filepath.Join(p.RAM, tokenFile), f.Token.Reveal(), 0o600); err != nil {
		return fmt.Errorf("handing over the token: %w", err)
	}
	p.givenID = id
	p.log().Info("token handed over", "token", id)
	return nil
}

func (p *Provisioner) hasToken() bool {
	_, err := os.Lstat(filepath.Join(p.RAM, tokenFile))
	return err == nil
}

// sweepToken erases a token that lies in RAM although the box has enrolled: lwcd
// erases its own within the look after, so that one that is there twice is of no use.
func (p *Provisioner) sweepToken() error {
	there := p.hasToken()
	if !there || !p.lingering {
		p.lingering = there
		return nil
	}
	p.lingering = false
	path := filepath.Join(p.RAM, tokenFile)
	info, err := os.Lstat(path)
	if err == nil {
		err = errors.Join(os.WriteFile(path, make([]byte, info.Size()), 0o600), os.Remove(path))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // lwcd was faster
	}
	return err
}
