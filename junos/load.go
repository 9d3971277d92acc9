package junos

import (
	"slices"
	"strconv"
	"strings"

	"github.com/beevik/etree"
)

// ParseLoad reads the load of the processor in the reply to
// show-chassis-routing-engine: in per cent, of the busiest routing engine. Where
// a device tells averages over several times, that over a minute counts: the one
// over five seconds shows mostly what it takes to answer. ok is false where the
// reply tells no load.
func ParseLoad(doc []byte) (cpuPercent int, ok bool) {
	root, err := parseSmall(clip(doc, maxIdentity))
	if err != nil {
		return 0, false
	}
	walk(root, func(e *etree.Element) bool {
		if e.Tag != "route-engine" {
			return true
		}
		if load, found := engineLoad(e); found {
			cpuPercent, ok = max(cpuPercent, load), true
		}
		return false
	})
	return cpuPercent, ok
}

// engineLoad takes the elements of the minute, cpu-idle1 and so on, before those
// of five seconds, which have no number. An engine that is neither busy nor idle is
// one of which the device knows nothing, as of a backup that is not up.
func engineLoad(e *etree.Element) (int, bool) {
	for _, window := range []string{"1", ""} {
		idle, toldIdle := percent(e, "cpu-idle"+window)
		busy, toldBusy := busyLoad(e, window)
		switch {
		case toldIdle && toldBusy && idle == 0 && busy == 0:
		case toldIdle:
			return 100 - idle, true
		case toldBusy:
			return busy, true
		}
	}
	return 0, false
}

// busyLoad adds up what the processor does where the idle time is not told.
func busyLoad(e *etree.Element, window string) (sum int, ok bool) {
	for _, name := range []string{"cpu-user", "cpu-background", "cpu-system", "cpu-interrupt"} {
		if p, found := percent(e, name+window); found {
			sum, ok = sum+p, true
		}
	}
	return min(sum, 100), ok
}

// percent reads a whole number from 0 to 100, with or without a sign after it.
func percent(e *etree.Element, name string) (int, bool) {
	fields := strings.Fields(childText(e, name))
	if len(fields) == 0 {
		return 0, false
	}
	n, err := strconv.Atoi(strings.TrimSuffix(fields[0], "%"))
	if err != nil || n < 0 || n > 100 || len(fields) > 1 && !slices.Contains([]string{"%", "percent"}, fields[1]) {
		return 0, false
	}
	return n, true
}
