package main

import (
	"flag"
	"io"
	"strings"
	"testing"
	"time"
)

func TestLifetimes(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"14d": 14 * day, "14 d": 14 * day, "14 days": 14 * day, "1 day": day, "90d": 90 * day, "1d12h": 36 * time.Hour, "336h": 14 * day, "90m": 90 * time.Minute, "1h30m": 90 * time.Minute, "60s": time.Minute,
	} {
		if got, err := lifetime(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	const form = "write it as 14d (days), 36h (hours) or 90m (minutes)"
	for text, want := range map[string]string{
		"": form, "14": form, "14x": form, "d": form, "-1d": form, "-5h": form, "1d-5h": form, "1.5d": form, "99999999999999999999d": form, "14d 3": form,
		"91d": "too long: give 90d at most", "90d1s": "too long", "99999d": "too long", "99999d2500000h": "too long", "0": "too short: give 1m at least", "59s": "too short", "0d": "too short",
	} {
		if got, err := lifetime(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v, want %s", text, got, err, want)
		}
	}
}

func lifetime(text string) (time.Duration, error) {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	ttl := lifetimeFlag(fs, "ttl", "", 0, leastTTL, mostTTL)
	err := fs.Parse([]string{"--ttl", text})
	return *ttl, err
}
