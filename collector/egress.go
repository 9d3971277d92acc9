package collector

import (
	"strconv"
	"time"

	"lwc/junos"
	"lwc/transport/wire"
)

// DefaultApprovalWait is how long a run waits for approvals after its last device.
const DefaultApprovalWait = time.Hour

// The bounds of an egress wait: below, nobody can approve anything; above, held
// documents would be in the way of the next day's.
const (
	minApprovalWait = time.Minute
	maxApprovalWait = 24 * time.Hour
)

// egress says what may leave, checked.
type egress struct {
	mode string          // one of wire's
	hold map[string]bool // items whose bodies wait for an approval; nil but in mode hold
	wait time.Duration   // for approvals
}

// holds tells whether the body of an item waits for an approval.
func (e egress) holds(item string) bool { return e.hold[item] }

// egress checks what may leave. What is wrong with it never lets more leave: a
// mode that this version does not know keeps all bodies here.
func (a *accepting) egress() {
	d, e := a.d.Egress, &a.fleet.egress
	e.mode, e.wait = d.Mode, DefaultApprovalWait
	switch d.Mode {
	case "":
		e.mode = wire.EgressSend
	case wire.EgressSend, wire.EgressDryRun, wire.EgressHold:
	default:
		a.faults.add("egress/mode", "%.40q is not one of %s, %s, %s; until it is, no document leaves, as with %s",
			d.Mode, wire.EgressSend, wire.EgressDryRun, wire.EgressHold, wire.EgressDryRun)
		e.mode = wire.EgressDryRun
	}
	a.approvalWait(d.Wait)
	a.heldItems(d.Hold)
}

func (a *accepting) approvalWait(text string) {
	if text == "" {
		return
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < minApprovalWait || d > maxApprovalWait {
		a.faults.add("egress/wait", "%.40q is not a time between %v and %v, such as \"1h\"; %v is used",
			text, minApprovalWait, maxApprovalWait, DefaultApprovalWait)
		return
	}
	a.fleet.egress.wait = d
}

func (a *accepting) heldItems(names []string) {
	e := &a.fleet.egress
	if e.mode == wire.EgressSend && len(names) > 0 {
		a.faults.add("egress/hold", "items are named, and the mode is %s, so they leave without an approval; set the mode %s", wire.EgressSend, wire.EgressHold)
	}
	if e.mode != wire.EgressHold {
		return
	}
	e.hold = map[string]bool{}
	for i, name := range names {
		if _, ok := junos.Lookup(name); !ok {
			a.faults.add("egress/hold/#"+strconv.Itoa(i+1), "this version does not know the item %.80q, so it is not held", name)
			continue
		}
		e.hold[name] = true
	}
	if len(e.hold) == 0 {
		a.faults.add("egress/hold", "the mode is %s, and no item is named that could be held, so all leave; name the items", wire.EgressHold)
	}
}
