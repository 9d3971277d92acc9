package rollout

import (
	"testing"
	"time"
)

// A hold is another one when another box comes to it, even where the words are the same,
// and when the release was let go on before.
func TestHolds(t *testing.T) {
	r := Release{Version: "1.1.0", Published: noon.Add(-day)}
	bad := func(ids ...string) (out []Box) {
		for _, id := range ids {
			out = append(out, Box{Collector: id, Running: "1.0.0", Failures: []Failure{{Version: "1.1.0", At: noon}}})
		}
		return out
	}
	if h := HoldOf(noon, r, bad("a", "b")); h != "" {
		t.Errorf("not held back: %q", h)
	}
	first := HoldOf(noon, r, bad("a", "b", "c"))
	if len(first) != 8 || first != HoldOf(noon.Add(time.Hour), r, append(bad("c", "b", "a"), Box{Collector: "d", Running: "1.1.0"})) {
		t.Errorf("%q is not the same an hour later, with a box that runs it", first)
	}
	again := r
	again.Resumed = noon.Add(-time.Hour)
	for what, h := range map[string]string{
		"another box":    HoldOf(noon, r, bad("a", "b", "d")),
		"one more":       HoldOf(noon, r, bad("a", "b", "c", "d")),
		"another time":   HoldOf(noon, again, bad("a", "b", "c")),
		"another of all": HoldOf(noon, Release{Version: "1.1.0"}, append(bad("a", "b"), Box{Collector: "c", Running: "1.0.0", Busy: "1.1.0", Begun: true, Heard: noon.Add(-2 * time.Hour)})),
	} {
		if h == first || h == "" {
			t.Errorf("%s: %q", what, h)
		}
	}
}
