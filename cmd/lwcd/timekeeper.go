package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"strconv"
	"time"

	"lwc/cmd/lwcd/halves"
	"lwc/transport/clock"
	"lwc/transport/wire"
)

// keepTime keeps the machine's clock right by the configured servers, through
// the External Port, until ctx ends. Without any it only waits.
func (t *site) keepTime(ctx context.Context) error {
	if len(t.conf.outside.ntp) == 0 {
		<-ctx.Done()
		return nil
	}
	var servers []string
	for _, e := range t.conf.outside.ntp {
		servers = append(servers, net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port))))
	}
	told := ""
	set, _ := handOf(t.conf.clockSocket)
	k, err := clock.New(clock.Config{Servers: servers, Dial: t.guard.External().DialContext, NotBefore: built(), Setter: set,
		Report: func(r clock.Report) { told = t.timeReport(r, told) }})
	if err != nil {
		return err
	}
	return k.Run(ctx)
}

// timeReport logs what a round found, and tells the cloud of a step. told is what
// was logged last: a trouble that stays is told once.
func (t *site) timeReport(r clock.Report, told string) string {
	if r.Action != clock.Nothing && r.Action != clock.Confirm {
		t.timed.Store(true)
	}
	attrs := []any{"action", string(r.Action), "offset", r.Offset.String(), "distance", r.Distance.String()}
	switch {
	case r.Action == clock.Stepped:
		text := fmt.Sprintf("the clock was set by %v by the time servers", r.Offset.Round(time.Millisecond))
		t.log.Warn("clock", append(attrs, "text", text)...)
		t.notices.add(halves.Notice{Kind: wire.EventClockStep, Text: text})
		return ""
	case r.Err != nil && errors.Is(r.Err, context.Canceled):
		return told
	case r.Err != nil:
		if r.Err.Error() != told {
			t.log.Warn("keeping the clock", "error", r.Err, "action", string(r.Action))
			t.trouble(fmt.Sprintf("clock: %v", r.Err))
		}
		return r.Err.Error()
	}
	level := slog.LevelDebug
	if told != "" || r.Action == clock.Told {
		level = slog.LevelInfo
	}
	t.log.Log(context.Background(), level, "clock", attrs...)
	return ""
}

// epochFile is there on the appliance: its time is that of the image, and systemd
// sets a clock that is before it, as one without a battery is, to it (systemd(1)).
const epochFile = "/usr/lib/clock-epoch"

// built is a time that has passed for certain: when this build's source was last
// changed, or the image made; it is later now.
func built() time.Time { return builtAt(epochFile) }

func builtAt(epoch string) time.Time {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) // before this file was written
	info, ok := debug.ReadBuildInfo()
	for i := 0; ok && i < len(info.Settings); i++ {
		if s := info.Settings[i]; s.Key == "vcs.time" {
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil && t.After(at) {
				at = t
			}
		}
	}
	if f, err := os.Stat(epoch); err == nil && f.ModTime().After(at) {
		at = f.ModTime()
	}
	return at
}
