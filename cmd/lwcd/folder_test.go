package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lwc/testdata/need"
)

// sharedFolder is a state folder of a half that is another user.
func sharedFolder(t *testing.T) folder {
	t.Helper()
	f := folder{dir: filepath.Join(enterable(t), "state"), who: anotherUser(t)}
	if err := f.give(); err != nil {
		t.Fatal(err)
	}
	return f
}

// anotherUser is the user of a half, where there is one to be.
func anotherUser(t *testing.T) identity {
	t.Helper()
	who, err := unnamed()
	if err != nil {
		t.Fatal(err)
	}
	if !mapped("/proc/self/uid_map", who.uid) {
		t.Skip("NOT RUN: a user namespace has one user only, from whom nothing can be kept; root runs it")
	}
	need.Root(t)
	return who
}

// enterable is a temporary folder that other users come into.
func enterable(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for up := dir; up != os.TempDir(); up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// asHalf runs a line of shell as the half would.
func (f folder) asHalf(line string) error {
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Dir, cmd.SysProcAttr = f.dir, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(f.who.uid), Gid: uint32(f.who.gid)}}
	return cmd.Run()
}

func (f folder) must(t *testing.T, line string) {
	t.Helper()
	if err := f.asHalf(line); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
}

var someList = tokenList{Token: "t1", Endpoints: []string{"cloud.example:443"}}

// The half can do with its own files what it likes, and nothing with the list.
func TestListIsOutOfTheHalfsReach(t *testing.T) {
	f := sharedFolder(t)
	if err := f.keep(someList); err != nil {
		t.Fatal(err)
	}
	f.must(t, "umask 077; echo x > .key.pem-1 && mv .key.pem-1 key.pem; mv key.pem cert.pem; rm cert.pem; echo y > bootstrap.json")
	for _, line := range []string{"cat allowed.json", "echo x > allowed.json", "rm -f allowed.json", "echo x > n && mv -f n allowed.json",
		"mv allowed.json b", "chmod 666 allowed.json", "ln allowed.json b", "mv ../state ../s", "chmod 777 ."} {
		if f.asHalf(line) == nil {
			t.Errorf("the half can: %s", line)
		}
	}
	if err := f.give(); err != nil {
		t.Fatal(err)
	}
	if list, err := f.list(); err != nil || len(list.Endpoints) != 1 || list.Endpoints[0] != "cloud.example:443" {
		t.Errorf("%+v, %v", list, err)
	}
}

