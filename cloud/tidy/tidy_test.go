package tidy_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode"

	"lwc/cloud/tidy"
	"lwc/transport/wire"
)

// huge is text that a terminal would act on.
var huge = "\x1b]0;x\x07\u202e\n" + strings.Repeat("x", 5000)

func hugeAccess() *wire.Access {
	h := wire.Hop{Name: huge, KeyExchange: huge, HostKey: huge, Cipher: huge, MAC: huge}
	return &wire.Access{Mode: huge, Hops: slices.Repeat([]wire.Hop{h}, 5000)}
}

// check fails when v holds a text that is too long or cannot be printed.
func check(t *testing.T, v any, most int) {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	walk(t, "", tree)
	if len(text) > most {
		t.Errorf("%d bytes are left, more than %d", len(text), most)
	}
}

func walk(t *testing.T, path string, v any) {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			walk(t, path+"/key", k)
			walk(t, path+"/"+k, x)
		}
	case []any:
		for _, x := range v {
			walk(t, path, x)
		}
	case string:
		limit := tidy.MaxName
		if long := []string{"detail", "reason", "error", "host_key", "permissions", "excess", "text", "degraded"}; slices.Contains(long, path[strings.LastIndex(path, "/")+1:]) {
			limit = tidy.MaxText
		}
		if len(v) > limit || strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s: %d bytes, %.20q", path, len(v), v)
		}
	}
}

func TestProbe(t *testing.T) {
	step := wire.ProbeStep{Stage: huge, Hop: huge, Kind: huge, Detail: huge}
	p := wire.Probe{Device: huge, Class: huge, Access: hugeAccess(), Steps: slices.Repeat([]wire.ProbeStep{step}, 100_000),
		Permissions: slices.Repeat([]string{huge}, 100_000), Excess: slices.Repeat([]string{huge}, 100_000)}
	tidy.Probe(&p)
	check(t, p, 3<<20)
	if len(p.Steps) == 0 || len(p.Permissions) == 0 || len(p.Excess) == 0 || len(p.Access.Hops) == 0 {
		t.Error("too much was cut")
	}
}

// What a chain of eight bastions and a device honestly say stays whole.
func TestProbeOfALongChain(t *testing.T) {
	p := wire.Probe{Device: "edge-1", Steps: slices.Repeat([]wire.ProbeStep{{Stage: "auth", OK: true, Detail: "für lwc"}}, 9*11)}
	want := fmt.Sprint(p)
	if tidy.Probe(&p); fmt.Sprint(p) != want {
		t.Errorf("changed to %v", p)
	}
}

func TestManifest(t *testing.T) {
	r := wire.DeviceResult{Device: huge, Phase: huge, Kind: huge, Error: huge, HostKey: huge, Access: hugeAccess()}
	e := wire.ManifestEntry{Device: huge, Item: huge, Outcome: huge, Reason: huge, Masked: map[string]int{huge: 2, "secrets": -1, "user-names": 3}}
	for i := range 1000 {
		e.Masked[fmt.Sprint("c", i)] = 1
	}
	m := wire.Manifest{Schedule: huge, Mode: huge, Reason: huge, Devices: []wire.DeviceResult{r}, Documents: []wire.ManifestEntry{e}}
	tidy.Manifest(&m)
	check(t, m, 64<<10)
	if got := m.Documents[0].Masked; len(got) != 128 || got["secrets"] != 0 {
		t.Errorf("%d counts, %d secrets", len(got), got["secrets"])
	}
}

func TestPorts(t *testing.T) {
	p := wire.PortState{Mode: huge, State: huge, Detail: huge, Internal: huge, External: huge, Degraded: slices.Repeat([]string{huge}, 10_000)}
	tidy.Ports(&p)
	check(t, p, 36<<10)
	if len(p.Mode) > tidy.MaxWord || len(p.State) > tidy.MaxWord {
		t.Errorf("words of %d and %d bytes are left", len(p.Mode), len(p.State))
	}
	honest := wire.PortState{Mode: "enforce", State: "open", Degraded: []string{"the table is not owned: Linux 5.12 can"}}
	want := fmt.Sprint(honest)
	if tidy.Ports(&honest); fmt.Sprint(honest) != want || len(p.Degraded) == 0 {
		t.Errorf("%v, %d lines", honest, len(p.Degraded))
	}
}

func TestEvent(t *testing.T) {
	e := wire.Event{Kind: huge, Device: huge, Text: huge, Violation: &wire.PortViolation{Kind: huge, Port: huge, Detail: huge, Healed: true}}
	tidy.Event(&e)
	check(t, e, 4<<10)
	for _, word := range []string{e.Kind, e.Violation.Kind, e.Violation.Port} {
		if len(word) > tidy.MaxWord {
			t.Errorf("a word of %d bytes is left", len(word))
		}
	}
	if !e.Violation.Healed {
		t.Error("what was put right is no more")
	}
	tidy.Event(&wire.Event{})
}

func TestHealth(t *testing.T) {
	h := wire.Health{LastRun: huge, Ports: wire.PortState{Detail: huge},
		Checks: slices.Repeat([]wire.Check{{Name: huge, OK: true, Detail: huge}}, 1000),
		Errors: slices.Repeat([]wire.Trouble{{Text: huge}}, 1000)}
	tidy.Health(&h)
	check(t, h, 600<<10)
	honest := wire.Health{Checks: []wire.Check{{Name: "swap", OK: true, Detail: "there is none"}}}
	want := fmt.Sprint(honest)
	if tidy.Health(&honest); fmt.Sprint(honest) != want {
		t.Errorf("%v", honest)
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{"plain": "plain", "a\x1b[31mb\n": "a [31", "ääää": "ää", "\xff": "\ufffd"} {
		if got := tidy.Text(in, 5); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
