package site

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writable are the folders where a program of any sort leaves files. The data
// of the other programs of the site is left out by search.
var writable = []string{"/tmp", "/var/tmp", "/var/log", "/var/lib", "/var/cache", "/run", "/dev/shm", "/root", "/home", "/etc"}

// encoded returns a text as it is, and as it stands in base64, whatever comes
// before it: credentials and frames travel so inside the collector.
func encoded(text string) []string {
	out := []string{text}
	for shift := range 3 {
		whole := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), text...))
		// The first and the last characters depend on what stands beside the text.
		out = append(out, whole[4:len(whole)-4])
	}
	return out
}

// Forms that a document has on its way out (RFC 8878 §3.1.1 gives the second).
const (
	frameMagic = "LWF1"
	zstdMagic  = "\x28\xb5\x2f\xfd"
)

// searchDisk looks everywhere for secrets, and where lwcd is known to write for
// all else of a device but the id that the operator gave it.
func (s *Site) searchDisk(t *testing.T, began time.Time, texts []string, d Simulated) (read int) {
	t.Helper()
	for _, dir := range append(writable, s.cfg.Dir) {
		read += search(t, s, began, dir, texts)
	}
	own := append(slices.Clone(texts), d.Address, d.HostKey, frameMagic, zstdMagic)
	for _, path := range []string{s.StateDir(), s.Log("lwcd")} {
		read += search(t, s, began, path, own)
	}
	return read
}

// search looks for texts in every file below dir, on its filesystem, that changed
// since the test began, and returns how many files it read.
func search(t *testing.T, s *Site, since time.Time, dir string, texts []string) int {
	t.Helper()
	others := []string{s.CloudData(), s.path("fleet.yaml"), s.path("inventory.json"), s.SentLog(), s.Log("lwc-cloud"), s.Log("junosim")}
	read, home := 0, device(dir)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // what cannot be read by root, or went away, lwcd did not write
		}
		for _, o := range others {
			if path == o || strings.HasPrefix(path, o+"/") {
				return nil
			}
		}
		if d.IsDir() && device(path) != home {
			return filepath.SkipDir // another filesystem; a /proc has files without end
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

// device is the filesystem that a path is on.
func device(path string) uint64 {
	var st syscall.Stat_t
	if err := syscall.Lstat(path, &st); err != nil {
		return 0
	}
	return st.Dev
}

// contained returns those of the texts that a file holds. It reads in pieces
// that overlap by more than a text.
func contained(t *testing.T, path string, texts []string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	const overlap = 4 << 10
	found, kept, buf := map[string]bool{}, 0, make([]byte, 1<<20)
	for {
		n, err := f.Read(buf[kept:])
		piece := buf[:kept+n]
		for _, text := range texts {
			if bytes.Contains(piece, []byte(text)) {
				found[text] = true
			}
		}
		kept = copy(buf, piece[max(0, len(piece)-overlap):])
		if err != nil {
			return slices.Sorted(maps.Keys(found))
		}
	}
}

func TestEncodedFindsTextsInBase64(t *testing.T) {
	const text = "Kanarienvogel-01M80"
	for before := range 7 {
		for after := range 4 {
			b := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + text + strings.Repeat("y", after)))
			found := slices.ContainsFunc(encoded(text), func(e string) bool { return strings.Contains(b, e) })
			if !found {
				t.Errorf("after %d and before %d other bytes it is not found in %s", before, after, b)
			}
		}
	}
}
