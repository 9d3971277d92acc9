package main

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// notifier is the task that talks to systemd (sd_notify(3)). Without systemd it
// does nothing but watch.
type notifier struct {
	tasks  []task
	status func() string
	log    *slog.Logger
	quit   atomic.Bool
	said   string
}

const (
	// statusEvery is how often the status text is brought up to date.
	statusEvery = time.Second
	// aliveLimit is how long the tasks may take together to give a sign of life.
	aliveLimit = 5 * time.Second
	// startExtension is asked for while a port is waited for; it is renewed
	// each second.
	startExtension = "EXTEND_TIMEOUT_USEC=30000000"
)

func newNotifier(tasks []task, status func() string, log *slog.Logger) *notifier {
	return &notifier{tasks: tasks, status: status, log: log}
}

func (n *notifier) String() string              { return "notify" }
func (n *notifier) Ready() <-chan struct{}      { return n.tasks[0].Ready() }
func (n *notifier) Alive(context.Context) error { return nil }

// Run says READY once the ports are enforced (the first task is ready), keeps the
// status text, and pings the watchdog as long as every task is alive.
func (n *notifier) Run(ctx context.Context) error {
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("reading the watchdog interval", "error", err)
	}
	if interval > 0 {
		interval /= 3 // two pings may be late
	}
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	ready := n.Ready()
	for pinged := (time.Time{}); ; {
		n.sayStatus()
		if interval > 0 && time.Since(pinged) >= interval && n.alive(ctx) {
			n.send(sd.SdNotifyWatchdog)
			pinged = time.Now()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ready:
			ready = nil
			n.send(sd.SdNotifyReady)
		case <-tick.C:
			if ready != nil {
				n.send(startExtension)
			}
		}
	}
}

// alive asks every task; one that does not answer stops the pings, so that
// systemd restarts the daemon.
func (n *notifier) alive(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, aliveLimit)
	defer cancel()
	for _, t := range n.tasks {
		if err := t.Alive(ctx); err != nil {
			n.log.Error("a task gives no sign of life", "task", t.String(), "error", err)
			return false
		}
	}
	return true
}

func (n *notifier) sayStatus() {
	text := oneLine(n.status())
	if text != n.said && !n.quit.Load() {
		n.said = text
		n.send("STATUS=" + text)
	}
}

// maxStatus keeps a datagram small.
const maxStatus = 1000

// oneLine makes a text fit into one assignment of the protocol.
func oneLine(text string) string {
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, "\n", "; ")), " ")
	if len(text) > maxStatus {
		text = strings.ToValidUTF8(text[:maxStatus], "") + "…"
	}
	return text
}

// stopping announces a stop.
func (n *notifier) stopping() {
	n.quit.Store(true)
	n.send(sd.SdNotifyStopping + "\nSTATUS=stopping")
}

func (n *notifier) send(state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		n.log.Warn("notifying systemd", "error", err)
	}
}
