package fleet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// Bounds of schedules and of what waits for approvals.
const (
	maxSchedules = 16
	maxWait      = 24 * time.Hour
	minWindow    = time.Minute
	maxWindow    = 23 * time.Hour // a day with a change of the clocks has no more
)

// Days lists the names of days, as a schedule has them.
func Days() []string { return []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"} }

// EgressModes lists the modes of an egress, the usual one first.
func EgressModes() []string {
	return []string{wire.EgressSend, wire.EgressDryRun, wire.EgressHold}
}

func (c *checker) schedules(ss []wire.Schedule) {
	if len(ss) > maxSchedules {
		c.add("schedules", "%d schedules, more than %d: join those that collect the same", len(ss), maxSchedules)
	}
	first := map[string]int{}
	for i, s := range ss {
		path := fmt.Sprintf("schedules[%d]", i)
		name := cmp.Or(s.Name, wire.DefaultProfile)
		if j, dup := first[name]; dup {
			c.add(path+".name", "the name %q is taken by schedules[%d]: give each its own (left out, it is %s)", name, j, wire.DefaultProfile)
		} else {
			first[name] = i
			c.id(path+".name", name)
		}
		c.times(path, s)
		c.choice(path, s)
	}
}

// times checks when a schedule collects.
func (c *checker) times(path string, s wire.Schedule) {
	switch {
	case s.Start == "" && (s.Window != "" || s.Timezone != ""):
		c.add(path, "a window or time zone without start: add start, as in start: \"02:00\"")
	case s.Start == "":
		c.add(path, "no start: give the time of day at which the window opens, as in start: \"02:00\", or leave the schedule out")
	case !timeForm.MatchString(s.Start):
		c.add(path+".start", "%.40q is not a time of day: write it as \"02:00\", from 00:00 to 23:59", s.Start)
	}
	if s.Window != "" {
		d, err := time.ParseDuration(s.Window)
		if err != nil || d < minWindow || d > maxWindow {
			c.add(path+".window", "%.40q is not a length of time from 1m to 23h: write it as 30m, 2h or 1h30m", s.Window)
		}
	}
	if s.Timezone != "" {
		if _, err := time.LoadLocation(s.Timezone); err != nil || s.Timezone == "Local" {
			c.add(path+".timezone", "%.60q is not a time zone: give its IANA name, as Europe/Berlin or UTC", s.Timezone)
		}
	}
	for i, day := range s.Days {
		at := fmt.Sprintf("%s.days[%d]", path, i)
		if !slices.Contains(Days(), day) {
			c.add(at, "%.40q is not a day%s: give mon, tue, wed, thu, fri, sat or sun", day, Suggest(strings.ToLower(day), Days()))
		} else if slices.Index(s.Days, day) < i {
			c.add(at, "%q stands twice", day)
		}
	}
}

// choice checks what a schedule collects, and of which devices.
func (c *checker) choice(path string, s wire.Schedule) {
	if s.Collect != "" {
		c.profile(path+".collect", s.Collect)
	}
	for i, p := range s.Profiles {
		at := fmt.Sprintf("%s.profiles[%d]", path, i)
		c.profile(at, p)
		if slices.Index(s.Profiles, p) < i {
			c.add(at, "%q stands twice", p)
		}
	}
}

func (c *checker) profile(path, name string) {
	if !slices.Contains(c.names.profiles, name) {
		c.add(path, "no profile %.80q is defined%s", name, Suggest(name, c.names.profiles))
	}
}

func (c *checker) egress(e wire.Egress) {
	if e.Mode != "" && !slices.Contains(EgressModes(), e.Mode) {
		c.add("egress.mode", "%.40q is not a mode%s: give send, dry-run or hold", e.Mode, Suggest(e.Mode, EgressModes()))
		return
	}
	if e.Mode == wire.EgressHold && len(e.Hold) == 0 {
		c.add("egress", "mode hold and no item that is held: name some in hold, as hold: [show-arp-no-resolve], or choose mode send")
	}
	if e.Mode != wire.EgressHold && len(e.Hold) > 0 {
		c.add("egress.hold", "items are held only in mode hold: say mode: hold, or leave hold out")
	}
	if e.Mode != wire.EgressHold && e.Wait != "" {
		c.add("egress.wait", "nothing waits but in mode hold: say mode: hold, or leave wait out")
	}
	for i, item := range e.Hold {
		at := fmt.Sprintf("egress.hold[%d]", i)
		if _, ok := junos.Lookup(item); !ok {
			c.add(at, "%.80q is not an item of the catalogue%s", item, Suggest(item, itemNames()))
		} else if slices.Index(e.Hold, item) < i {
			c.add(at, "%q stands twice", item)
		}
	}
	if e.Wait != "" {
		if d, err := time.ParseDuration(e.Wait); err != nil || d < time.Minute || d > maxWait {
			c.add("egress.wait", "%.40q is not a length of time from 1m to 24h: write it as 30m, 1h or 8h", e.Wait)
		}
	}
}

// maxGroups bounds the groups of one device.
const maxGroups = 32

func (c *checker) groups(path string, groups []string) {
	if len(groups) > maxGroups {
		c.add(path, "%d groups, more than %d", len(groups), maxGroups)
	}
	for i, g := range groups {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.id(at, g)
		if slices.Index(groups, g) < i {
			c.add(at, "%q stands twice", g)
		}
	}
}
