package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"lwc/cmd/lwc-demo/site"
	"lwc/netguard"
	"lwc/netguard/netguardtest"
)

// ports shows that the two ports are kept apart: who holds what, what may be
// done by whom, and what becomes of four attacks.
func (d *demo) ports(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, collectTime)
	defer cancel()
	d.say("\nThe two ports")
	for _, step := range []func(context.Context) error{d.rooms, d.halves, d.plainDials, d.scan, d.tamper, d.told} {
		if err := step(ctx); err != nil {
			return fmt.Errorf("showing the two ports: %w", err)
		}
	}
	return nil
}

// rooms shows what each namespace holds beside lo.
func (d *demo) rooms(context.Context) error {
	rooms, err := d.site.Rooms()
	w := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nNAMESPACE\tHOLDS BESIDE lo")
	for _, r := range rooms {
		holds := "nothing"
		if len(r.Links) > 0 {
			holds = strings.Join(r.Links, ", ")
		}
		fmt.Fprintf(w, "%s\t%s\n", r.Name, holds)
	}
	return errors.Join(err, w.Flush())
}

// halves shows the two processes of lwcd, and checks what they may do.
func (d *demo) halves(context.Context) error {
	supervisor, collector, err := d.site.Halves()
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nHALF OF LWCD\tPID\tUID\tTHREADS\tMORE TO BE HAD\tCAPABILITIES")
	for _, p := range []site.Process{supervisor, collector} {
		more := "yes"
		if p.Bounding&^p.Capabilities == 0 && p.NoNewPrivileges {
			more = "no"
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\t%s\n", p.Name, p.PID, strings.Trim(fmt.Sprint(p.UIDs), "[]"), p.Threads, more, p.Capabilities)
	}
	return errors.Join(w.Flush(), privileges(supervisor, collector, d.site.OwnUser()))
}

// privileges says which half may do other than it should; ownUser, that the
// collector half has to be another user than the supervisor.
func privileges(supervisor, collector site.Process, ownUser bool) error {
	var wrong []error
	if collector.Capabilities != 0 {
		wrong = append(wrong, fmt.Errorf("a thread of the collector half has capabilities: %s", collector.Capabilities))
	}
	if collector.Bounding != 0 {
		wrong = append(wrong, fmt.Errorf("a thread of the collector half could be given capabilities: %s", collector.Bounding))
	}
	if !collector.NoNewPrivileges {
		wrong = append(wrong, errors.New("a thread of the collector half could get privileges by starting a program"))
	}
	if len(collector.UIDs) != 1 {
		wrong = append(wrong, fmt.Errorf("threads of the collector half belong to several users: %v", collector.UIDs))
	}
	if ownUser && slices.ContainsFunc(collector.UIDs, func(uid int) bool { return slices.Contains(supervisor.UIDs, uid) }) {
		wrong = append(wrong, fmt.Errorf("the collector half is the user of the supervisor: %v", collector.UIDs))
	}
	if supervisor.Capabilities&site.NetAdmin == 0 {
		wrong = append(wrong, errors.New("the supervisor lacks NET_ADMIN: it could not put anything right"))
	}
	return errors.Join(wrong...)
}

// plainDials shows that code which forgets netguard reaches nothing.
func (d *demo) plainDials(ctx context.Context) error {
	dials, err := d.site.PlainDials(ctx)
	if err != nil {
		return err
	}
	d.say("\nA connection past the ports, from the collector half's own namespace:")
	for _, p := range dials {
		if p.Error == nil {
			return fmt.Errorf("a plain connection to %s was answered", p.To)
		}
		d.say("  to %s: %v", p.To, p.Error)
	}
	return nil
}

func (d *demo) scan(ctx context.Context) error {
	guarded, open, err := d.site.Scan(ctx)
	if err != nil {
		return err
	}
	kinds := make([]string, 0, len(guarded.Sent))
	for kind, n := range guarded.Sent {
		kinds = append(kinds, fmt.Sprintf("%d %s", n, kind))
	}
	slices.Sort(kinds)
	d.say("\nA scan of the External Port %s from the cloud's network (%s):", guarded.Target, strings.Join(kinds, ", "))
	d.say("  %d probes sent, %d answers in %.1f s", sent(guarded), guarded.Answered, guarded.Took.Seconds())
	d.say("  the same scan of a port that nobody guards: %d answers", open.Answered)
	return silent(guarded, open)
}

func sent(r netguardtest.Report) int {
	n := 0
	for _, of := range r.Sent {
		n += of
	}
	return n
}

// silent judges a scan; that of an open port shows that it would have noticed.
func silent(guarded, open netguardtest.Report) error {
	switch {
	case guarded.Answered > 0:
		return fmt.Errorf("the External Port answered: %s", guarded)
	case sent(guarded) < 65535:
		return fmt.Errorf("the scan sent only %d probes", sent(guarded))
	case open.Answered == 0:
		return fmt.Errorf("the scan does not notice answers: an open port gave none")
	}
	return nil
}

// tamper switches forwarding on in both port namespaces, as only root on the box
// can, and shows how long it lasts and what the cloud is told.
func (d *demo) tamper(ctx context.Context) error {
	d.say("\nAn attack by root on the box, while the collector is at work:")
	for _, t := range []struct{ namespace, port string }{{netguard.InternalNamespace, "internal"}, {netguard.ExternalNamespace, "external"}} {
		began := time.Now()
		stood, err := d.site.SwitchForwardingOn(ctx, t.namespace)
		if err != nil {
			return err
		}
		e, err := d.site.WaitViolation(ctx, began, "sysctl", t.port, true)
		if err != nil {
			return err
		}
		v := e.Violation
		d.say("  ip_forward=1 in %s: 0 again after %.1f ms", t.namespace, float64(stood)/float64(time.Millisecond))
		d.say("    the cloud was told: at %s, %s port, %s: %s; put right: %t", v.At.UTC().Format("15:04:05.000"), v.Port, v.Kind, v.Detail, v.Healed)
	}
	return nil
}

// told shows the line of the collector in the cloud, once that knows of the attack.
func (d *demo) told(ctx context.Context) error {
	if err := d.site.WaitHealed(ctx); err != nil {
		return err
	}
	d.say("\n$ lwc-cloud collectors")
	return d.site.CloudTo(ctx, d.out, "collectors")
}
