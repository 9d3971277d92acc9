package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"lwc/transport/secret"
)

// Source fetches secrets that a fleet file refers to.
type Source struct {
	// Getenv looks up a variable, as os.LookupEnv.
	Getenv func(string) (string, bool)
	// ReadFile reads a file, as os.ReadFile. Relative names are those of the
	// fleet file, joined to Dir.
	ReadFile func(string) ([]byte, error)
	// Dir is the folder of the fleet file.
	Dir string
}

// HostSource takes secrets from the environment and the files of this process.
func HostSource(dir string) Source {
	return Source{Getenv: os.LookupEnv, ReadFile: os.ReadFile, Dir: dir}
}

// secretForms are the ways to give one secret: in the file, by the name of a
// variable, by the name of a file.
func secretForms(name string) []string { return []string{name, name + "_env", name + "_file"} }

// credential decodes a log-in and fetches its secret.
func (d *decoder) credential(path string, n ast.Node) (c Credential) {
	given := map[string]string{} // form → secret
	kind, kindAt := "", n
	fs := fields{
		"id":       func(p string, n ast.Node) { c.ID = d.scalar(p, n) },
		"username": func(p string, n ast.Node) { c.Username = d.scalar(p, n) },
		"kind":     func(p string, n ast.Node) { kind, kindAt = d.scalar(p, n), n },
	}
	into := map[string]*secret.Text{"password": &c.Password, "private_key": &c.PrivateKey, "passphrase": &c.Passphrase, "certificate": &c.Certificate}
	for name, text := range into {
		for _, form := range secretForms(name) {
			fs[form] = func(p string, n ast.Node) {
				if other := given[name]; other != "" {
					d.wrong(p, n, "both %s and %s are given: keep one", other, form)
					return
				}
				given[name] = form
				*text = d.fetch(p, form, n)
			}
		}
	}
	d.mapping(path, n, fs)
	if given["password"] == "" && given["private_key"] == "" {
		d.report(d.locate(path), path, "the secret is missing: give one of %s",
			strings.Join(slices.Concat(secretForms("password"), secretForms("private_key")), ", "))
		return c
	}
	if kind != "" && kind != c.Kind() && !d.blamed(path) {
		d.wrong(path+".kind", kindAt, "kind %.40q, and the secret is of kind %s: leave kind out, or correct it", kind, c.Kind())
	}
	return c
}

// fetch returns the secret that a form names. Variables and files lose one line
// break at their end, which editors and echo put there.
func (d *decoder) fetch(path, form string, n ast.Node) secret.Text {
	value := d.scalar(path, n)
	var got []byte
	switch {
	case d.blamed(path):
		return secret.Text{}
	case strings.HasSuffix(form, "_env"):
		v, ok := d.source.Getenv(value)
		if !ok || v == "" {
			d.wrong(path, n, "the environment variable %.80q is not set, or empty: export it before applying", value)
			return secret.Text{}
		}
		got = trimBreak([]byte(v))
	case strings.HasSuffix(form, "_file"):
		b, err := d.readSecret(value)
		if err != nil {
			d.wrong(path, n, "%v", err)
			return secret.Text{}
		}
		got = trimBreak(b)
	default:
		got = []byte(value)
	}
	if len(got) == 0 {
		d.wrong(path, n, "the secret is empty")
	}
	return secret.New(got)
}

func (d *decoder) readSecret(name string) ([]byte, error) {
	if rest, ok := strings.CutPrefix(name, "~/"); ok {
		home, _ := d.source.Getenv("HOME")
		name = filepath.Join(home, rest)
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(d.source.Dir, name)
	}
	b, err := d.source.ReadFile(name)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("reading the file %q: %w", name, err)
	}
	return b, nil
}

func trimBreak(b []byte) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r"))
}
