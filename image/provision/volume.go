package provision

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"lwc/image/sitefile"
)

// Volume is a partition or an attached disk of the right name.
type Volume struct {
	Device  string // kernel's name, like sda2
	Label   string // as it stands there
	FS      string // vfat or iso9660; empty: none that a box reads
	Own     bool   // it is on the disk that the box runs from
	Problem string // why it cannot be read, where that is known already
}

// String names the volume for people.
func (v Volume) String() string {
	if v.Own {
		return fmt.Sprintf("%s of the box itself (%s)", printable(v.Label), v.Device)
	}
	return fmt.Sprintf("%s (%s)", printable(v.Label), v.Device)
}

func (v Volume) seed() bool { return strings.EqualFold(v.Label, sitefile.SeedLabel) }

// Volumes is the seam to the kernel.
type Volumes interface {
	// List names the volumes of the right label that are there now, those of the box
	// itself last.
	List(context.Context) ([]Volume, error)
	// Open makes the files of a volume readable, or writable in place, while use
	// runs; afterwards nothing of it is held. The error of use comes back as it is;
	// one of the volume wraps ErrVolume.
	Open(ctx context.Context, v Volume, writable bool, use func(*os.Root) error) error
}

// ErrVolume says that a volume cannot be read or written.
var ErrVolume = errors.New("the volume cannot be used")

// found is what one volume holds: a file, or what is wrong.
type found struct {
	volume   Volume
	name     string // of the file on the volume
	raw      []byte
	problems []sitefile.Problem
}

func (f found) source() string {
	if f.name == "" {
		return f.volume.String()
	}
	return f.name + " on " + f.volume.String()
}

// mark tells this file on this volume from any other.
func (f found) mark() string { return fmt.Sprintf("%s %x", f.volume, sha256.Sum256(f.raw)) }

func (f found) hasFile() bool { return f.raw != nil }

// blocks tells that somebody meant this volume, although its file cannot be read.
func (f found) blocks() bool {
	return slices.ContainsFunc(f.problems, func(p sitefile.Problem) bool { return p.Kind != KindNoFile })
}

const bringOne = "copy lwc.toml to a USB stick that is formatted as FAT32, call it " + sitefile.VolumeLabel + ", and plug it in"

// search looks for the file on one volume.
func search(ctx context.Context, all Volumes, v Volume) found {
	out := found{volume: v}
	if v.Problem != "" {
		out.problems = []sitefile.Problem{badVolume(v, v.Problem)}
		return out
	}
	err := all.Open(ctx, v, false, func(root *os.Root) error {
		names, err := list(root)
		if err != nil {
			return err
		}
		out.name, out.problems = choose(v, names)
		if out.name != "" {
			out.raw, err = readFile(root, out.name)
		}
		return err
	})
	var folder *notFileError
	switch {
	case errors.As(err, &folder):
		out.problems = []sitefile.Problem{{Kind: KindWrongName, Text: fmt.Sprintf("%s on %s is %s, not a file", out.name, v, folder.what), Do: "remove it, and copy the file lwc.toml to the volume itself"}}
	case err != nil:
		out.raw, out.problems = nil, []sitefile.Problem{badVolume(v, cause(err))}
	}
	return out
}

func badVolume(v Volume, why string) sitefile.Problem {
	do := "format it as FAT32 with the name " + sitefile.VolumeLabel + ", and copy lwc.toml to it again"
	if v.Own {
		do = "flash the image again, and copy lwc.toml to it again; or use a USB stick with the name " + sitefile.VolumeLabel
	}
	return sitefile.Problem{Kind: KindBadVolume, Text: fmt.Sprintf("the volume %s cannot be read: %s", v, why), Do: do}
}

// cause is the part of an error that tells people something.
func cause(err error) string {
	var no syscall.Errno
	if errors.As(err, &no) {
		switch no {
		case syscall.EIO:
			return "reading it fails: the disk or its file system is damaged"
		case syscall.EINVAL:
			return "its file system is damaged"
		}
		return no.Error()
	}
	return printable(strings.TrimPrefix(err.Error(), ErrVolume.Error()+": "))
}

// maxNames bounds what is looked at of a folder.
const maxNames = 512

// list names what is in the volume's own folder.
func list(root *os.Root) ([]string, error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxNames)
	if err != nil && err != io.EOF {
		return nil, err
	}
	slices.Sort(names)
	return names, nil
}

var (
	// copyName is how browsers and file managers call a second copy.
	copyName = regexp.MustCompile(`(?i)^lwc( ?\([0-9]+\)| ?-? ?copy.*| - kopie.*| [0-9])\.toml$`)
	// almostName is what systems that hide endings make of the name.
	almostName = regexp.MustCompile(`(?i)^lwc(\.toml?\.(txt|toml|tom|doc|rtf)|\.txt|\.tml|\.tom|\.conf|\.toml\.[a-z]+|toml|_toml|-toml)$`)
)

// userData is the file of a NoCloud seed that every tool can make.
const userData = "user-data"

// choose takes the one file that is meant, or says why there is none.
func choose(v Volume, names []string) (string, []sitefile.Problem) {
	var right, copies, almost []string
	for _, n := range names {
		switch {
		case strings.EqualFold(n, sitefile.Name):
			right = append(right, n)
		case copyName.MatchString(n):
			copies = append(copies, n)
		case almostName.MatchString(n):
			almost = append(almost, n)
		}
	}
	meant := append(right, copies...)
	switch {
	case len(meant) > 1:
		return "", []sitefile.Problem{{Kind: KindTwoFiles, Text: fmt.Sprintf("the volume %s has %s", v, and(meant)), Do: "remove the ones that are not meant, and call the other lwc.toml"}}
	case len(right) == 1:
		return right[0], nil
	case len(copies)+len(almost) > 0:
		wrong := append(copies, almost...)[0]
		return "", []sitefile.Problem{{Kind: KindWrongName, Text: fmt.Sprintf("the volume %s has %s, and no lwc.toml", v, printable(wrong)),
			Do: "call the file lwc.toml; Windows shows the whole name when \"File name extensions\" is on (View)"}}
	case v.seed() && slices.Contains(names, userData):
		return userData, nil
	}
	do := "copy lwc.toml to it, not into a folder"
	if v.Own {
		do = bringOne
	}
	return "", []sitefile.Problem{{Kind: KindNoFile, Text: fmt.Sprintf("the volume %s has no lwc.toml", v), Do: do}}
}

func and(names []string) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = printable(n)
	}
	if len(out) > 3 {
		out = append(out[:3], "more")
	}
	return strings.Join(out[:len(out)-1], ", ") + " and " + out[len(out)-1]
}

// notFileError says what a name is instead of a file.
type notFileError struct{ what string }

// Error implements error.
func (e *notFileError) Error() string { return "is " + e.what }

// readFile reads one byte more than a file may have, at most: Parse says so then.
func readFile(root *os.Root, name string) ([]byte, error) {
	info, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return nil, &notFileError{"a folder"}
	case mode&fs.ModeSymlink != 0:
		return nil, &notFileError{"a link"}
	case !mode.IsRegular():
		return nil, &notFileError{"a device"}
	}
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, sitefile.MaxSize+1))
	if raw == nil {
		raw = []byte{}
	}
	return raw, err
}
