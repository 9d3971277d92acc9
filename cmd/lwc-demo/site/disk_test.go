package site

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writable are the folders where a program of any sort leaves files. The data
// of the other programs of the site is left out by search.
var writable = []string{"/tmp", "/var/tmp", "/var/log", "/var/lib", "/var/cache", "/run", "/dev/shm", "/root", "/home", "/etc"}

// search looks for texts in every file below dir that changed since the test
// began, and returns how many files it read.
func search(t *testing.T, s *Site, since time.Time, dir string, texts []string) int {
	t.Helper()
	others := []string{s.CloudData(), s.path("fleet.yaml"), s.path("inventory.json"), s.SentLog(), s.Log("lwc-cloud"), s.Log("junosim")}
	read := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read by root, or went away, lwcd did not write
		}
		for _, o := range others {
			if path == o || strings.HasPrefix(path, o+"/") {
				return nil
			}
		}
		info, err := d.Info()
		if err != nil || !info.Mode().IsRegular() || info.ModTime().Before(since) {
			return nil
		}
		read++
		for _, text := range contained(t, path, texts) {
			t.Errorf("%s holds %q", path, text)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return read
}

// contained returns those of the texts that a file holds.
func contained(t *testing.T, path string, texts []string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	var found []string
	for _, text := range texts {
		if bytes.Contains(b, []byte(text)) {
			found = append(found, text)
		}
	}
	return found
}
