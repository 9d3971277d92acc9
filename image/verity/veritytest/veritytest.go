// Package veritytest makes small roots with their hashes, and kernels that start them.
// [Tree] is the counterpart of verity.Check, [Kernel] that of verity.Named.
package veritytest

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// block is the size of all blocks, those of the appliance's image.
const block = 512

// Tree returns the tree of hashes over a root of whole blocks of 512 bytes, and its root
// hash in 64 digits.
func Tree(root []byte) (hashes []byte, rootHash string) {
	salt := sha256.Sum256([]byte("salt"))
	rows := [][]byte{row(salt[:], root)}
	for len(rows[0]) > block {
		rows = append([][]byte{row(salt[:], rows[0])}, rows...)
	}
	hashes = make([]byte, block)
	copy(hashes, "verity\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00a tree of a test")
	copy(hashes[32:], "sha256")
	le := binary.LittleEndian
	le.PutUint32(hashes[64:], block)
	le.PutUint32(hashes[68:], block)
	le.PutUint64(hashes[72:], uint64(len(root)/block))
	le.PutUint16(hashes[80:], uint16(len(salt)))
	copy(hashes[88:], salt[:])
	for _, r := range rows {
		hashes = append(hashes, r...)
	}
	return hashes, hex.EncodeToString(digest(salt[:], rows[0]))
}

// row is the hashes of all blocks, and zeros to the end of the last block.
func row(salt, data []byte) []byte {
	var out []byte
	for ; len(data) > 0; data = data[block:] {
		out = append(out, digest(salt, data[:block])...)
	}
	return append(out, make([]byte, -len(out)&(block-1))...)
}

func digest(salt, data []byte) []byte {
	sum := sha256.New()
	sum.Write(salt)
	sum.Write(data)
	return sum.Sum(nil)
}

// Kernel makes the smallest unified kernel image, with these command lines: PE32+,
// Microsoft's "PE Format".
func Kernel(lines ...string) []byte {
	const headers, room, section = 0x400, 0x200, 40
	b := make([]byte, headers+room*len(lines))
	le := binary.LittleEndian
	copy(b, "MZ")
	le.PutUint32(b[0x3c:], 0x40)
	copy(b[0x40:], "PE\x00\x00")
	le.PutUint16(b[0x44:], 0x8664) // AMD64
	le.PutUint16(b[0x46:], uint16(len(lines)))
	le.PutUint16(b[0x54:], 240) // of the optional header
	le.PutUint16(b[0x58:], 0x20b)
	le.PutUint32(b[0x58+108:], 16) // directories
	for i, line := range lines {
		s := b[0x148+section*i:]
		copy(s, ".cmdline")
		le.PutUint32(s[8:], uint32(len(line)))
		le.PutUint32(s[12:], uint32(0x1000*(i+1)))
		le.PutUint32(s[16:], room)
		le.PutUint32(s[20:], uint32(headers+room*i))
		copy(b[headers+room*i:headers+room*(i+1)], line)
	}
	return b
}
