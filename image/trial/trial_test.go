package trial

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestEntries(t *testing.T) {
	esp := t.TempDir()
	folder := filepath.Join(esp, "EFI/Linux")
	if _, err := ESP(esp, filepath.Join(esp, "x")); err == nil || !strings.Contains(err.Error(), "holds EFI/Linux") {
		t.Errorf("%v", err)
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"lwc_1.0.0.efi", "lwc_1.1.0+3-0.efi", "lwc_1.2.0+0-3.efi", "lwc_1.3.0+2.efi", "lwc_1.4.efi", ".#sysupdatelwc_1.5.0.efi12", "other_1.0.0.efi", "lwc_1.0.0+.efi"} {
		if err := os.WriteFile(filepath.Join(folder, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Entries(esp)
	want := []Entry{{"lwc_1.0.0.efi", "1.0.0", false, 0, 0}, {"lwc_1.1.0+3-0.efi", "1.1.0", true, 3, 0},
		{"lwc_1.2.0+0-3.efi", "1.2.0", true, 0, 3}, {"lwc_1.3.0+2.efi", "1.3.0", true, 2, 0}}
	if err != nil || !slices.Equal(slices.SortedFunc(slices.Values(got), func(a, b Entry) int { return strings.Compare(a.Version, b.Version) }), want) {
		t.Errorf("%+v, %v", got, err)
	}
	if at, err := ESP(filepath.Join(esp, "x"), esp); err != nil || at != esp {
		t.Errorf("%s, %v", at, err)
	}
}

func TestNotes(t *testing.T) {
	folder := t.TempDir()
	if _, err := LoadFault(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	for _, f := range []Fault{{Version: "1.2.0", Text: "ports", At: time.Unix(1, 0).UTC()}, {Version: "1.3.0", Text: "again"}} {
		if err := SaveFault(folder, f); err != nil {
			t.Fatal(err)
		}
		f.V = 1
		if got, err := LoadFault(folder); err != nil || got != f {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if list, err := os.ReadDir(folder); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	for range 2 { // one that is gone is no error
		if err := DropFault(folder); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadFault(folder); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v", err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, faultFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadFault(folder); err == nil {
		t.Error("half a file was read")
	}
}

func FuzzEntry(f *testing.F) {
	f.Add("lwc_1.1.0+3-0.efi")
	f.Add("lwc_1.1.0+99999-0.efi")
	f.Fuzz(func(t *testing.T, name string) {
		if e, ok := parse(name); ok && (e.Name != name || e.Left < 0 || e.Done < 0 || e.Left > 9999 || strings.ContainsAny(e.Version, "/+")) {
			t.Errorf("%+v", e)
		}
	})
}
