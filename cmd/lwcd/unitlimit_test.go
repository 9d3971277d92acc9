package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"lwc/image/sitefile"
)

// settingOf returns the last value that a unit gives to a key.
func settingOf(t *testing.T, unit, key string) string {
	t.Helper()
	value := ""
	for line := range strings.Lines(unit) {
		if v, ok := strings.CutPrefix(line, key+"="); ok {
			value = strings.TrimSpace(v)
		}
	}
	if value == "" {
		t.Fatalf("the unit has no %s", key)
	}
	return value
}

// An lwcd that cannot be helped by starting it again has the whole box start again.
// On a release on trial the gate's verdict comes first, because it keeps the reason
// and has the boot loader not try that release again; and what the watchdog ends in
// turn reaches the limit as well as what ends by itself.
func TestStartLimitOfTheAppliance(t *testing.T) {
	text := string(must[[]byte](t)(os.ReadFile("../../image/mkosi/mkosi.extra/usr/lib/systemd/system/lwcd.service")))
	span := func(key string) time.Duration {
		return must[time.Duration](t)(time.ParseDuration(strings.Replace(settingOf(t, text, key), "min", "m", 1)))
	}
	if action := settingOf(t, text, "StartLimitAction"); action != "reboot" {
		t.Errorf("StartLimitAction is %s, want reboot", action)
	}
	starts := time.Duration(must[int](t)(strconv.Atoi(settingOf(t, text, "StartLimitBurst"))))
	if least := starts * span("RestartSec"); least < gateLimit+time.Minute {
		t.Errorf("the box may start again after %v, before the gate's verdict (%v)", least, gateLimit)
	}
	hang := span("RestartSec") + span("WatchdogSec") + span("TimeoutAbortSec")
	if within := span("StartLimitIntervalSec"); starts*hang > within {
		t.Errorf("%d hangs of %v take longer than StartLimitIntervalSec=%v: the limit is never reached", starts, hang, within)
	}
}

// The unit of the collector half gives what lwcd gives a half that it starts itself, has
// its watchdog end one that hangs before the supervisor gives up waiting for that, and
// goes with the supervisor's unit.
func TestUnitOfTheHalf(t *testing.T) {
	const folder = "../../image/mkosi/mkosi.extra/usr/lib/systemd/system/"
	text := func(name string) string { return string(must[[]byte](t)(os.ReadFile(folder + name))) }
	unit := text("lwc-half@.service")
	for key, want := range map[string]string{
		"ExecStart": "/usr/bin/lwcd " + halfCommand, "Environment": "GODEBUG=" + overwriteFreed, "OOMScoreAdjust": firstToGo, "User": defaultUser,
		"CapabilityBoundingSet": "CAP_SYS_ADMIN", "AmbientCapabilities": "CAP_SYS_ADMIN", "PrivateNetwork": "yes", "StandardInput": "socket",
		"LimitMEMLOCK": "infinity", "WatchdogSignal": "SIGKILL", "StopPropagatedFrom": "lwcd.service", "Before": "lwcd.service",
		"After": "state.mount run-lwc-spool.mount",
		"Slice": settingOf(t, text("lwcd.service"), "Slice"),
	} {
		if got := settingOf(t, unit, key); got != want {
			t.Errorf("%s is %s, want %s", key, got, want)
		}
	}
	for _, key := range []string{"WatchdogSec", "TimeoutStopSec"} {
		if span := must[time.Duration](t)(time.ParseDuration(settingOf(t, unit, key))); span > lingerLimit/2 {
			t.Errorf("%s=%v leaves a half longer than the supervisor waits for its end (%v)", key, span, lingerLimit)
		}
	}
	span := func(key string) time.Duration {
		return must[time.Duration](t)(time.ParseDuration(settingOf(t, text("lwcd.service"), key)))
	}
	// The last ping is that old when the half begins to be silent, and looking takes turns.
	if watchdog := span("WatchdogSec"); watchdog/3+deafLimit+askEvery+2*statusEvery > watchdog {
		t.Errorf("WatchdogSec=%v ends lwcd before that ends a half that hangs (%v)", watchdog, deafLimit)
	}
	if limit := span("TimeoutStopSec"); stopLimit+leaveLimit >= limit {
		t.Errorf("TimeoutStopSec=%v ends lwcd while it waits for the half (%v and %v)", limit, stopLimit, leaveLimit)
	}
	if path := settingOf(t, text("lwc-half.socket"), "ListenStream"); path != sitefile.HalfSocketPath {
		t.Errorf("the socket is %s, and the configuration names %s", path, sitefile.HalfSocketPath)
	}
}

// A release whose lwcd cannot run is given up at once: nothing that only that lwcd can
// bring about is waited for before the gate.
func TestGateWaitsForNothingOfLwcd(t *testing.T) {
	text := string(must[[]byte](t)(os.ReadFile("../../image/mkosi/mkosi.extra/usr/lib/systemd/system/lwc-gate.service")))
	for line := range strings.Lines(text) {
		if key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key == "After" || key == "Requires" || key == "RequiresMountsFor" {
			t.Errorf("lwc-gate.service has %s=%s", key, value)
		}
	}
}
