package portal

import (
	"slices"
	"testing"
)

func TestNatural(t *testing.T) {
	want := []string{"", "15.1R7", "22.4R2", "22.4R2-S1", "22.4R10", "22.10R1", "ex4300", "EX4300", "mx240", "mx960"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, natural)
	if !slices.Equal(got, []string{"", "15.1R7", "22.4R2", "22.4R2-S1", "22.4R10", "22.10R1", "EX4300", "ex4300", "mx240", "mx960"}) {
		t.Errorf("sorted: %q", got)
	}
	for _, a := range want {
		for _, b := range want {
			if natural(a, b) != -natural(b, a) {
				t.Errorf("%q and %q are in no order", a, b)
			}
		}
	}
}

func TestHarmless(t *testing.T) {
	for in, want := range map[string]string{"=1+1": "'=1+1", "@x": "'@x", "mx240": "mx240", "": ""} {
		if got := harmless(in); got != want {
			t.Errorf("harmless(%q) = %q", in, got)
		}
	}
}
