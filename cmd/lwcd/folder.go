package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"lwc/netguard"
)

// errFolder says that the state folder cannot be used.
var errFolder = errors.New("the state folder cannot be used")

// folder is the state folder as the supervisor sees it. It is root's and sticky,
// and the collector half's group may write there: the half makes, changes and
// removes its own files, and cannot touch the supervisor's one.
type folder struct {
	dir string
	who identity // zero: the half is who we are, and nothing can be kept from it
}

const (
	// listFile is the supervisor's: what the enrolment token allows to be dialled.
	listFile = "allowed.json"
	certFile = "cert.pem"
	// folderMode lets the half's group in, and nobody take another's file away.
	folderMode = unix.S_ISVTX | 0o770
	// maxList bounds listFile: a token names nine endpoints at most.
	maxList = 64 << 10
)

// halfFiles are the files that the half makes, those of package uplink first.
// Each may leave a ".name-123" behind when the power fails.
func halfFiles() []string {
	return []string{"key.pem", certFile, "ca.pem", "bootstrap.json", pendingFile}
}

// isOf tells whether a name is one of these files, or the beginning of one.
func isOf(name string, files ...string) bool {
	return slices.ContainsFunc(files, func(f string) bool { return name == f || strings.HasPrefix(name, "."+f+"-") })
}

// give makes the folder, and gives the half's files in it to the half.
func (f folder) give() error {
	err := f.tryGive()
	if errors.Is(err, fs.ErrPermission) && os.Geteuid() != 0 {
		err = fmt.Errorf("%w: %w", netguard.ErrPrivilege, err) // of an ordinary user
	}
	if err != nil {
		return fmt.Errorf("%w: %w: state_dir has to be a folder of its own, on a disk that can be written", errFolder, err)
	}
	return nil
}

func (f folder) tryGive() error {
	if err := os.MkdirAll(filepath.Dir(f.dir), 0o711); err != nil {
		return err
	}
	if err := os.Mkdir(f.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if f.who == (identity{}) {
		return nil
	}
	if err := f.who.enters(f.dir); err != nil {
		return err
	}
	d, err := os.OpenFile(f.dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err == nil {
		err = f.ours(names)
	}
	if err != nil {
		return err
	}
	return errors.Join(f.own(int(d.Fd())), f.giveFiles(int(d.Fd()), names))
}

// own makes the folder root's, with the half's group. One that is so already, as
// the system that made it can have it, takes no privilege.
func (f folder) own(fd int) error {
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if int(s.Uid) == os.Geteuid() && int(s.Gid) == f.who.gid && s.Mode&0o7777 == folderMode {
		return nil
	}
	// Root's first: its mode is its owner's to change.
	return errors.Join(os.NewSyscallError("fchown", unix.Fchown(fd, os.Geteuid(), f.who.gid)),
		os.NewSyscallError("fchmod", unix.Fchmod(fd, folderMode)))
}

// ours refuses a folder that holds what lwcd did not make, so that a wrong
// state_dir spoils nothing. Where our list is already, the half may have put it
// there: that does no harm, and keeps no box from starting.
func (f folder) ours(names []string) error {
	if _, err := f.list(); err == nil {
		return nil
	}
	for _, name := range names {
		if !isOf(name, append(halfFiles(), listFile)...) && name != "lost+found" {
			return fmt.Errorf("%s holds %q, which lwcd did not make", f.dir, name)
		}
	}
	return nil
}

func (f folder) giveFiles(dir int, names []string) error {
	var errs []error
	for _, name := range names {
		switch {
		case isOf(name, halfFiles()...):
			errs = append(errs, f.giveFile(dir, name))
		case name != listFile && isOf(name, listFile):
			errs = append(errs, os.Remove(filepath.Join(f.dir, name)))
		}
	}
	return errors.Join(errs...)
}

// giveFile changes the owner of what has that name at this moment: it is opened
// first, so that nobody can put another file in its place between the look and
// the deed. A link to elsewhere, and a file that has a second name elsewhere, are
// left alone: they may be another's.
func (f folder) giveFile(dir int, name string) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	} else if err != nil {
		return os.NewSyscallError("open "+name, err)
	}
	defer unix.Close(fd)
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return os.NewSyscallError("stat "+name, err)
	}
	if s.Mode&unix.S_IFMT != unix.S_IFREG || s.Nlink > 1 || int(s.Uid) == f.who.uid && int(s.Gid) == f.who.gid {
		return nil
	}
	return os.NewSyscallError("chown "+name, unix.Fchownat(fd, "", f.who.uid, f.who.gid, unix.AT_EMPTY_PATH))
}

// hasIdentity tells whether there seems to be one.
func (f folder) hasIdentity() bool {
	_, err := os.Lstat(filepath.Join(f.dir, certFile))
	return err == nil
}

// list reads what is kept of a token. The error is fs.ErrNotExist when there is
// nothing, and another when what is there is not the supervisor's.
func (f folder) list() (tokenList, error) {
	path := filepath.Join(f.dir, listFile)
	text, _, err := readPlain(path, maxList)
	if err != nil {
		return tokenList{}, fmt.Errorf("reading what may be dialled: %w", err)
	}
	return parseList(text)
}

func parseList(text []byte) (tokenList, error) {
	var kept tokenList
	err := json.Unmarshal(text, &kept)
	if err == nil {
		_, err = endpoints(kept.Endpoints)
	}
	if err != nil {
		return tokenList{}, fmt.Errorf("reading %s: %w", listFile, err)
	}
	return kept, nil
}

// keep replaces the list so that after a power cut the old one is there or the new one.
func (f folder) keep(list tokenList) error {
	if err := f.tryKeep(list); err != nil {
		return fmt.Errorf("keeping what may be dialled: %w", err)
	}
	return nil
}

func (f folder) tryKeep(list tokenList) error {
	text, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return err
	}
	if err := f.give(); err != nil { // it may have been emptied with its folder
		return err
	}
	to, err := os.CreateTemp(f.dir, "."+listFile+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(to.Name())
	_, err = to.Write(append(text, '\n'))
	if err := errors.Join(err, to.Sync(), to.Close()); err != nil {
		return err
	}
	if err := os.Rename(to.Name(), filepath.Join(f.dir, listFile)); err != nil {
		return err
	}
	d, err := os.Open(f.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
