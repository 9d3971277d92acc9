package main

import (
	"strings"
	"testing"
)

// Each subcommand of the usage is there; those that start something refuse words
// that they do not know.
func TestSubcommandsOfTheUsage(t *testing.T) {
	for _, name := range []string{"check-config", "provision", "gate", "screen", "clock"} {
		sub := subcommand(name)
		if sub == nil || !strings.Contains(usage, "  lwcd "+name) {
			t.Errorf("%s: there: %v, told: %v", name, sub != nil, strings.Contains(usage, "  lwcd "+name))
			continue
		}
		var out, errs strings.Builder
		if code := sub(t.Context(), []string{"--nonsense"}, &out, &errs); code != exitUsage {
			t.Errorf("%s --nonsense: exit code %d, %s", name, code, &errs)
		}
	}
}
