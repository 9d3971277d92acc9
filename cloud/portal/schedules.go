package portal

import (
	"cmp"
	"slices"
	"strings"

	"lwc/cloud/fleet"
	"lwc/transport/wire"
)

// dayBox is one day to tick.
type dayBox struct {
	Name string
	On   bool
}

func dayBoxes(on []string) []dayBox {
	var out []dayBox
	for _, d := range fleet.Days() {
		out = append(out, dayBox{d, slices.Contains(on, d)})
	}
	return out
}

// scheduleNamed returns an empty one where there is none.
func (d *loginsData) scheduleNamed(name string) wire.Schedule {
	at := slices.IndexFunc(d.Schedules, func(s wire.Schedule) bool { return s.Name == name })
	if at < 0 {
		return wire.Schedule{}
	}
	return d.Schedules[at]
}

// inSchedule fills the form of schedules. What is stored tells whether it changes
// an entry. The first of a collector is offered the usual name.
func (d *loginsData) inSchedule(s wire.Schedule) {
	d.EditSchedule = d.scheduleNamed(s.Name).Name != ""
	if len(d.Schedules) == 0 {
		s.Name = cmp.Or(s.Name, wire.DefaultProfile)
	}
	d.Schedule, d.Days = s, dayBoxes(s.Days)
}

// putSchedule adds a schedule, or replaces the one of that name.
func (p *Portal) putSchedule(v *visit) error {
	if err := v.r.ParseForm(); err != nil {
		return err
	}
	s := wire.Schedule{Name: cmp.Or(v.form("name"), wire.DefaultProfile), Start: v.form("start"), Window: v.form("window"), Timezone: v.form("timezone"),
		Collect: v.form("collect"), Days: v.r.PostForm["day"], Profiles: strings.Fields(v.form("profiles"))}
	if len(s.Days) == len(fleet.Days()) {
		s.Days = nil // every day
	}
	return v.reviseForm("The schedule "+s.Name+" was saved.", func(d *loginsData) { d.inSchedule(s) }, func(f *fleet.Spec) error {
		at := slices.IndexFunc(f.Schedules, func(o wire.Schedule) bool { return o.Name == s.Name })
		if at < 0 {
			f.Schedules = append(f.Schedules, s)
		} else {
			f.Schedules[at] = s
		}
		return nil
	})
}

func (p *Portal) deleteSchedule(v *visit) error {
	name := v.form("name")
	return v.reviseForm("The schedule "+name+" was deleted.", func(*loginsData) {}, func(f *fleet.Spec) error {
		f.Schedules = slices.DeleteFunc(f.Schedules, func(s wire.Schedule) bool { return s.Name == name })
		return nil
	})
}

// egressForm is the form of what may leave, as typed or as stored.
type egressForm struct{ Mode, Hold, Wait string }

func egressOf(e wire.Egress) egressForm {
	return egressForm{cmp.Or(e.Mode, wire.EgressSend), strings.Join(e.Hold, "\n"), e.Wait}
}

// putEgress changes what may leave the site. Items and wait count only where
// something is held.
func (p *Portal) putEgress(v *visit) error {
	form := egressForm{v.form("mode"), v.form("hold"), v.form("wait")}
	e := wire.Egress{Mode: form.Mode}
	if form.Mode == wire.EgressHold {
		e.Hold, e.Wait = strings.Fields(form.Hold), form.Wait
	}
	return v.reviseForm("What may leave the site was saved.", func(d *loginsData) { d.Egress = form }, func(s *fleet.Spec) error {
		s.Egress = e
		return nil
	})
}
