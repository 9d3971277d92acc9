package main

import (
	"context"
	"log/slog"
	"time"

	"lwc/cmd/lwcd/report"
	"lwc/netguard"
)

// reporter is the task that tells other programs of the machine how things stand.
type reporter struct {
	path string // empty: nobody is told
	now  func() report.Report
	log  *slog.Logger

	beat uint64
	last report.Report
	at   time.Time
	lost bool // the last one could not be written, and that was told
}

// run writes a report when something has changed, and at times, until ctx ends.
func (r *reporter) run(ctx context.Context) {
	for r.path != "" {
		r.tell(r.now())
		if !sleep(ctx, statusEvery) {
			return
		}
	}
}

func (r *reporter) tell(now report.Report) {
	if now == r.last && time.Since(r.at) < report.Every {
		return
	}
	r.beat++
	r.last, r.at = now, time.Now()
	now.Beat = r.beat
	err := report.Write(r.path, now)
	if lost := err != nil; lost != r.lost {
		r.lost = lost
		if lost {
			r.log.Warn("telling how things stand", "error", err)
		}
	}
}

// report says how things stand.
func (s *supervisor) report() report.Report {
	s.mu.Lock()
	t, detail, cause := s.site, s.detail, s.cause
	s.mu.Unlock()
	if t == nil {
		return report.Report{Version: release(), Ports: report.Down, Cause: cause, Detail: oneLine(detail)}
	}
	return t.report()
}

func (t *site) report() report.Report {
	st := t.guard.State()
	r, text := t.half.last()
	out := report.Report{Version: release(), Ports: portsWord(st.Status), Since: st.Since.UTC().Truncate(time.Second),
		Internal: t.reportPort(netguard.InternalSide), External: t.reportPort(netguard.ExternalSide),
		Collector: printable(r.Collector), Identity: printable(r.Identity), Cloud: printable(r.Cloud), Connected: r.Connected, Withheld: r.Withheld,
		Work: printable(named(text, r.Status)), Problem: printable(later(t.lastProblem(), r.Trouble))}
	if out.Ports != report.Open {
		out.Detail = oneLine(st.Detail)
		out.Cause = named(t.lastKind(), "other")
	}
	return out
}

// later returns the newer of two lines that begin with their time.
func later(a, b string) string { return max(a, b) }

func portsWord(s netguard.Status) string {
	switch s {
	case netguard.Open:
		return report.Open
	case netguard.Blocked:
		return report.Blocked
	}
	return report.Down
}

func (t *site) reportPort(side netguard.Side) report.Port {
	p, link := t.port(side)
	out := report.Port{Link: link.Name, MAC: link.MAC, DHCP: t.configured(side).DHCP}
	if len(p.Addresses) > 0 {
		out.Address = p.Addresses[0].String()
	}
	return out
}

func (t *site) configured(side netguard.Side) netguard.Port {
	if side == netguard.InternalSide {
		return t.conf.ports.Internal
	}
	return t.conf.ports.External
}

// connected tells whether there is a session that was welcomed.
func (l *link) connected() bool { return l.welcomed.Load() != 0 && l.up.Trouble() == nil }
