package uplink

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"lwc/transport/wire"
)

func TestJobInParts(t *testing.T) {
	part := func(id string, n, of int, devices ...string) wire.Job {
		return wire.Job{ID: id, Kind: wire.JobCollect, Part: n, Parts: of, Devices: devices}
	}
	for name, c := range map[string]struct {
		come []wire.Job
		want []string // of the last one; nil: not whole
	}{
		"whole at once":           {[]wire.Job{part("a", 0, 0, "x", "y")}, []string{"x", "y"}},
		"in order":                {[]wire.Job{part("a", 0, 2, "x"), part("a", 1, 2, "y")}, []string{"x", "y"}},
		"the other way round":     {[]wire.Job{part("a", 1, 2, "y"), part("a", 0, 2, "x")}, []string{"x", "y"}},
		"one twice":               {[]wire.Job{part("a", 0, 2, "x"), part("a", 0, 2, "x")}, nil},
		"two jobs side by side":   {[]wire.Job{part("a", 0, 2, "x"), part("b", 0, 2, "p"), part("a", 1, 2, "y")}, []string{"x", "y"}},
		"cut up anew":             {[]wire.Job{part("a", 0, 3, "x"), part("a", 0, 2, "x", "y"), part("a", 1, 2, "z")}, []string{"x", "y", "z"}},
		"again after it was done": {[]wire.Job{part("a", 0, 2, "x"), part("a", 1, 2, "y"), part("a", 0, 2, "x"), part("a", 1, 2, "y")}, []string{"x", "y"}},
	} {
		t.Run(name, func(t *testing.T) {
			var p jobParts
			var got []string
			for _, j := range c.come {
				whole, ready, err := p.join(j)
				if err != nil {
					t.Fatal(err)
				}
				if got = nil; ready {
					got = whole.Devices
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("the devices are %q, want %q", got, c.want)
			}
		})
	}
}

func TestJobPartsAreBounded(t *testing.T) {
	var p jobParts
	for _, bad := range []wire.Job{{ID: "a", Part: 2, Parts: 2, Devices: []string{"x"}}, {ID: "a", Part: -1, Parts: 2, Devices: []string{"x"}},
		{ID: "a", Parts: wire.MaxJobParts + 1, Devices: []string{"x"}}, {ID: "a", Parts: 2}} {
		if _, _, err := p.join(bad); !errors.Is(err, errJobPart) {
			t.Errorf("part %d of %d: %v", bad.Part, bad.Parts, err)
		}
	}
	for i := range 10 * maxOpenJobs {
		if _, ready, err := p.join(wire.Job{ID: fmt.Sprint(i), Parts: 2, Devices: []string{"x"}}); ready || err != nil {
			t.Fatal(ready, err)
		}
	}
	if len(p.open) != maxOpenJobs {
		t.Errorf("%d jobs are held", len(p.open))
	}
}
