package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

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
// there was none; where there was another one it is started anew. That it has to be is
// noted first, so that it happens also where this program ends in between, or where
// systemd has no time for it: lwcd would go on with the old settings otherwise.
func (p *Provisioner) hand(ctx context.Context, f *sitefile.File) error {
	files := []handed{{passwordFile, f.External.ProxyPassword.Reveal()}, {proxyCAFile, []byte(f.External.ProxyCA)}, {daemonFile, f.Daemon()}}
	_, err := os.Lstat(filepath.Join(p.RAM, daemonFile))
	differs := slices.ContainsFunc(files, func(h handed) bool { return !p.has(h) })
	if err == nil && differs && p.Restart != nil {
		if err := replace(filepath.Join(p.RAM, restartFile), nil, 0o600); err != nil {
			return err
		}
	}
	for _, h := range files {
		if err := p.put(h); err != nil {
			return err
		}
	}
	return p.restartDue(ctx)
}

// restartDue starts lwcd anew where that is noted.
func (p *Provisioner) restartDue(ctx context.Context) error {
	note := filepath.Join(p.RAM, restartFile)
	if _, err := os.Lstat(note); err != nil {
		return nil
	}
	p.log().Info("starting lwcd with new settings")
	if err := p.Restart(ctx); err != nil {
		return err
	}
	return os.Remove(note)
}

// handed is a file in RAM for lwcd; without a text it is to be gone.
type handed struct {
	name string
	text []byte
}

// has tells whether the file is as it has to be.
func (p *Provisioner) has(h handed) bool {
	old, err := os.ReadFile(filepath.Join(p.RAM, h.name))
	defer clear(old)
	if len(h.text) == 0 {
		return errors.Is(err, fs.ErrNotExist)
	}
	return err == nil && bytes.Equal(old, h.text)
}

func (p *Provisioner) put(h handed) error {
	path := filepath.Join(p.RAM, h.name)
	switch {
	case p.has(h):
		return nil
	case len(h.text) == 0:
		return os.Remove(path)
	}
	return replace(path, h.text, 0o600)
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
