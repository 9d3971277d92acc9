// Broken stands in for lwcd in a release that does not work: whatever it is asked
// to do, it ends at once.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "this release is broken")
	os.Exit(1)
}
