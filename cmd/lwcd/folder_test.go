package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lwc/testdata/need"
)

const savedSomewhere = `{"url":"https://cloud.example"}`

// sharedFolder is a state folder of a half that is another user.
func sharedFolder(t *testing.T) folder {
	t.Helper()
	who, err := unnamed()
	if err != nil {
		t.Fatal(err)
	}
	if !mapped("/proc/self/uid_map", who.uid) {
		t.Skip("a user namespace has one user only: nothing can be kept from the half")
	}
	need.Root(t)
	dir := t.TempDir()
	for up := dir; up != os.TempDir(); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	f := folder{filepath.Join(dir, "state"), who}
	if err := f.give(); err != nil {
		t.Fatal(err)
	}
	return f
}

// asHalf runs a line of shell as the half would.
func (f folder) asHalf(line string) error {
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Dir, cmd.SysProcAttr = f.dir, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(f.who.uid), Gid: uint32(f.who.gid)}}
	return cmd.Run()
}

// What the half writes opens no way out, but for what an enrolment wrote; that it
// cannot replace afterwards, and it can do with its other files what it likes.
func TestFolderIsSealed(t *testing.T) {
	f := sharedFolder(t)
	do := func(line string) {
		t.Helper()
		if err := f.asHalf(line); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	write := "umask 077; echo '" + savedSomewhere + "' > .new && mv -f .new bootstrap.json"
	do(write)
	if list, err := f.endpoints(false); err == nil || list != nil {
		t.Errorf("what the half wrote is believed: %v", list)
	}
	if list, err := f.endpoints(true); err != nil || len(list) != 1 {
		t.Fatalf("what an enrolment wrote: %v, %v", list, err)
	}
	do("cat bootstrap.json; echo x > key.pem; mv key.pem cert.pem; rm cert.pem")
	for _, line := range []string{"echo x > bootstrap.json", "rm -f bootstrap.json", write, "mv bootstrap.json b", "chmod 600 bootstrap.json", "rmdir ../state"} {
		if f.asHalf(line) == nil {
			t.Errorf("the half can: %s", line)
		}
	}
	if err := f.give(); err != nil {
		t.Fatal(err)
	}
	if list, err := f.endpoints(false); err != nil || len(list) != 1 {
		t.Errorf("sealed: %v, %v", list, err)
	}
	if err := f.unseal(); err != nil {
		t.Fatal(err)
	}
	do(write)
	if list, err := f.endpoints(false); err == nil || list != nil {
		t.Errorf("after it was unsealed: %v", list)
	}
}

// A file that the half keeps open does not change what was sealed.
func TestSealedIsAnotherFile(t *testing.T) {
	f := sharedFolder(t)
	path := filepath.Join(f.dir, bootstrapFile)
	held, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	held.WriteString(savedSomewhere) //nolint:errcheck // read back
	if err := f.unseal(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.endpoints(true); err != nil {
		t.Fatal(err)
	}
	held.WriteAt([]byte(`{"url":"https://thief.example"}`), 0) //nolint:errcheck // read back
	if list, err := f.endpoints(false); err != nil || len(list) != 1 || list[0].Host != "cloud.example" {
		t.Errorf("%v, %v", list, err)
	}
}

// Links in the folder do not make the half owner of anything elsewhere, and what
// is no file is not read.
func TestFolderOfTraps(t *testing.T) {
	f := sharedFolder(t)
	outside := filepath.Join(filepath.Dir(f.dir), "outside")
	path := filepath.Join(f.dir, bootstrapFile)
	err := errors.Join(os.WriteFile(outside, []byte(savedSomewhere), 0o600), os.Symlink(outside, filepath.Join(f.dir, "symbolic")),
		os.Link(outside, filepath.Join(f.dir, "hard")), os.WriteFile(filepath.Join(f.dir, "key.pem"), nil, 0o600), unix.Mkfifo(path, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.give(); err != nil {
		t.Fatal(err)
	}
	owner := func(path string) int { return int(must[os.FileInfo](t)(os.Stat(path)).Sys().(*syscall.Stat_t).Uid) }
	if owner(outside) != 0 || owner(filepath.Join(f.dir, "key.pem")) != f.who.uid {
		t.Errorf("owner %d outside, %d of the key", owner(outside), owner(filepath.Join(f.dir, "key.pem")))
	}
	for _, replace := range []func() error{
		func() error { return nil }, // the pipe
		func() error { return os.Symlink(outside, path) },
		func() error { return os.Mkdir(path, 0o700) },
	} {
		if err := replace(); err != nil {
			t.Fatal(err)
		}
		if list, err := f.endpoints(true); err == nil {
			t.Errorf("read: %v", list)
		}
		os.Remove(path)
	}
}

// The token is a file of its own: a link is neither read nor overwritten.
func TestTokenIsNoLink(t *testing.T) {
	dir := t.TempDir()
	other, path := filepath.Join(dir, "other"), filepath.Join(dir, "token")
	if err := errors.Join(os.WriteFile(other, []byte("precious"), 0o600), os.Symlink(other, path)); err != nil {
		t.Fatal(err)
	}
	file := tokenFile{path: path, given: func([]byte) {}, enrolled: func() {}}
	if _, err := file.Stamp(t.Context()); err == nil {
		t.Error("there is a token")
	}
	if _, err := file.Read(t.Context()); err == nil {
		t.Error("it is read")
	}
	_ = file.Erase(t.Context())
	if b, err := os.ReadFile(other); string(b) != "precious" {
		t.Errorf("overwritten: %q, %v", b, err)
	}
}
