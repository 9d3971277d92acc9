package verity

import (
	"bytes"
	"debug/pe"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// rootHash is the word of a kernel's command line that names the hash.
var rootHash = regexp.MustCompile(`^roothash=([0-9a-f]{64})$`)

// maxLine bounds a command line, far above what the kernel takes.
const maxLine = 64 << 10

// CommandLines returns the command lines of a unified kernel image: one for each of its
// profiles that has its own (UAPI.5, "Unified Kernel Image").
func CommandLines(kernel io.ReaderAt) ([]string, error) {
	f, err := pe.NewFile(kernel)
	if err != nil {
		return nil, fmt.Errorf("reading the kernel's sections: %w", err)
	}
	defer f.Close()
	var lines []string
	for _, s := range f.Sections {
		if s.Name != ".cmdline" {
			continue
		}
		if s.Size > maxLine {
			return nil, fmt.Errorf("reading the kernel's command line: it has %d bytes", s.Size)
		}
		b, err := s.Data()
		if err != nil {
			return nil, fmt.Errorf("reading the kernel's command line: %w", err)
		}
		lines = append(lines, string(bytes.TrimRight(b[:min(len(b), int(s.VirtualSize))], "\x00\n ")))
	}
	if len(lines) == 0 {
		return nil, errors.New("the kernel has no command line: it is no unified kernel image")
	}
	return lines, nil
}

// Named returns the root hash, 64 digits, that a unified kernel image starts. All its
// profiles have to name the same.
func Named(kernel io.ReaderAt) (string, error) {
	lines, err := CommandLines(kernel)
	if err != nil {
		return "", err
	}
	found := ""
	for _, line := range lines {
		n := 0
		for word := range strings.FieldsSeq(line) {
			if !strings.HasPrefix(word, "roothash=") {
				continue
			}
			m := rootHash.FindStringSubmatch(word)
			if m == nil || found != "" && m[1] != found {
				return "", fmt.Errorf("%w: the kernel's command lines do not name one root hash: %.100q", ErrOther, word)
			}
			found = m[1]
			n++
		}
		if n != 1 {
			return "", fmt.Errorf("%w: a command line of the kernel names %d root hashes: %.200q", ErrOther, n, line)
		}
	}
	return found, nil
}
