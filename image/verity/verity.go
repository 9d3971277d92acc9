// Package verity tells whether a root is the one that a kernel starts: whether the hash
// on the kernel's command line is that of the tree of hashes, and the tree that of the
// root. A box that got this wrong would find out at the next start, with nothing but its
// boot loader to help it.
//
// [Named] reads the hash from a unified kernel image, [Check] compares. The form of the
// tree is that of veritysetup(8), Documentation/admin-guide/device-mapper/verity.rst of
// Linux and the "DMVerity" page of cryptsetup's wiki.
package verity

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
)

// ErrOther says that a root or its tree is another one than the hash is of.
var ErrOther = errors.New("the root and its hashes are not those that the kernel starts")

// The bounds of a tree: blocks as Linux takes them, and as many bytes of hashes as a slot
// could ever hold.
const (
	superblock = 512
	minBlock   = 512
	maxBlock   = 4096
	maxTree    = 128 << 20
)

// tree is what the superblock says.
type tree struct {
	dataBlock, hashBlock int64
	blocks               int64 // of data
	salt                 []byte
	levels               []level // the top one first
}

// level is a row of blocks of hashes, each of which is over a block of the row below.
type level struct{ start, blocks int64 }

// Check reads a root and its tree of hashes and compares them with the root hash, 64
// digits. Where they differ the error is ErrOther.
func Check(ctx context.Context, root, hashes io.ReaderAt, want string) error {
	t, err := readTree(hashes)
	if err != nil {
		return err
	}
	above, err := hex.DecodeString(want)
	if err != nil || len(above) != sha256.Size {
		return fmt.Errorf("%w: %.80q is no root hash", ErrOther, want)
	}
	for _, l := range t.levels {
		row := make([]byte, l.blocks*t.hashBlock)
		if _, err := hashes.ReadAt(row, l.start); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("reading the hashes of the root: %w", err)
		}
		if err := t.compare(ctx, bytes.NewReader(row), t.hashBlock, l.blocks, above); err != nil {
			return fmt.Errorf("the hashes at byte %d: %w", l.start, err)
		}
		above = row
	}
	if err := t.compare(ctx, io.NewSectionReader(root, 0, t.blocks*t.dataBlock), t.dataBlock, t.blocks, above); err != nil {
		return fmt.Errorf("the root: %w", err)
	}
	return nil
}

// readTree reads the superblock, and lays the rows out: they follow it, the top one first.
func readTree(hashes io.ReaderAt) (tree, error) {
	b := make([]byte, superblock)
	if _, err := hashes.ReadAt(b, 0); err != nil {
		return tree{}, fmt.Errorf("reading the hashes of the root: %w", err)
	}
	le := binary.LittleEndian
	t := tree{dataBlock: int64(le.Uint32(b[64:])), hashBlock: int64(le.Uint32(b[68:])), blocks: int64(le.Uint64(b[72:]))}
	saltSize := int(le.Uint16(b[80:]))
	switch {
	case !bytes.HasPrefix(b, []byte("verity\x00\x00")) || le.Uint32(b[8:]) != 1 || le.Uint32(b[12:]) != 1:
		return t, fmt.Errorf("%w: the hashes have no superblock that is known", ErrOther)
	case string(bytes.TrimRight(b[32:64], "\x00")) != "sha256" || saltSize > 256:
		return t, fmt.Errorf("%w: the hashes are not of SHA-256 with a salt", ErrOther)
	case !isBlock(t.dataBlock) || !isBlock(t.hashBlock) || t.blocks < 1 || t.blocks > maxTree/sha256.Size:
		return t, fmt.Errorf("%w: the hashes are over %d blocks of %d bytes, in blocks of %d", ErrOther, t.blocks, t.dataBlock, t.hashBlock)
	}
	t.salt = b[88 : 88+saltSize]
	var rows []int64 // the lowest first
	for n, perBlock := t.blocks, t.hashBlock/sha256.Size; n > 1; {
		n = (n + perBlock - 1) / perBlock
		rows = append(rows, n)
	}
	at := max(superblock, t.hashBlock)
	for i := len(rows) - 1; i >= 0; i-- {
		t.levels = append(t.levels, level{at, rows[i]})
		at += rows[i] * t.hashBlock
	}
	return t, nil
}

func isBlock(n int64) bool { return n >= minBlock && n <= maxBlock && n&(n-1) == 0 }

// compare reads so many blocks and compares the hash of each with those of the row above.
func (t tree) compare(ctx context.Context, in io.Reader, size, blocks int64, above []byte) error {
	const breath = 1 << 11 // blocks from one look at ctx to the next
	sum, block, zero := sha256.New(), make([]byte, size), make([]byte, size)
	var got, ofZero [sha256.Size]byte
	for n := range blocks {
		if n%breath == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := io.ReadFull(in, block); err != nil {
			return fmt.Errorf("reading block %d: %w", n, err)
		}
		empty := bytes.Equal(block, zero)
		if !empty || ofZero == [sha256.Size]byte{} {
			sum.Reset()
			sum.Write(t.salt)
			sum.Write(block)
			sum.Sum(got[:0])
		}
		if empty {
			if ofZero == [sha256.Size]byte{} {
				ofZero = got
			}
			got = ofZero
		}
		if !bytes.Equal(got[:], above[n*sha256.Size:(n+1)*sha256.Size]) {
			return fmt.Errorf("%w: block %d has another hash", ErrOther, n)
		}
	}
	return nil
}
