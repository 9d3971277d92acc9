package contents

import (
	"bytes"
	"debug/elf"
)

// Kind is what a file is by its first bytes.
type Kind int

// The kinds of files that matter here.
const (
	Data   Kind = iota // nothing that anybody runs
	ELF                // a program or a library of this machine
	Script             // begins with #!
	Other              // another program: PE (also EFI), WebAssembly, Java, Python or Lua code
)

// magics are how programs begin that need no ELF header. Those of Python are the
// versions that Debian has had: the two bytes after the number are fixed.
var magics = [][]byte{
	[]byte("\x00asm"), {0xca, 0xfe, 0xba, 0xbe}, []byte("\x1bLua"), []byte("\x1bLJ"), []byte("!<arch>\n"),
}

// Look tells what a file is by its beginning; 64 bytes are enough.
func Look(head []byte) Kind {
	switch {
	case bytes.HasPrefix(head, []byte(elf.ELFMAG)):
		return ELF
	case bytes.HasPrefix(head, []byte("#!")):
		return Script
	case bytes.HasPrefix(head, []byte("MZ")):
		return Other
	case len(head) >= 16 && head[1] < 16 && bytes.Equal(head[2:4], []byte("\r\n")):
		return Other // Python's compiled code
	}
	for _, m := range magics {
		if bytes.HasPrefix(head, m) {
			return Other
		}
	}
	return Data
}
