package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"lwc/netguard"
)

// errFolder says that the state folder cannot be used.
var errFolder = errors.New("the state folder cannot be used")

// folder is the state folder as the supervisor sees it. The files in it are the
// collector half's, which may make, change and remove its own; the folder is
// root's and sticky, so that one file can be taken from it: bootstrap.json, which
// says what may be dialled. That one is sealed while no enrolment is under way:
// the half reads it, and cannot replace it.
type folder struct {
	dir string
	who identity // zero: the half is who we are, and nothing can be kept from it
}

const (
	bootstrapFile = "bootstrap.json" // as package uplink saves it
	// folderMode lets the half's group in, and nobody take another's file away.
	folderMode = fs.ModeSticky | 0o770
	sealedMode = 0o640
)

// give makes the folder, and what lies in it the half's, but for what is sealed.
func (f folder) give() error {
	err := os.MkdirAll(f.dir, 0o700)
	if err == nil && f.who != (identity{}) {
		err = errors.Join(os.Chown(f.dir, os.Geteuid(), f.who.gid), os.Chmod(f.dir, folderMode), f.giveFiles())
	}
	if err != nil {
		return fmt.Errorf("%w: %w: state_dir has to be a folder on a disk that can be written", errFolder, err)
	}
	return nil
}

func (f folder) giveFiles() error {
	entries, err := os.ReadDir(f.dir)
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, f.giveFile(e.Name()))
	}
	return errors.Join(errs...)
}

// giveFile changes the owner of what has that name at this moment: it is opened
// first, so that nobody can put another file in its place between the look and
// the deed. A link to elsewhere, and a file that has a second name elsewhere, are
// left alone: they may be another's.
func (f folder) giveFile(name string) error {
	path := filepath.Join(f.dir, name)
	fd, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	} else if err != nil {
		return os.NewSyscallError("open "+path, err)
	}
	defer unix.Close(fd)
	var s unix.Stat_t
	if err := unix.Fstat(fd, &s); err != nil {
		return os.NewSyscallError("stat "+path, err)
	}
	uid, gid := f.who.uid, f.who.gid
	if name == bootstrapFile && int(s.Uid) == os.Geteuid() {
		uid = os.Geteuid() // sealed
	}
	if s.Mode&unix.S_IFMT != unix.S_IFREG || s.Nlink > 1 || int(s.Uid) == uid && int(s.Gid) == gid {
		return nil
	}
	return os.NewSyscallError("chown "+path, unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH))
}

// endpoints reads where the saved identity leads, and seals that when an
// enrolment is under way. What the half wrote at another time is not believed.
func (f folder) endpoints(enrolling bool) ([]netguard.Endpoint, error) {
	path := filepath.Join(f.dir, bootstrapFile)
	text, info, err := readPlain(path, maxBootstrap)
	if err != nil {
		return nil, fmt.Errorf("reading where the cloud is: %w", err)
	}
	if !f.sealed(info) {
		if !enrolling && !f.ours(info) {
			return nil, fmt.Errorf("reading where the cloud is: %s was not written by an enrolment, so that it opens no way out: "+
				"restore it as root (chown root), or give a new enrolment token", path)
		}
		if err := f.seal(text); err != nil {
			return nil, fmt.Errorf("sealing %s: %w", path, err)
		}
	}
	return parseBootstrap(text)
}

// ours tells that the half did not write it: an administrator restored it, say.
func (f folder) ours(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}

func (f folder) sealed(info fs.FileInfo) bool {
	return f.who == (identity{}) || f.ours(info) && info.Mode() == sealedMode
}

// readPlain reads a short file, never a link, a pipe or a device.
func readPlain(path string, most int64) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, nil, fmt.Errorf("%s is not a file of at most %d bytes", path, most)
	}
	text, err := io.ReadAll(io.LimitReader(f, most))
	return text, info, err
}

// seal puts a file of our own in the place of the half's, which may hold that one
// open for writing.
func (f folder) seal(text []byte) error {
	to, err := os.CreateTemp(f.dir, "."+bootstrapFile+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(to.Name())
	_, err = to.Write(text)
	err = errors.Join(err, to.Chown(os.Geteuid(), f.who.gid), to.Chmod(sealedMode), to.Sync(), to.Close())
	if err != nil {
		return err
	}
	return os.Rename(to.Name(), filepath.Join(f.dir, bootstrapFile))
}

// unseal lets the half replace the file: there is a token to enrol with.
func (f folder) unseal() error {
	if f.who == (identity{}) {
		return nil
	}
	err := os.Lchown(filepath.Join(f.dir, bootstrapFile), f.who.uid, f.who.gid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
