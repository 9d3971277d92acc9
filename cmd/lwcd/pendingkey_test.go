package main

import (
	"bytes"
	"crypto/ecdsa"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A key that lies in a file asks again, however often lwcd is started. What cannot be
// read now is kept, and what is damaged is replaced.
func TestPendingKeyInFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	path := filepath.Join(dir, pendingFile)
	first, err := pendingKey(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := pendingKey(dir, ""); err != nil || !again.Signer.(*ecdsa.PrivateKey).Equal(first.Signer) || again.lost != nil {
		t.Errorf("another key: %+v, %v", again, err)
	}
	aside := path + ".aside"
	if err := errors.Join(os.Rename(path, aside), os.Mkdir(path, 0o700)); err != nil { // reading it fails, also for root
		t.Fatal(err)
	}
	if key, err := pendingKey(dir, ""); !errors.Is(err, unix.EISDIR) || !strings.Contains(err.Error(), "reading the key") || key.Signer != nil {
		t.Errorf("one that cannot be read: %+v, %v", key, err)
	}
	if err := errors.Join(os.Remove(path), os.Rename(aside, path)); err != nil {
		t.Fatal(err)
	}
	if again, err := pendingKey(dir, ""); err != nil || !again.Signer.(*ecdsa.PrivateKey).Equal(first.Signer) {
		t.Errorf("readable again: %+v, %v", again, err)
	}
	if err := os.Truncate(path, 20); err != nil {
		t.Fatal(err)
	}
	if key, err := pendingKey(dir, ""); err != nil || key.lost == nil || key.Signer.(*ecdsa.PrivateKey).Equal(first.Signer) {
		t.Errorf("half a file: %+v, %v", key, err)
	}
}

// Regression: a power cut, or a disk that is full, leaves the key that was there, whole:
// what has its name is never the file that is written to.
func TestPendingKeyIsReplacedWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, pendingFile)
	first, err := pendingKey(dir, "")
	if err != nil {
		t.Fatal(err)
	}
	text := must[[]byte](t)(os.ReadFile(path))
	held := must[*os.File](t)(os.Open(path))
	defer held.Close()
	second, err := pendingKey(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := writePending(dir, second.Signer); err != nil {
		t.Fatal(err)
	}
	was := make([]byte, len(text))
	if _, err := held.ReadAt(was, 0); err != nil || !bytes.Equal(was, text) {
		t.Errorf("the old key was overwritten in its place: %v", err)
	}
	if now, err := pendingKey(dir, ""); err != nil || !now.Signer.(*ecdsa.PrivateKey).Equal(second.Signer) || now.Signer.(*ecdsa.PrivateKey).Equal(first.Signer) {
		t.Errorf("%+v, %v", now, err)
	}
	if list := must[[]os.DirEntry](t)(os.ReadDir(dir)); len(list) != 1 {
		t.Errorf("left are %v", list)
	}
	info := must[os.FileInfo](t)(os.Stat(path))
	if info.Mode() != 0o600 {
		t.Error(info.Mode())
	}
}
