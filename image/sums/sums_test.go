package sums_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lwc/image/release"
	"lwc/image/sums"
	"lwc/testdata/need"
)

// key is a release key of a test.
func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func trust(keys ...ed25519.PrivateKey) (out []ed25519.PublicKey) {
	for _, k := range keys {
		out = append(out, k.Public().(ed25519.PublicKey))
	}
	return out
}

// download is a folder as somebody has it who downloaded a release: the image, the list
// of checksums and its signature.
type download struct {
	t   *testing.T
	dir string
}

const (
	image = "lwc_1.2.3.img.zst"
	list  = "lwc_1.2.3" + sums.Suffix
)

func newDownload(t *testing.T) download {
	t.Helper()
	d := download{t, t.TempDir()}
	d.put(image, "the image")
	d.put("lwc_1.2.3.ova", "another form")
	d.list(list, key(1), "release.key.pem", image, "lwc_1.2.3.ova")
	return d
}

func (d download) path(name string) string { return filepath.Join(d.dir, name) }

func (d download) put(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(d.path(name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// list makes a list of files, signed by a key.
func (d download) list(name string, k ed25519.PrivateKey, file string, files ...string) {
	d.t.Helper()
	for i := range files {
		files[i] = d.path(files[i])
	}
	l, err := sums.Of(d.t.Context(), files)
	if err != nil {
		d.t.Fatal(err)
	}
	sig, err := sums.Sign(l.Text(), k)
	if err != nil {
		d.t.Fatal(err)
	}
	d.put(name, string(l.Text()))
	d.put(sums.SignatureName(name, file), string(sig))
}

// other puts an older release beside it.
func (d download) other(name string) {
	d.t.Helper()
	d.put(name+".img.zst", "old")
	d.list(name+sums.Suffix, key(1), "release.key.pem", name+".img.zst")
}

func (d download) remove(name string) {
	d.t.Helper()
	if err := os.Remove(d.path(name)); err != nil {
		d.t.Fatal(err)
	}
}

func (d download) text(name string) string {
	d.t.Helper()
	b, err := os.ReadFile(d.path(name))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}

// What was downloaded is taken only when it is what a trusted key has signed.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(d download)
		file    string // empty: the image
		list    string
		trusted []ed25519.PublicKey // nil: key 1
		want    error
		words   string
	}{
		"good":                {},
		"the list is named":   {list: list},
		"another form":        {file: "lwc_1.2.3.ova"},
		"a key of two":        {trusted: trust(key(2), key(1))},
		"the list of Windows": {change: func(d download) { d.sign(strings.ReplaceAll(d.text(list), "\n", "\r\n"), 1) }},
		"one bit":             {change: func(d download) { d.put(image, "the imagf") }, want: sums.ErrDiffers, words: "fetch it again, and do not use this one"},
		"cut off":             {change: func(d download) { d.put(image, "the ima") }, want: sums.ErrDiffers},
		"another key":         {trusted: trust(key(2)), want: sums.ErrSignature},
		"a changed list": {change: func(d download) {
			d.put(image, "evil")
			d.list("x"+sums.Suffix, key(3), "release.key.pem", image)
			d.put(list, d.text("x"+sums.Suffix))
		},
			want: sums.ErrSignature},
		"a list of somebody else's": {change: func(d download) { d.put(image, "evil"); d.list(list, key(3), "release.key.pem", image) }, want: sums.ErrSignature},
		"no signature":              {change: func(d download) { d.remove(list + ".sig") }, want: sums.ErrUnsigned, words: list + ".sig: fetch it"},
		"an empty signature":        {change: func(d download) { d.put(list+".sig", "") }, want: sums.ErrSignature},
		"a long signature":          {change: func(d download) { d.put(list+".sig", strings.Repeat("x", 1<<20)) }, want: sums.ErrSignature},
		"no list":                   {change: func(d download) { d.remove(list) }, want: sums.ErrNoList, words: "put the list of its release there"},
		"another name":              {change: func(d download) { d.put("image.img.zst", "the image") }, file: "image.img.zst", want: sums.ErrNoList, words: "the name that it was downloaded under"},
		"an unpacked one":           {change: func(d download) { d.put("lwc_1.2.3.img", "unpacked") }, file: "lwc_1.2.3.img", want: sums.ErrNoList, words: "has " + image + ": check that one"},
		"an older one under its name": {change: func(d download) {
			d.put("lwc_1.0.0.img.zst", "old")
			d.list("lwc_1.0.0"+sums.Suffix, key(1), "release.key.pem", "lwc_1.0.0.img.zst")
			d.put(image, "old")
		}, want: sums.ErrDiffers},
		"an older list beside it": {change: func(d download) {
			d.put("lwc_1.0.0.img.zst", "old")
			d.list("lwc_1.0.0"+sums.Suffix, key(1), "release.key.pem", "lwc_1.0.0.img.zst")
		}},
		"a damaged one, and an older list without a signature": {change: func(d download) {
			d.other("lwc_1.0.0")
			d.remove("lwc_1.0.0" + sums.Suffix + ".sig")
			d.put(image, "the imagf")
		}, want: sums.ErrDiffers, words: list + " says"},
		"no signature, and an older list of somebody else's": {change: func(d download) {
			d.other("lwc_1.0.0")
			d.remove(list + ".sig")
			d.put("lwc_1.0.0"+sums.Suffix+".sig", "")
		}, want: sums.ErrUnsigned, words: list + ".sig: fetch it"},
		"an unpacked one, and an older list without a signature": {change: func(d download) {
			d.other("lwc_1.0.0")
			d.remove("lwc_1.0.0" + sums.Suffix + ".sig")
			d.put("lwc_1.2.3.img", "unpacked")
		}, file: "lwc_1.2.3.img", want: sums.ErrNoList, words: "has " + image + ": check that one"},
		"the other key's signature, too": {change: func(d download) { d.list(list, key(2), "release-2.key.pem", image) }, trusted: trust(key(2))},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDownload(t)
			if c.change != nil {
				c.change(d)
			}
			if c.file == "" {
				c.file = image
			}
			if c.list != "" {
				c.list = d.path(c.list)
			}
			if c.trusted == nil {
				c.trusted = trust(key(1))
			}
			got, err := sums.Check(t.Context(), d.path(c.file), c.list, c.trusted)
			if !errors.Is(err, c.want) || c.want == nil && err != nil || err != nil && !strings.Contains(err.Error(), c.words) {
				t.Fatalf("%v, want %v: %s", err, c.want, c.words)
			}
			if err == nil && (got.Key == nil || len(got.SHA256) != 64 || got.List != d.path(list)) {
				t.Errorf("%+v", got)
			}
		})
	}
}

