// Prepare fills the folder that it is given with what package stepclock says.
package main

import (
	"fmt"
	"os"

	"lwc/testdata/stepclock"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: prepare DIR")
		os.Exit(2)
	}
	if err := stepclock.Prepare(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
