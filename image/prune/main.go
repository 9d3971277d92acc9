// Prune leaves of a tree what the appliance needs: mkosi calls it when all packages
// are installed, and before the file system is made.
//
// Programs that are not on the list of image/contents go, all scripts, the libraries
// that nothing left asks for, the units whose program is gone, and data that nobody
// reads. What it leaves is judged again by image/scan, on the finished image.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"lwc/image/contents"
)

func main() {
	if err := run(os.Getenv("BUILDROOT"), os.Getenv("OUTPUTDIR")); err != nil {
		fmt.Fprintln(os.Stderr, "prune:", err)
		os.Exit(1)
	}
}

func run(root, out string) error {
	if root == "" || root == "/" || out == "" {
		return errors.New("BUILDROOT or OUTPUTDIR names no folder: mkosi sets them")
	}
	p := pruner{root: root, out: out, tree: contents.Root()}
	// initrd-release(5): only an initrd has it.
	if _, err := os.Lstat(filepath.Join(root, "etc/initrd-release")); err == nil {
		p.tree = contents.Initrd()
	}
	return p.prune()
}
