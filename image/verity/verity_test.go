package verity

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"lwc/image/verity/veritytest"
)

// pattern is a root of so many blocks of 512 bytes; the second half of it are zeros.
func pattern(blocks int) []byte {
	b := make([]byte, blocks*512)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(b[:len(b)/2]) // never fails
	return b
}

// What veritysetup(8) of cryptsetup 2.6 makes of the pattern:
//
//	veritysetup format root hashes --data-block-size=512 --hash-block-size=512 \
//	  --salt=$(printf salt | sha256sum | cut -d' ' -f1)
func TestTreeIsThatOfVeritysetup(t *testing.T) {
	for blocks, want := range map[int]string{
		2:   "7680198d4ac0726a61b427e5bd1eef26b2e579dd554eeb45b467590d54796f6f",
		17:  "d67999be663dcc2243e4a2d0f3a57639e61efe95ed3792df649fc78606e85223",
		700: "d03c3e1f0211ca6e3cdef939701bc5911f304963183504bd75e54d7b2026fc69",
	} {
		root := pattern(blocks)
		hashes, got := veritytest.Tree(root)
		if got != want {
			t.Errorf("%d blocks: the root hash is %s", blocks, got)
		}
		if err := Check(t.Context(), bytes.NewReader(root), bytes.NewReader(hashes), want); err != nil {
			t.Errorf("%d blocks: %v", blocks, err)
		}
	}
}

// Whichever byte of the root or of its hashes is another one is found.
func TestOtherRoots(t *testing.T) {
	good := pattern(700)
	tree, want := veritytest.Tree(good)
	for _, c := range []struct {
		about        string
		root, hashes int // the byte that changes; -1: none
		hash         string
	}{
		{"a root", 7 * 512, -1, want}, {"its last byte", len(good) - 1, -1, want}, {"the top hash", -1, 512, want},
		{"a hash below", -1, 512 * 3, want}, {"the last hash", -1, len(tree) - 512, want}, {"the magic", -1, 0, want},
		{"the version", -1, 8, want}, {"the algorithm", -1, 32, want}, {"the size of blocks", -1, 64, want}, {"of those of hashes", -1, 69, want},
		{"a salt", -1, 88, want}, {"a salt too long", -1, 81, want}, {"the root hash", -1, -1, strings.Repeat("ab", 32)}, {"no root hash", -1, -1, "ab"},
	} {
		root, hashes := bytes.Clone(good), bytes.Clone(tree)
		if c.root >= 0 {
			root[c.root] ^= 1
		}
		if c.hashes >= 0 {
			hashes[c.hashes] ^= 6
		}
		if err := Check(t.Context(), bytes.NewReader(root), bytes.NewReader(hashes), c.hash); !errors.Is(err, ErrOther) {
			t.Errorf("%s: %v", c.about, err)
		}
	}
	if err := Check(t.Context(), bytes.NewReader(good[:len(good)-1]), bytes.NewReader(tree), want); err == nil {
		t.Error("a root that is cut off was taken")
	}
	if err := Check(t.Context(), bytes.NewReader(good), bytes.NewReader(tree[:600]), want); err == nil {
		t.Error("a tree that is cut off was taken")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Check(ctx, bytes.NewReader(good), bytes.NewReader(tree), want); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestNamed(t *testing.T) {
	one, two := "roothash="+strings.Repeat("0a", 32), "roothash="+strings.Repeat("0b", 32)
	for _, c := range []struct {
		about string
		lines []string
		ok    bool
	}{
		{"one profile", []string{"quiet " + one}, true}, {"two profiles", []string{one + " quiet", one + " factory"}, true},
		{"two hashes", []string{one, two}, false}, {"two in a line", []string{one + " " + one}, false}, {"one without", []string{one, "quiet"}, false},
		{"short", []string{"roothash=0a"}, false}, {"none", []string{"quiet"}, false}, {"no line", nil, false}, {"part of a word", []string{"xroothash=" + strings.Repeat("0a", 32)}, false},
	} {
		got, err := Named(bytes.NewReader(veritytest.Kernel(c.lines...)))
		if (err == nil) != c.ok || c.ok && "roothash="+got != one {
			t.Errorf("%s: %q, %v", c.about, got, err)
		}
	}
	if _, err := Named(strings.NewReader("no program at all")); err == nil {
		t.Error("a text was taken for a kernel")
	}
}

// FuzzCheck: only what is as it was is taken, whatever the superblock says.
func FuzzCheck(f *testing.F) {
	root := pattern(40)
	tree, want := veritytest.Tree(root)
	f.Add(tree)
	long := bytes.Clone(tree)
	binary.LittleEndian.PutUint64(long[72:], 1<<62)
	f.Add(long)
	f.Fuzz(func(t *testing.T, hashes []byte) {
		err := Check(t.Context(), bytes.NewReader(root), bytes.NewReader(hashes), want)
		if err == nil && (len(hashes) < len(tree) || !bytes.Equal(hashes[512:len(tree)], tree[512:])) {
			t.Error("another tree was taken")
		}
	})
}
