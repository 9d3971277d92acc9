package junostest

import (
	"slices"
	"strings"
	"testing"
)

func TestParseFault(t *testing.T) {
	for _, k := range FaultKinds() {
		if k.Text == "" || !k.Device && !k.Bastion || strings.Contains(string(k.Name), ":") {
			t.Errorf("%+v", k)
		}
		if _, err := ParseFault(string(k.Name) + ":rubbish "); err == nil && k.Name != Huge {
			t.Errorf("%s takes rubbish", k.Name)
		}
		if _, err := ParseFault(string(k.Name)); (err == nil) == strings.HasPrefix(k.Arg, ":") {
			t.Errorf("%s without argument: %v, and its form is %q", k.Name, err, k.Arg)
		}
	}
	for s, want := range map[string]bool{"": true, "slow-auth:5s": true, "slow-auth:-5s": false, "slow-auth:5": false, "drip:0": false, "drip:1": true,
		"huge:200MB": true, "huge:2GiB:show-version": true, "huge:0": false, "huge:1XB": false, "huge:99999999GB": false, "huge:MB": false,
		"limit:3": true, "rate:-1": false, "throttle:rst": true, "throttle:2": true, "stall:1": false, "splits:7": true, "tired": false,
		"banner-flood:64KiB": true, "banner-flood:lines": true} {
		f, err := ParseFault(s)
		if (err == nil) != want || want && string(f) != s {
			t.Errorf("%q: %q, %v", s, f, err)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"1": 1, "5000": 5000, "64KiB": 65536, "64k": 64000, "64KB": 64000, "200MB": 200e6, "200M": 200e6,
		"2GiB": 2 << 30, "10GB": 10e9} {
		if n, err := ParseSize(s); n != want || err != nil {
			t.Errorf("%q: %d, %v", s, n, err)
		}
	}
}

// FuzzParseFault holds that what is taken can be played: every argument is understood.
func FuzzParseFault(f *testing.F) {
	for _, s := range []string{"huge:200MB:show-version", "slow-auth:5s", "limit:3", "throttle:rst", "", ":", "stall:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		fault, err := ParseFault(s)
		if err != nil || fault == NoFault {
			return
		}
		st := &faultState{fault: fault}
		if fault.Kind() == Huge && st.size(0) < 1 || fault.Kind() == Limit && st.count(0) < 1 || fault.Kind() == Drip && st.count(16) < 1 {
			t.Errorf("%q is taken and means nothing", s)
		}
	})
}

func TestRules(t *testing.T) {
	c := Config{Devices: 12, Bastions: 2, Faults: map[string]Fault{"mx-*": Stall, "mx-0007": NoFault, "*": Silent, "srx-*": Garbage,
		"bastion-2": "no-forward:shortage"}, Superusers: []string{"ex-*", "acx-0006"}}
	f := newFleet(t, c)
	for name, want := range map[string]Fault{"mx-0001": Stall, "mx-0007": NoFault, "ex-0002": Silent, "srx-0009": Garbage} {
		if got := f.Device(name).Fault(); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for i, want := range []Fault{Silent, "no-forward:shortage"} {
		if got := f.Bastions()[i].Fault(); got != want {
			t.Errorf("bastion %d: %q, want %q", i+1, got, want)
		}
	}
	for _, d := range f.Devices() {
		if want := d.Model == EXVC || d.Name == "acx-0006"; d.Superuser != want {
			t.Errorf("%s: superuser %v", d.Name, d.Superuser)
		}
	}
	// A rule that longer ones cover wholly is not misspelt.
	covered := newFleet(t, Config{Devices: 1, Faults: map[string]Fault{"mx-*": Stall, "mx-00*": Silent}})
	if got := covered.Device("mx-0001").Fault(); got != Silent {
		t.Errorf("the longer rule gives %q", got)
	}
	for want, c := range map[string]Config{
		"it is a fault of bastions only":       {Devices: 1, Faults: map[string]Fault{"mx-0001": NoForward}},
		"it is a fault of devices only":        {Bastions: 1, Faults: map[string]Fault{"bastion-1": Stall}},
		"malformed":                            {Devices: 1, Faults: map[string]Fault{"mx-[": Stall}},
		"fault of \"zx-*\": there is no such":  {Devices: 1, Faults: map[string]Fault{"zx-*": Stall}},
		"add up to 1.2":                        {Devices: 1, Faulty: []Fraction{{Share: 0.6}, {Share: 0.6}}},
		"add up to -1":                         {Devices: 1, Faulty: []Fraction{{Share: -1}}},
		"is one of bastions; a share":          {Devices: 1, Faulty: []Fraction{{Share: 1, Faults: []Fault{NoForward}}}},
		"fault \"tired\" is unknown":           {Devices: 1, Faulty: []Fraction{{Share: 1, Faults: []Fault{"tired"}}}},
		"superuser of \"zx-1\": there is no":   {Devices: 1, Superusers: []string{"zx-1"}},
		"a log of what is sent, and quiet, ex": {Quiet: true, Log: new(strings.Builder)},
	} {
		if _, err := NewFleet(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}

// TestFaulty deals faults out: so many as the share says, each as often, to the
// same devices with the same seed and to others with another.
func TestFaulty(t *testing.T) {
	deal := func(seed uint64) (names []string, kinds map[Fault]int) {
		kinds = map[Fault]int{}
		f := newFleet(t, Config{Devices: 1000, Seed: seed, Faults: map[string]Fault{"mx-*": NoFault, "ex-0002": Stall},
			Faulty: []Fraction{{Share: 0.2}, {Share: 0.03, Faults: []Fault{"drip:3", Stall}}}})
		for _, d := range f.Devices() {
			if d.Fault() != NoFault && d.Name != "ex-0002" {
				names = append(names, d.Name)
				kinds[d.Fault()]++
			}
			if d.Model == MXDualRE && d.Fault() != NoFault {
				t.Errorf("%s has fault %s in spite of its rule", d.Name, d.Fault())
			}
		}
		return names, kinds
	}
	names, kinds := deal(1)
	if len(names) != 230 || kinds["drip:3"] != 15 {
		t.Errorf("%d faulty devices: %v", len(names), kinds)
	}
	all := dealt()
	for _, fault := range all {
		if n := kinds[fault]; n < 200/len(all) || n > 200/len(all)+16 {
			t.Errorf("%s is dealt out %d times", fault, n)
		}
	}
	if slices.Contains(all, NoForward) || slices.Contains(all, Huge) || len(all) < 25 {
		t.Errorf("dealt out are %v", all)
	}
	if again, _ := deal(1); !slices.Equal(names, again) {
		t.Error("the same seed deals to others")
	}
	if other, _ := deal(2); slices.Equal(names, other) {
		t.Error("another seed deals to the same")
	}
}

func TestParseFraction(t *testing.T) {
	f, err := ParseFraction("0.25=stall, drip:50")
	if err != nil || f.Share != 0.25 || !slices.Equal(f.Faults, []Fault{Stall, "drip:50"}) {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := ParseFraction("1"); err != nil || f.Share != 1 || f.Faults != nil {
		t.Errorf("%+v, %v", f, err)
	}
	for _, s := range []string{"", "x", "1.5", "-0.1", "NaN", "0.1=", "0.1=tired", "0.1x"} {
		if f, err := ParseFraction(s); err == nil {
			t.Errorf("%q is %+v", s, f)
		}
	}
}
