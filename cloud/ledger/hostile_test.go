package ledger_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"lwc/cloud/ledger"
	"lwc/transport/wire"
)

// packed makes a file of an export by hand: a head, and what else is written.
func packed(t *testing.T, head string, write func(*tar.Writer)) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	put(t, w, "ledger.json", strings.NewReader(head), int64(len(head)))
	write(w)
	must(t, w.Close())
	must(t, z.Close())
	return b.Bytes()
}

func put(t *testing.T, w *tar.Writer, name string, r io.Reader, size int64) {
	t.Helper()
	must(t, w.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, Typeflag: tar.TypeReg}))
	_, err := io.CopyN(w, r, size)
	must(t, err)
}

// forever repeats a text.
type forever struct {
	text string
	at   int
}

func (f *forever) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = f.text[f.at%len(f.text)]
		f.at++
	}
	return len(p), nil
}

const plainHead = `{"v":1,"collector":"` + collector + `","documents":"bytes"}`

// holes is a tar of one file that claims a size with holes alone, in the form that
// GNU tar calls PAX 0.1.
func holes(t *testing.T, name, size string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	// The library writes no record that it knows itself: these are put in by hand.
	records := ""
	for _, kv := range []string{"GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.name=" + name, "GNU.sparse.size=" + size,
		"GNU.sparse.numblocks=1", "GNU.sparse.map=" + size + ",0"} {
		n := len(kv) + 3
		for len(fmt.Sprintf("%d %s\n", n, kv)) != n {
			n++
		}
		records += fmt.Sprintf("%d %s\n", n, kv)
	}
	must(t, w.WriteHeader(&tar.Header{Name: "x", Size: int64(len(records)), Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}))
	_, err := io.WriteString(w, records)
	must(t, err)
	must(t, w.Flush())
	out := b.Bytes()
	out[156] = tar.TypeXHeader // and the sum of the header, which is 6 octal digits
	sum := 0
	for i, c := range out[:512] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int(c)
	}
	copy(out[148:], fmt.Sprintf("%06o\x00 ", sum))
	must(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}))
	must(t, w.Flush())
	return b.Bytes()
}

// An export from anywhere is refused before it costs more than it weighs.
func TestHostileExports(t *testing.T) {
	id := wire.NewID()
	der, err := x509.MarshalPKIXPublicKey(newSite(t).key.Public())
	must(t, err)
	key := base64.StdEncoding.EncodeToString(der)
	many := func(dir, text string, size int64) []byte {
		return packed(t, plainHead, func(w *tar.Writer) { put(t, w, dir, &forever{text: text}, size) })
	}
	for name, c := range map[string]struct {
		file []byte
		says string
	}{
		"a manifest without an end":    {many("manifests/000001.json", " ", 64<<20+1), "a file of more than 67108864 bytes"},
		"a manifest of empty entries":  {many("manifests/000001.json", "{},", 4<<20), "a file of more than 1048576 entries"},
		"a signature of empty entries": {many("manifests/000001.dsse.json", "{},", 4<<20), "a file of more than 1048576 entries"},
		"records without an end":       {many("documents/000001.jsonl", "{}\n", 4<<20), "a file of more than 1048576 entries"},
		"a name that is no document": {packed(t, plainHead, func(w *tar.Writer) { put(t, w, "bytes/"+strings.Repeat("a", 200)+".xml", &forever{text: "x"}, 10) }),
			"is named by no document"},
		"keys without an end": {packed(t, `{"v":1,"collector":"`+collector+`","documents":"none","keys":["`+key+`"`+strings.Repeat(`,"`+key+`"`, 300)+`]}`, func(*tar.Writer) {}), "ledger.json"},
		"a link": {packed(t, plainHead, func(w *tar.Writer) {
			must(t, w.WriteHeader(&tar.Header{Name: "bytes/" + id + ".xml", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}))
		}), "not an ordinary file"},
	} {
		_, err := ledger.Verify(bytes.NewReader(c.file))
		if !errors.Is(err, ledger.ErrFormat) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s, %d bytes: %v, want %q", name, len(c.file), err, c.says)
		}
	}
}

// A file whose holes claim a size beyond any disk is not hashed for years.
func TestHolesInAnExport(t *testing.T) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	head := tar.NewWriter(z)
	put(t, head, "ledger.json", strings.NewReader(plainHead), int64(len(plainHead)))
	must(t, head.Flush())
	_, err := z.Write(holes(t, "bytes/"+wire.NewID()+".xml", "1000000000000000000"))
	must(t, err)
	must(t, z.Close())
	if _, err := ledger.Verify(&b); !errors.Is(err, ledger.ErrFormat) || !strings.Contains(err.Error(), "has holes") {
		t.Errorf("%v", err)
	}
}