// sign signs another text for the list.
func (d download) sign(text string, n byte) {
	d.t.Helper()
	sig, err := sums.Sign([]byte(text), key(n))
	if err != nil {
		d.t.Fatal(err)
	}
	d.put(list, text)
	d.put(list+".sig", string(sig))
}

// Without keys the sum is compared, and nothing is said of who made the list.
func TestCheckWithoutKeys(t *testing.T) {
	d := newDownload(t)
	d.remove(list + ".sig")
	if got, err := sums.Check(t.Context(), d.path(image), "", nil); err != nil || got.Key != nil {
		t.Errorf("%+v, %v", got, err)
	}
	d.put(image, "another")
	if _, err := sums.Check(t.Context(), d.path(image), "", nil); !errors.Is(err, sums.ErrDiffers) {
		t.Errorf("%v", err)
	}
}

// Nothing is signed that is not a list, least of all what a box believes.
func TestOnlyListsAreSigned(t *testing.T) {
	sum := strings.Repeat("a", 64)
	for _, text := range []string{"", "\n", "x", sum, sum + " name", sum + "  a/b", sum + "  ../b", sum + "  -x", sum[1:] + "  name", strings.ToUpper(sum) + "  name",
		sum + "  name\n\n", sum + "  name\n" + sum + "  name\n", "DSSEv1 4 text 1 x", strings.Repeat(sum+"  name\n", 1000)} {
		if sig, err := sums.Sign([]byte(text), key(1)); err == nil || sig != nil {
			t.Errorf("%.80q is signed", text)
		}
	}
}

// Openssl and sha256sum, which people have, say the same.
func TestOthersCanCheck(t *testing.T) {
	openssl, sha256sum := need.Program(t, "openssl"), need.Program(t, "sha256sum")
	d := newDownload(t)
	public, err := release.MarshalKey(trust(key(1))[0])
	if err != nil {
		t.Fatal(err)
	}
	d.put("release.pub.pem", string(public))
	verify := func() error {
		cmd := exec.CommandContext(t.Context(), openssl, "pkeyutl", "-verify", "-pubin", "-inkey", "release.pub.pem", "-rawin", "-in", list, "-sigfile", list+".sig")
		cmd.Dir = d.dir
		return cmd.Run()
	}
	if err := verify(); err != nil {
		t.Errorf("openssl: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), sha256sum, "-c", "--ignore-missing", list)
	cmd.Dir = d.dir
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), image+": OK") {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	d.put(list, d.text(list)+"\n")
	if err := verify(); err == nil {
		t.Error("openssl takes a list that was changed")
	}
}

func FuzzParse(f *testing.F) {
	sum := strings.Repeat("0", 64)
	for _, s := range []string{"", sum + "  lwc_1.2.3.img.zst\n" + sum + " *b\r\n", sum + "  a\n" + sum + "  a\n", sum + "  ../x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		l, err := sums.Parse(text)
		if (err == nil) != (len(l) > 0) {
			t.Fatalf("%v, %v", l, err)
		}
		again, err2 := sums.Parse(l.Text())
		if err == nil && (err2 != nil || !slices.Equal(again, l)) {
			t.Errorf("%v: %v, %v", l, again, err2)
		}
		for _, e := range l {
			if filepath.Base(e.Name) != e.Name || strings.HasPrefix(e.Name, ".") {
				t.Errorf("the name %q", e.Name)
			}
		}
	})
}
