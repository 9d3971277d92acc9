package main

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	releases "lwc/image/release"
	"lwc/transport/download"
	"lwc/transport/uplink"
	"lwc/transport/wire"
)

// fetcher downloads releases into the spool, which the updater reads. What it checks
// saves a download that would be refused: who installs believes none of it.
type fetcher struct {
	spool string
	keys  []byte // PEM
	dial  uplink.DialFunc
	// web is the cloud's address, and the configuration of TLS for a host.
	web func() (base string, conf func(host string) *tls.Config)
}

// releasesPath is where the cloud has its releases.
const releasesPath = "/releases/"

// tellEvery is how often a download tells how far it is.
const tellEvery = 5 * time.Second

// release downloads the release of a job whole, or goes on with what is there of it.
func (f fetcher) release(ctx context.Context, j wire.Job, tell func(string)) error {
	from, err := f.address(j)
	if err != nil {
		return err
	}
	trusted, err := releases.ParseKeys(f.keys)
	if err != nil {
		return err
	}
	_, conf := f.web()
	client := download.Client{Dial: f.dial, TLS: conf}
	tell("fetching the manifest of release " + j.Release)
	signed, err := client.Small(ctx, from+releases.ManifestName, releases.MaxSigned)
	if err != nil {
		return err
	}
	m, err := f.fitting(signed, j, trusted)
	if err != nil {
		return err
	}
	for _, file := range m.Files {
		if err := f.file(ctx, client, from, m, file, tell); err != nil {
			return err
		}
	}
	return f.place(signed)
}

// address returns the folder of the release, with a slash at its end.
func (f fetcher) address(j wire.Job) (string, error) {
	if j.Source != "" {
		folder, ok := strings.CutSuffix(j.Source, releases.ManifestName)
		if !ok {
			return "", fmt.Errorf("the source %.80q does not end with %s", j.Source, releases.ManifestName)
		}
		return folder, nil
	}
	if err := releases.CheckVersion(j.Release); err != nil {
		return "", fmt.Errorf("the job names no release: %w", err)
	}
	base, _ := f.web()
	return strings.TrimSuffix(base, "/") + releasesPath + j.Release + "/", nil
}

// fitting opens the manifest and makes room for its files.
func (f fetcher) fitting(signed []byte, j wire.Job, trusted []ed25519.PublicKey) (releases.Manifest, error) {
	m, err := releases.Open(signed, trusted)
	if err != nil {
		return m, fmt.Errorf("release %s is refused: %w", j.Release, err)
	}
	if j.Release != "" && m.Version != j.Release {
		return m, fmt.Errorf("release %s is refused: the manifest is of %s", j.Release, m.Version)
	}
	here, err := f.tidy(m)
	if err != nil {
		return m, fmt.Errorf("tidying the spool: %w", err)
	}
	var disk unix.Statfs_t
	if err := unix.Statfs(f.spool, &disk); err != nil {
		return m, os.NewSyscallError("statfs "+f.spool, err)
	}
	if free, missing := int64(disk.Bavail)*disk.Bsize, m.PackedSize()-here; missing > free {
		return m, fmt.Errorf("release %s needs %d MiB, the spool has %d MiB left", m.Version, missing>>20, free>>20)
	}
	return m, nil
}

// tidy removes from the spool what does not belong to the release, and returns how
// much of it is there.
func (f fetcher) tidy(m releases.Manifest) (here int64, err error) {
	list, err := os.ReadDir(f.spool)
	if err != nil {
		return 0, err
	}
	belongs := map[string]int64{}
	for _, file := range m.Files {
		belongs[file.PackedName] = file.PackedSize
	}
	var errs []error
	for _, e := range list {
		info, err := os.Lstat(filepath.Join(f.spool, e.Name()))
		if err == nil && info.Mode().IsRegular() && belongs[e.Name()] >= info.Size() {
			here += info.Size()
			continue
		}
		errs = append(errs, os.RemoveAll(filepath.Join(f.spool, e.Name())))
	}
	return here, errors.Join(errs...)
}

func (f fetcher) file(ctx context.Context, client download.Client, from string, m releases.Manifest, file releases.File, tell func(string)) error {
	told := time.Time{}
	return client.File(ctx, download.Wanted{URL: from + file.PackedName, Path: filepath.Join(f.spool, file.PackedName),
		Size: file.PackedSize, SHA256: file.PackedSHA256}, func(have int64) {
		if now := time.Now(); now.Sub(told) >= tellEvery {
			told = now
			tell(fmt.Sprintf("downloading release %s: %s, %d of %d MiB", m.Version, file.Role, have>>20, file.PackedSize>>20))
		}
	})
}

// place puts the manifest beside the files, as the last one.
func (f fetcher) place(signed []byte) error {
	out, err := os.OpenFile(filepath.Join(f.spool, releases.ManifestName), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(signed)
	return errors.Join(err, out.Close())
}
