package fleet

import (
	"fmt"
	"slices"
	"strings"
)

// Suggest returns `, did you mean "x"?` for the known name nearest to got, or
// "" when none is near. Near means that at most a third of the letters differ.
func Suggest(got string, known []string) string {
	best, least := "", len(got)/3+1
	if len(got) > 100 {
		return ""
	}
	sorted := slices.Sorted(slices.Values(known))
	for _, k := range sorted {
		d := distance(strings.ToLower(got), strings.ToLower(k))
		if d < least || (d == least && best == "") {
			best, least = k, d
		}
	}
	if best == "" {
		best = soleContaining(got, sorted)
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", did you mean %q?", best)
}

// soleContaining finds the one known name that got is a part of.
func soleContaining(got string, known []string) string {
	found := ""
	for _, k := range known {
		if len(got) < 3 || !strings.Contains(k, got) {
			continue
		}
		if found != "" {
			return ""
		}
		found = k
	}
	return found
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
