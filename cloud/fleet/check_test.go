package fleet

import (
	"math"
	"strings"
	"testing"

	"lwc/transport/wire"
)

// What a file cannot say, an API client can: the bounds hold there too.
func TestBounds(t *testing.T) {
	for want, s := range map[string]Spec{
		"limits.logins_per_second: NaN":    {Limits: wire.CollectLimits{LoginsPerSecond: math.NaN()}},
		"limits.logins_per_second: -1":     {Limits: wire.CollectLimits{LoginsPerSecond: -1}},
		"limits.logins_per_second: 10001":  {Limits: wire.CollectLimits{LoginsPerSecond: 10001}},
		"limits.per_bastion: 4097":         {Limits: wire.CollectLimits{PerBastion: 4097}},
		"limits.max_cpu: -1":               {Limits: wire.CollectLimits{MaxCPU: -1}},
		"masking.rules":                    {Masking: Masking{Rules: make([]wire.MaskRule, maxRules+1)}},
		"masking.rules[0].pattern":         {Masking: Masking{Rules: []wire.MaskRule{{Class: "x", Pattern: strings.Repeat("a", maxPattern+1)}}}},
		"masking.classes.nope":             {Masking: Masking{Classes: map[string]bool{"nope": false}}},
		"devices[0].pipeline: -1":          {Devices: []Device{{Device: wire.Device{Pipeline: -1}}}},
		"devices[0].pipeline: 65":          {Devices: []Device{{Device: wire.Device{Pipeline: 65}}}},
		"bastions[0].max_sessions: 4097 i": {Bastions: []Bastion{{Bastion: wire.Bastion{MaxSessions: 4097}}}},
	} {
		if err := s.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	rules := make([]wire.MaskRule, maxRules+1)
	for i := range rules {
		rules[i] = wire.MaskRule{Class: "x", Path: "a"}
	}
	if err := (Spec{Masking: Masking{Rules: rules}}).Check(); err == nil {
		t.Error("too many rules are taken")
	}
}
