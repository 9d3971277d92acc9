package main

import (
	"context"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"lwc/cmd/lwcd/report"
	"lwc/cmd/lwcd/screen"
)

// The cards to choose from are those with a driver; the consoles are the kernel's.
func TestWhatTheScreenFinds(t *testing.T) {
	files := fstest.MapFS{
		"sys/class/tty/console/active":        held("tty0 ttyS0\n"),
		"sys/class/net/enp0s3/address":        held("52:54:00:12:34:57\n"),
		"sys/class/net/enp0s3/device/driver":  &fstest.MapFile{Data: []byte("../../../bus/virtio/drivers/virtio_net"), Mode: fs.ModeSymlink},
		"sys/class/net/lo/address":            held("00:00:00:00:00:00\n"),
		"sys/class/net/bonding_masters/x":     held(""),
		"sys/class/net/br0/bridge/bridge_id":  held("1"),
		"sys/class/net/enp0s2/device/driver":  &fstest.MapFile{Data: []byte("../r8169"), Mode: fs.ModeSymlink},
		"sys/class/net/enp0s2/device/ignored": held(""),
	}
	if got := terminals(files); !slices.Equal(got, []string{"/dev/tty1", "/dev/ttyS0"}) {
		t.Errorf("consoles: %v", got)
	}
	want := []screen.Card{{Name: "enp0s2", Driver: "r8169"}, {Name: "enp0s3", MAC: "52:54:00:12:34:57", Driver: "virtio_net"}}
	if got := cards(files); !slices.Equal(got, want) {
		t.Errorf("cards: %+v", got)
	}
}

// A screen on a real terminal follows lwcd from its start through what it reports,
// and tells when that stops.
func TestScreenFollowsReports(t *testing.T) {
	path, written := openTerminal(t, 80)
	dir := t.TempDir()
	s := &screens{machine: machine{files: fstest.MapFS{"sys/class/tty/console/active": held(strings.TrimPrefix(path, "/dev/"))}},
		report: filepath.Join(dir, "lwcd.json"), provision: filepath.Join(dir, "provision.json"), log: slog.New(slog.DiscardHandler),
		terminals: map[string]*screen.Terminal{}, lost: map[string]bool{}}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); s.run(ctx) }()
	defer func() { cancel(); <-ended }()
	shows := func(words string) {
		t.Helper()
		until(t, words, 20*time.Second, func() bool { return strings.Contains(written.String(), words) })
	}
	shows("State       STARTING")
	r := report.Report{Beat: 1, Ports: report.Down, Cause: report.NoConfiguration}
	tell := func() {
		t.Helper()
		r.Beat++
		if err := report.Write(s.report, r); err != nil {
			t.Fatal(err)
		}
	}
	tell()
	shows("State       WAITING FOR SETTINGS")
	r.Ports, r.Cause, r.Collector, r.Connected = report.Open, "", theCollector, true
	tell()
	shows("State       READY - ports open, connected to the cloud")
	cancel()
	<-ended
	s.heard = time.Now().Add(-silentAfter - time.Second)
	if v := s.view(); v.Kind().Good() || !v.Silent {
		t.Error("an lwcd that says nothing is not told")
	}
	tell()
	if v := s.view(); v.Silent {
		t.Error("and one that speaks again neither")
	}
}
