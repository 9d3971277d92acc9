package release

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ErrManifest: the manifest is signed, but says what no release can be.
var ErrManifest = errors.New("not a manifest of a release")

// Format is the version of the manifest's form. A box refuses one that it does not
// know: what is new in it may be what keeps the box safe.
const Format = 1

// Role is what a file is for.
type Role string

// The roles. A release has one file of each, in this order.
const (
	Root   Role = "root"   // the file system
	Verity Role = "verity" // the hashes of its blocks
	UKI    Role = "uki"    // kernel, initrd and the hash of the hashes
)

// Roles returns all roles in the order that a release has them in.
func Roles() []Role { return []Role{Root, Verity, UKI} }

// The largest files, far above what a slot holds; what fits is for the box to find
// out.
const (
	maxRoot   = 1 << 30
	maxVerity = 64 << 20
	maxUKI    = 256 << 20
)

// limit returns the size that a file of this role has at most; 0: no such role.
func (r Role) limit() int64 {
	switch r {
	case Root:
		return maxRoot
	case Verity:
		return maxVerity
	case UKI:
		return maxUKI
	}
	return 0
}

// Packing is appended to a file's name when it is packed.
const Packing = ".zst"

// Manifest says what a release is. The zero value is none.
type Manifest struct {
	V       int    `json:"v"`       // Format
	Version string `json:"version"` // MAJOR.MINOR.PATCH
	// Floor is the oldest version that may take this step; an older one needs another
	// release in between. Empty: any.
	Floor    string    `json:"floor,omitempty"`
	Security bool      `json:"security,omitempty"` // it closes a hole: who defers updates gets it all the same
	Created  time.Time `json:"created"`
	Notes    string    `json:"notes,omitempty"` // for the administrator, plain text
	Files    []File    `json:"files"`           // one for each of Roles, in that order
}

// File is one file of a release.
type File struct {
	Role   Role   `json:"role"`
	Name   string `json:"name"` // as systemd-sysupdate knows it: lwc_VERSION.root-ID.raw, .verity-ID.raw, .efi
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // lower case hex

	PackedName   string `json:"packed_name"` // Name and ".zst"
	PackedSize   int64  `json:"packed_size"`
	PackedSHA256 string `json:"packed_sha256"`
}

// maxNotes bounds the notes, in bytes.
const maxNotes = 4 << 10

var (
	hexHash = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// partition is a partition's UUID as mkosi writes it into a name: the first and
	// the second half of the root hash.
	partition = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// Check returns an ErrManifest unless the manifest is whole and in order.
func (m Manifest) Check() error {
	if m.V != Format {
		return bad("its format is %d, known here is %d", m.V, Format)
	}
	if err := CheckVersion(m.Version); err != nil {
		return bad("its version: %v", err)
	}
	if m.Floor != "" {
		if err := CheckVersion(m.Floor); err != nil {
			return bad("its floor: %v", err)
		}
		if Compare(m.Floor, m.Version) >= 0 {
			return bad("its floor %s is not below its version %s", m.Floor, m.Version)
		}
	}
	if m.Created.IsZero() {
		return bad("it does not say when it was made")
	}
	if err := checkNotes(m.Notes); err != nil {
		return err
	}
	return m.checkFiles()
}

func (m Manifest) checkFiles() error {
	roles := Roles()
	if len(m.Files) != len(roles) {
		return bad("it has %d files instead of %d", len(m.Files), len(roles))
	}
	for i, f := range m.Files {
		if f.Role != roles[i] {
			return bad("file %d is %.20q instead of %q", i+1, f.Role, roles[i])
		}
		if err := f.check(m.Version); err != nil {
			return err
		}
	}
	return nil
}

func (f File) check(version string) error {
	switch {
	case !f.named(version):
		return bad("the name %.120q does not belong to the %s of %s", f.Name, f.Role, version)
	case f.PackedName != f.Name+Packing:
		return bad("the packed name %.120q is not %s", f.PackedName, f.Name+Packing)
	case f.Size <= 0 || f.Size > f.Role.limit():
		return bad("the size of %s is %d, at most %d is possible", f.Name, f.Size, f.Role.limit())
	case f.PackedSize <= 0 || f.PackedSize > packedLimit(f.Size):
		return bad("the packed size of %s is %d, at most %d is possible", f.Name, f.PackedSize, packedLimit(f.Size))
	case !hexHash.MatchString(f.SHA256) || !hexHash.MatchString(f.PackedSHA256):
		return bad("a hash of %s is no SHA-256 in lower case hex", f.Name)
	}
	return nil
}

// packedLimit is what zstd makes of bytes that do not shrink: 3 more for each block
// of 128 KiB (RFC 8878, section 3.1.1.2), and a frame's header and checksum.
func packedLimit(size int64) int64 { return size + size>>15 + 1024 }

// named tells whether the name is the one that belongs to role and version.
func (f File) named(version string) bool {
	start := "lwc_" + version + "."
	if f.Role == UKI {
		return f.Name == start+"efi"
	}
	id, ok := strings.CutPrefix(f.Name, start+string(f.Role)+"-")
	if !ok {
		return false
	}
	id, ok = strings.CutSuffix(id, ".raw")
	return ok && partition.MatchString(id)
}

// Partition returns the UUID of the partition that the file is written to, in 32
// digits; empty for a file that is none.
func (f File) Partition() string {
	_, id, _ := strings.Cut(f.Name, "."+string(f.Role)+"-")
	return strings.TrimSuffix(id, ".raw")
}

// File returns the file of a role; nil when there is none.
func (m Manifest) File(r Role) *File {
	for i := range m.Files {
		if m.Files[i].Role == r {
			return &m.Files[i]
		}
	}
	return nil
}

// PackedSize is how many bytes are downloaded for the release, its manifest aside.
func (m Manifest) PackedSize() (sum int64) {
	for _, f := range m.Files {
		sum += f.PackedSize
	}
	return sum
}

func checkNotes(s string) error {
	if len(s) > maxNotes || !utf8.ValidString(s) {
		return bad("its notes are no text of at most %d bytes", maxNotes)
	}
	for _, r := range s {
		if r != '\n' && !unicode.IsPrint(r) {
			return bad("its notes hold the character %U", r)
		}
	}
	return nil
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrManifest}, args...)...)
}
