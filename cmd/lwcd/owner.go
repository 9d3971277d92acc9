package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"lwc/netguard"
)

// identity is the user that the collector half becomes; the zero identity keeps
// the user there is, without capabilities.
type identity struct{ uid, gid int }

// errUser says that the configured user cannot be used.
var errUser = errors.New("the user of the collector half cannot be used")

// whose decides who the collector half is. The note says in words what could not
// be had, and is empty when nothing is amiss.
func whose(conf config) (who identity, note string, err error) {
	if os.Geteuid() != 0 {
		return identity{}, "", nil // an ordinary user already; mode unprotected
	}
	u, err := user.Lookup(conf.user)
	if err == nil {
		who, err = numbers(u)
	}
	if err == nil && !mapped("/proc/self/uid_map", who.uid) {
		err = fmt.Errorf("user %s (uid %d) does not exist in this user namespace", conf.user, who.uid)
	}
	switch {
	case err == nil:
		return who, "", nil
	case conf.userGiven && conf.ports.Mode != netguard.Userns:
		return identity{}, "", fmt.Errorf("guard.user: %w: %w: make it (adduser --system --group %s), or name another", errUser, err, conf.user)
	}
	return identity{}, fmt.Sprintf("the collector half runs as root without capabilities, not as a user of its own: %v", err), nil
}

func numbers(u *user.User) (identity, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return identity{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err == nil && uid == 0 {
		err = fmt.Errorf("user %s is root", u.Username)
	}
	return identity{uid, gid}, err
}

// mapped reads user_namespaces(7), "/proc/pid/uid_map": lines of the first id
// inside, the first outside, and their number.
func mapped(file string, id int) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		var first, outside, many int
		if _, err := fmt.Sscan(line, &first, &outside, &many); err == nil && id >= first && id < first+many {
			return true
		}
	}
	return false
}

// own makes the state folder the collector half's: nobody else has to read it.
func (who identity) own(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the state folder: %w", err)
	}
	if os.Geteuid() != 0 {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("reading the state folder: %w", err)
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, who.take(filepath.Join(dir, e.Name())))
	}
	if err := errors.Join(append(errs, who.take(dir))...); err != nil {
		return fmt.Errorf("giving the state folder to the collector half: %w", err)
	}
	return nil
}

// take changes the owner of a file, or of a link itself. What has a second name
// elsewhere is left alone: that name may be another's file.
func (who identity) take(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(s.Uid) == who.uid && int(s.Gid) == who.gid || info.Mode().IsRegular() && s.Nlink > 1 {
		return nil
	}
	return os.Lchown(path, who.uid, who.gid)
}
