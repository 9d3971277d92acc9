package provision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"lwc/image/sitefile"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// shelf is volumes that are folders.
type shelf struct {
	volumes   []Volume
	folders   map[string]string // by device
	readOnly  bool              // as a medium is
	opened    int               // for writing
	meanwhile func()            // somebody else does this before it is opened for writing; nil: nothing
}

func (s *shelf) List(context.Context) ([]Volume, error) { return s.volumes, nil }

func (s *shelf) Open(_ context.Context, v Volume, writable bool, use func(*os.Root) error) error {
	if writable {
		s.opened++
		if s.meanwhile != nil {
			s.meanwhile()
		}
		if s.readOnly {
			return fmt.Errorf("%w: %w", ErrVolume, syscall.EROFS)
		}
	}
	root, err := os.OpenRoot(s.folders[v.Device])
	if err != nil {
		return fmt.Errorf("%w: %w", ErrVolume, err)
	}
	return errors.Join(use(root), root.Close())
}

// box is an appliance: folders, and what its provisioner did.
type box struct {
	*Provisioner
	t        *testing.T
	shelf    *shelf
	restarts int
	log      bytes.Buffer
}

func newBox(t *testing.T) *box {
	t.Helper()
	dir := t.TempDir()
	b := &box{t: t, shelf: &shelf{folders: map[string]string{}}}
	for _, name := range []string{"run", "lwcd"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.Provisioner = &Provisioner{Settings: filepath.Join(dir, "settings"), RAM: filepath.Join(dir, "run"), State: filepath.Join(dir, "lwcd")}
	b.boot()
	return b
}

// boot starts the box anew: what is in RAM is gone.
func (b *box) boot() {
	b.t.Helper()
	if err := errors.Join(os.RemoveAll(b.RAM), os.Mkdir(b.RAM, 0o755)); err != nil {
		b.t.Fatal(err)
	}
	b.Provisioner = &Provisioner{Volumes: b.shelf, Settings: b.Settings, RAM: b.RAM, State: b.State,
		Check:   func(*sitefile.File) []sitefile.Problem { return nil },
		Restart: func(context.Context) error { b.restarts++; return nil },
		Log:     slog.New(slog.NewJSONHandler(&b.log, nil))}
}

// plug puts a stick with files in; a name that ends with / is a folder.
func (b *box) plug(device, label string, own bool, files map[string]string) {
	b.t.Helper()
	dir := b.t.TempDir()
	for name, text := range files {
		err := os.WriteFile(filepath.Join(dir, strings.TrimSuffix(name, "/")), []byte(text), 0o600)
		if strings.HasSuffix(name, "/") {
			err = errors.Join(os.Remove(filepath.Join(dir, name)), os.Mkdir(filepath.Join(dir, name), 0o700))
		}
		if err != nil {
			b.t.Fatal(err)
		}
	}
	b.shelf.folders[device] = dir
	b.shelf.volumes = append(b.shelf.volumes, Volume{Device: device, Label: label, FS: "vfat", Own: own})
}

func (b *box) unplugAll() { b.shelf.volumes = nil }

// look looks once, and reads the status as the screen does.
func (b *box) look() Status {
	b.t.Helper()
	if _, err := b.Look(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
	s, err := ReadStatus(filepath.Join(b.RAM, statusFile))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

// want looks once more and compares state, kinds of problems and a word of the first.
func (b *box) want(state State, kinds string, words string) Status {
	b.t.Helper()
	s := b.look()
	var got []string
	for _, p := range s.Problems {
		got = append(got, string(p.Kind))
	}
	if s.State != state || strings.Join(got, " ") != kinds || words != "" && !strings.Contains(fmt.Sprint(s.Problems), words) {
		b.t.Errorf("status is %s %v, want %s %s %q:\n%+v", s.State, got, state, kinds, words, s)
	}
	return s
}

func (b *box) read(folder, name string) string {
	text, err := os.ReadFile(filepath.Join(folder, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		b.t.Fatal(err)
	}
	return string(text)
}

// enrol does what lwcd does once the cloud took the token.
func (b *box) enrol() {
	b.t.Helper()
	err := errors.Join(os.WriteFile(filepath.Join(b.State, certFile), []byte("cert"), 0o600), os.Remove(filepath.Join(b.RAM, tokenFile)))
	if err != nil {
		b.t.Fatal(err)
	}
}

func token(id string) string {
	return string(wire.Token{Sort: wire.EnrolToken, URL: "https://192.0.2.1", CAPin: [32]byte{1}, ID: id, Secret: secret.FromString("0123456789abcdef")}.Encode().Reveal())
}

// site is a good file; an empty id leaves the token out.
func site(id, address string) string {
	f := sitefile.File{}
	if id != "" {
		f.Token = secret.FromString(token(id))
	}
	f.Internal.Port = sitefile.Port{MAC: "52:54:00:12:34:56", Addresses: []string{address}}
	f.External.Port = sitefile.Port{MAC: "52:54:00:12:34:57", DHCP: true}
	return strings.ReplaceAll(string(sitefile.Template(f)), "token = \"\"\n", "")
}

// place is where part begins in text, in the words of a problem.
func place(text, part string) string {
	before, _, _ := strings.Cut(text, part)
	return fmt.Sprintf("line %d, column %d", strings.Count(before, "\n")+1, len(before)-strings.LastIndex(before, "\n"))
}

func mkfifo(path string) error { return syscall.Mkfifo(path, 0o600) }
