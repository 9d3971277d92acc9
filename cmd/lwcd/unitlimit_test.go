package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
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
