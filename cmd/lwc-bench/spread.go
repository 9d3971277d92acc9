package main

import (
	"slices"
	"time"
)

// spread is how long something took, many times over.
type spread []time.Duration

// at returns the time that the share q of all stayed within.
func (s spread) at(q float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Clone(s)
	slices.Sort(sorted)
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