// What lies in place of the list, and is not the supervisor's, is not believed.
func TestForgedListIsNotBelieved(t *testing.T) {
	f := sharedFolder(t)
	other := filepath.Join(filepath.Dir(f.dir), "other")
	const forged = `{"token":"t","endpoints":["thief.example:443"]}`
	if err := os.WriteFile(other, []byte(forged), 0o644); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(f.dir, listFile)
	for name, forge := range map[string]func() error{
		"written by the half": func() error { return f.asHalf("echo '" + forged + "' > allowed.json") },
		"a link":              func() error { return f.asHalf("ln -s ../other allowed.json") },
		"a second name":       func() error { return os.Link(other, path) },
		"a pipe":              func() error { return unix.Mkfifo(path, 0o600) },
		"a folder":            func() error { return os.Mkdir(path, 0o700) },
		"too long":            func() error { return os.WriteFile(path, []byte(forged+strings.Repeat(" ", maxList)), 0o600) },
		"an endpoint that is none": func() error {
			return os.WriteFile(path, []byte(`{"token":"t","endpoints":["cloud.example:443","thief"]}`), 0o600)
		},
	} {
		if err := forge(); err != nil {
			t.Fatal(name, err)
		}
		if list, err := f.list(); err == nil || list.Endpoints != nil {
			t.Errorf("%s: believed: %+v", name, list)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// Links in the folder do not make the half owner of anything elsewhere, and only
// files of its own are given to it.
func TestFolderOfTraps(t *testing.T) {
	f := sharedFolder(t)
	outside := filepath.Join(filepath.Dir(f.dir), "outside")
	at := func(name string) string { return filepath.Join(f.dir, name) }
	err := errors.Join(f.keep(someList), os.WriteFile(outside, nil, 0o600), os.Symlink(outside, at("ca.pem")), os.Link(outside, at("cert.pem")),
		os.WriteFile(at("key.pem"), nil, 0o600), os.WriteFile(at("shadow"), nil, 0o600), os.WriteFile(at(".allowed.json-7"), nil, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.give(); err != nil {
		t.Fatal(err)
	}
	owner := func(path string) int { return int(must[os.FileInfo](t)(os.Stat(path)).Sys().(*syscall.Stat_t).Uid) }
	for path, want := range map[string]int{outside: 0, at("shadow"): 0, at(listFile): 0, f.dir: 0, at("key.pem"): f.who.uid} {
		if got := owner(path); got != want {
			t.Errorf("%s belongs to %d", path, got)
		}
	}
	if _, err := os.Lstat(at(".allowed.json-7")); err == nil {
		t.Error("what a power cut left of the list lies there for ever")
	}
}

// A folder of somebody else is left as it is.
func TestFolderOfOthersIsRefused(t *testing.T) {
	f := folder{dir: filepath.Join(enterable(t), "state"), who: anotherUser(t)}
	path := filepath.Join(f.dir, "shadow")
	if err := errors.Join(os.Mkdir(f.dir, 0o755), os.WriteFile(path, nil, 0o640)); err != nil {
		t.Fatal(err)
	}
	if err := f.give(); !errors.Is(err, errFolder) || !strings.Contains(err.Error(), `holds "shadow"`) {
		t.Errorf("%v", err)
	}
	if info := must[os.FileInfo](t)(os.Stat(f.dir)); info.Mode().Perm() != 0o755 || info.Sys().(*syscall.Stat_t).Gid != 0 {
		t.Errorf("changed to %v", info.Mode())
	}
	if err := os.Chmod(filepath.Dir(f.dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := f.give(); !errors.Is(err, errFolder) || !strings.Contains(err.Error(), "chmod o+x") {
		t.Errorf("a folder that the half cannot enter: %v", err)
	}
}

// The token is a file of root's, with one name: what is not is neither read nor
// overwritten.
func TestTokenIsPlain(t *testing.T) {
	dir := t.TempDir()
	other, path := filepath.Join(dir, "other"), filepath.Join(dir, "token")
	for name, plant := range map[string]func() error{
		"a link":        func() error { return os.Symlink(other, path) },
		"a second name": func() error { return os.Link(other, path) },
		"a pipe":        func() error { return unix.Mkfifo(path, 0o600) },
		"another user's": func() error {
			if mapped("/proc/self/uid_map", lastUnnamed) {
				return errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.Chown(path, lastUnnamed, 0))
			}
			return os.Symlink(other, path)
		},
	} {
		if err := errors.Join(os.WriteFile(other, []byte("precious"), 0o600), plant()); err != nil {
			t.Fatal(name, err)
		}
		file := &tokenFile{path: path, offer: func([]byte) error { return nil }, enrolled: func() error { return nil }}
		if _, err := file.Stamp(t.Context()); err == nil {
			t.Errorf("%s: there is a token", name)
		}
		if _, err := file.Read(t.Context()); err == nil {
			t.Errorf("%s: it is read", name)
		}
		if err := errors.Join(file.Erase(t.Context())); err == nil {
			t.Errorf("%s: it is erased", name)
		}
		if err := erase(path, nil); err == nil {
			t.Errorf("%s: it is overwritten", name)
		}
		if b, err := os.ReadFile(other); string(b) != "precious" {
			t.Errorf("%s: overwritten: %q, %v", name, b, err)
		}
		os.Remove(path)
	}
	if _, err := (way{passwordFile: path}).password(); err == nil {
		t.Error("a password that is not there")
	}
	if err := os.Symlink(other, path); err != nil {
		t.Fatal(err)
	}
	if _, err := (way{passwordFile: path}).password(); !errors.Is(err, errNotPlain) {
		t.Errorf("a link to the password: %v", err)
	}
}

// What the supervisor opens lies in no folder that the half can write.
func TestPathsOfTheSupervisor(t *testing.T) {
	dir, who := enterable(t), anotherUser(t)
	half, group, open, sticky := filepath.Join(dir, "half"), filepath.Join(dir, "group"), filepath.Join(dir, "open"), filepath.Join(dir, "sticky")
	for path, mode := range map[string]os.FileMode{half: 0o700, group: 0o770, open: 0o777, sticky: 0o777 | os.ModeSticky} {
		if err := errors.Join(os.Mkdir(path, 0o700), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Chown(half, who.uid, who.gid), os.Chown(group, 0, who.gid), os.Mkdir(filepath.Join(half, "in"), 0o700),
		os.Symlink(half, filepath.Join(dir, "link"))); err != nil {
		t.Fatal(err)
	}
	for path, good := range map[string]bool{dir + "/token": true, sticky + "/token": true, dir + "/not/there/yet": true,
		half + "/token": false, half + "/in/token": false, group + "/token": false, open + "/token": false, dir + "/link/token": false} {
		if err := who.kept(path); (err == nil) != good {
			t.Errorf("%s: %v", path, err)
		}
	}
}
