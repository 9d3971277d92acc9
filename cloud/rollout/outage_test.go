package rollout

import (
	"testing"
	"time"
)

func TestDeaf(t *testing.T) {
	at := func(m int) time.Time { return noon.Add(time.Duration(m) * time.Minute) }
	for name, c := range map[string]struct {
		list []Outage
		want int
	}{
		"none":                              {nil, 0},
		"before it was heard":               {[]Outage{{at(-20), at(-10)}}, 0},
		"from before":                       {[]Outage{{at(-20), at(10)}}, 10},
		"two":                               {[]Outage{{at(50), at(200)}, {at(205), at(300)}}, 245},
		"its hour was over, but not before": {[]Outage{{at(50), at(200)}, {at(215), at(300)}}, 150},
		"long after":                        {[]Outage{{at(61), at(600)}}, 0},
	} {
		if got := Deaf(noon, c.list); got != time.Duration(c.want)*time.Minute {
			t.Errorf("%s: %v", name, got)
		}
	}
}
