package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"lwc/cmd/lwcd/report"
	"lwc/cmd/lwcd/screen"
	"lwc/image/provision"
)

// silentAfter is how long lwcd may say nothing before the screen tells that.
const silentAfter = 4 * report.Every

// screens shows how things stand on the terminals of the machine, as a process of
// its own: it says so too when lwcd does not run.
type screens struct {
	machine   machine
	report    string // path
	provision string // path
	log       *slog.Logger

	terminals map[string]*screen.Terminal
	lost      map[string]bool // terminals that cannot be written, and that was told
	beat      uint64
	heard     time.Time // when the beat changed
}

// showScreens is the subcommand that shows how things stand, until ctx ends.
func showScreens(ctx context.Context, args []string, _, stderr io.Writer) int {
	if len(args) > 0 {
		fmt.Fprintln(stderr, "usage: lwcd screen\nShows how things stand on the consoles of an appliance; it takes no arguments.")
		return exitUsage
	}
	s := &screens{machine: machine{files: os.DirFS("/")}, report: report.Path, provision: provision.StatusPath,
		log: slog.New(slog.NewJSONHandler(stderr, nil)), terminals: map[string]*screen.Terminal{}, lost: map[string]bool{}}
	limitMemory(supervisorMemory)
	s.run(ctx)
	return exitStopped
}

func (s *screens) run(ctx context.Context) {
	defer func() {
		for _, t := range s.terminals {
			t.Close() //nolint:errcheck // nothing is lost
		}
	}()
	for s.heard = time.Now(); ; {
		lines := s.view().Lines()
		for _, path := range terminals(s.machine.files) {
			s.show(path, lines)
		}
		if !sleep(ctx, statusEvery) {
			return
		}
	}
}

func (s *screens) show(path string, lines []string) {
	t := s.terminals[path]
	if t == nil {
		t = screen.NewTerminal(path)
		s.terminals[path] = t
	}
	err := t.Show(lines)
	if lost := err != nil; lost != s.lost[path] {
		s.lost[path] = lost
		if lost {
			s.log.Info("a terminal shows nothing", "error", err)
		} else {
			s.log.Info("a terminal shows how things stand again", "terminal", path)
		}
	}
}

// terminals are those that the kernel has its console on, the first display in
// place of whichever is in front (tty0).
func terminals(files fs.FS) []string {
	text, err := fs.ReadFile(files, "sys/class/tty/console/active")
	if err != nil {
		return nil
	}
	var out []string
	for _, name := range strings.Fields(string(text)) {
		if name == "tty0" {
			name = "tty1"
		}
		out = append(out, "/dev/"+name)
	}
	return out
}

// view gathers what there is to show.
func (s *screens) view() screen.View {
	m := s.machine
	v := screen.View{Image: m.image(), Trial: m.trial(), Hardware: m.hardware(), SecureBoot: m.secureBoot(), Cards: cards(m.files)}
	if p, err := provision.ReadStatus(s.provision); err == nil {
		v.Provision = p
	}
	r, err := report.Read(s.report)
	switch {
	case err == nil:
		if r.Beat != s.beat {
			s.beat, s.heard = r.Beat, time.Now()
		}
		v.Report = &r
	case !errors.Is(err, fs.ErrNotExist):
		s.log.Debug("what lwcd tells cannot be read", "error", err)
	}
	v.Silent = v.Report != nil && time.Since(s.heard) > silentAfter
	return v
}

// cards are the network cards of this network namespace: those of the ports are
// elsewhere once the ports are up.
func cards(files fs.FS) []screen.Card {
	const dir = "sys/class/net"
	names, err := fs.ReadDir(files, dir)
	if err != nil {
		return nil
	}
	var out []screen.Card
	for _, n := range names {
		c := screen.Card{Name: n.Name()}
		driver, err := fs.ReadLink(files, path.Join(dir, c.Name, "device/driver"))
		if err != nil {
			continue // not a card: lo, a bridge, a VLAN
		}
		c.Driver = path.Base(driver)
		if mac, err := fs.ReadFile(files, path.Join(dir, c.Name, "address")); err == nil {
			c.MAC = strings.TrimSpace(string(mac))
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b screen.Card) int { return strings.Compare(a.Name, b.Name) })
	return out
}
