package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lwc/cloud/api/issue"
	"lwc/cloud/edp"
	"lwc/cloud/flock"
	"lwc/cloud/keyfile"
	"lwc/cloud/pki"
	"lwc/cloud/vault"
)

// The files of a data folder, beside those of the vault.
const (
	databaseFile = "edp.db"
	pkiFolder    = "pki"
	settingsFile = "serve.json"
	lockFile     = "serve.lock"
	// The releases of the appliance, and the keys that may sign them.
	releasesFolder = "releases"
	releaseKeys    = "release-keys.pem"
)

// data is an opened data folder.
type data struct {
	dir   string
	store *edp.Store
	pki   *pki.PKI
	vault *vault.Vault
}

// openData opens a data folder. With create it makes the folder and all in it.
func openData(ctx context.Context, dir string, create bool) (*data, error) {
	if dir == "" {
		return nil, usageErrorf("--data DIR is needed: the folder that keeps the database and the keys")
	}
	if err := checkFolder(dir, create); err != nil {
		return nil, err
	}
	d := &data{dir: dir}
	var err error
	if d.pki, err = pki.Open(filepath.Join(dir, pkiFolder)); err != nil {
		return nil, err
	}
	if d.vault, err = vault.Open(dir); err != nil {
		return nil, err
	}
	if d.store, err = edp.Open(ctx, filepath.Join(dir, databaseFile)); err != nil {
		return nil, err
	}
	return d, nil
}

func checkFolder(dir string, create bool) error {
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making the data folder: %w", err)
		}
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, databaseFile)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is not a data folder of lwc-cloud: give the one of lwc-cloud serve --data", dir)
	} else if err != nil {
		return fmt.Errorf("opening the data folder: %w", err)
	}
	return nil
}

// Close closes the database.
func (d *data) Close() error { return d.store.Close() }

// lock makes sure that one process serves a data folder.
func (d *data) lock() (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(d.dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	err = flock.Try(f)
	if errors.Is(err, flock.ErrLocked) {
		err = errors.New("another lwc-cloud serves it: stop that one first")
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the data folder %s: %w", d.dir, err), f.Close())
	}
	return f.Close, nil
}

// settings are what other commands have to know of serve.
type settings struct {
	PublicURLs []string `json:"public_urls"`
}

func (d *data) saveSettings(s settings) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the settings: %w", err)
	}
	return keyfile.Write(filepath.Join(d.dir, settingsFile), append(b, '\n'))
}

// issuer makes tokens and links for the URL that serve is reached by.
func (d *data) issuer() (issue.Issuer, error) { return d.issuerAt("") }

// issuerAt is issuer for one of the public URLs; empty means the first.
func (d *data) issuerAt(at string) (issue.Issuer, error) {
	path := filepath.Join(d.dir, settingsFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return issue.Issuer{}, fmt.Errorf("reading the public URL: run lwc-cloud serve on this folder first: %w", err)
	}
	var s settings
	if err := json.Unmarshal(b, &s); err != nil || len(s.PublicURLs) == 0 {
		return issue.Issuer{}, fmt.Errorf("reading the public URL: %s is damaged: run lwc-cloud serve again", path)
	}
	at = cmp.Or(at, s.PublicURLs[0])
	if !slices.Contains(s.PublicURLs, at) {
		return issue.Issuer{}, usageErrorf("--url %q is none of the public URLs: %s", at, strings.Join(s.PublicURLs, ", "))
	}
	return issue.Issuer{Store: d.store, URL: at, CAPin: d.pki.CAPin()}, nil
}

// publicURL reads a --public-url.
func publicURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return nil, usageErrorf("--public-url %q must be https://HOST or https://HOST:PORT", s)
	}
	u.Path = ""
	return u, nil
}
