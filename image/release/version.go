package release

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// version is three numbers without leading zeros, each short enough for an int and
// for a partition's label (36 characters in all, UEFI 2.10, section 5.3.3).
var version = regexp.MustCompile(`^(0|[1-9][0-9]{0,7})\.(0|[1-9][0-9]{0,7})\.(0|[1-9][0-9]{0,7})$`)

// CheckVersion returns an error unless s is MAJOR.MINOR.PATCH.
func CheckVersion(s string) error {
	if !version.MatchString(s) {
		return fmt.Errorf("%.40q is no version: three numbers with dots between them, as 1.4.0", s)
	}
	return nil
}

// Compare compares two versions number by number: -1 when a is the older one, 0
// when they are the same, 1 when a is the newer one. What is no version is older than
// any.
func Compare(a, b string) int {
	x, y := numbers(a), numbers(b)
	for i := range x {
		if c := cmp.Compare(x[i], y[i]); c != 0 {
			return c
		}
	}
	return 0
}

func numbers(s string) (n [3]int) {
	if CheckVersion(s) != nil {
		return [3]int{-1}
	}
	for i, part := range strings.SplitN(s, ".", len(n)) {
		n[i], _ = strconv.Atoi(part) // digits alone, and few: checked above
	}
	return n
}
