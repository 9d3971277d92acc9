package main

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"lwc/image/seal"
)

// Who asks for help gets it on standard output, and no error.
func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"-h"}, {"help"}, {"keys", "--help"}} {
		var out, errs strings.Builder
		err := run(t.Context(), args, &out, &errs)
		if err != nil && !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "sign release --keys DIR") || errs.Len() != 0 {
			t.Errorf("%q: %v\n%s%s", args, err, &out, &errs)
		}
	}
	if err := run(t.Context(), []string{"release", "--help"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("release --help: %v", err)
	}
	if err := run(t.Context(), []string{"sums", "--help"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("sums --help: %v", err)
	}
	for _, args := range [][]string{nil, {"what"}, {"keys"}, {"keys", "--what"}, {"sums"}, {"sums", "x.SHA256SUMS"}, {"sums", "--keys", "x"}, {"sums", "--keys", "x", "--out", "x.SHA256SUMS"},
		{"sums", "--keys", "x", "a", "b"}, {"sums", "--keys", "x", "--out", "x.SHA256SUMS", "elsewhere/a"}} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil || errors.Is(err, flag.ErrHelp) {
			t.Errorf("%q is taken: %v", args, err)
		}
	}
}

// What was cut off on the way is not signed as if it were whole.
func TestWhatIsCutOffIsNotSigned(t *testing.T) {
	e, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := e.EncodeAll([]byte(strings.Repeat("an image, ", 1<<20)), nil)
	for name, size := range map[string]int{"whole": len(packed), "cut off": len(packed) - 7} {
		image := filepath.Join(t.TempDir(), "lwc.img.zst")
		if err := os.WriteFile(image, packed[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		signed := false
		err := rawCopy(t.Context(), image, image+".signed", func(string) error { signed = true; return nil })
		if whole := size == len(packed); whole != signed || whole != (err == nil) || !whole && !strings.Contains(err.Error(), "it is cut off: fetch it again") {
			t.Errorf("%s: signed %v, %v", name, signed, err)
		}
	}
}

func TestTheFolderOfTheResultIsThere(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for _, command := range []string{"image", "release"} {
		err := run(t.Context(), []string{command, "--keys", "x", "--out", filepath.Join(none, "y"), "lwc.img"}, io.Discard, io.Discard)
		if err == nil || err.Error() != "the folder "+none+" of --out does not exist: make it first" {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// The page on signing says of each file that keys makes what it is for.
func TestThePageNamesEachKey(t *testing.T) {
	text, err := os.ReadFile("../../docs/signing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n## The keys\n")
	table, _, _ = strings.Cut(table, "\n## ")
	// Without the tools that the .auth files need, the keys themselves are made all the same.
	made, err := seal.MakeKeys(t.Context(), t.TempDir())
	if len(made) < 8 {
		t.Fatalf("made %q: %v", made, err)
	}
	for _, name := range made {
		if !strings.Contains(table, "`"+name+"`") && !strings.Contains(table, "/"+name) {
			t.Errorf("the table of docs/signing.md does not name %s", name)
		}
	}
}
