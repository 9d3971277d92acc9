package main

import (
	"context"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
)

// notifier is the task that talks to systemd (sd_notify(3)). Without systemd it
// does nothing but watch.
type notifier struct {
	ready  <-chan struct{}             // closed when the ports are enforced
	alive  func(context.Context) error // nil: the daemon has made progress
	status func() string
	log    *slog.Logger
	quit   atomic.Bool // another one speaks, or all is said
	timely bool        // the start has to be over in the unit's time: no more is asked for
	said   string
}

const (
	// statusEvery is how often the status text is brought up to date.
	statusEvery = time.Second
	// aliveLimit is how long a sign of life may take.
	aliveLimit = 5 * time.Second
	// startExtension is asked for while a port is waited for; it is renewed
	// each second.
	startExtension = "EXTEND_TIMEOUT_USEC=30000000"
)

func newNotifier(ready <-chan struct{}, alive func(context.Context) error, status func() string, log *slog.Logger) *notifier {
	return &notifier{ready: ready, alive: alive, status: status, log: log}
}

// run says READY once the ports are enforced, keeps the status text, and pings
// the watchdog as long as the daemon is alive. It returns when ctx ends.
func (n *notifier) run(ctx context.Context) {
	interval, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		n.log.Warn("reading the watchdog interval", "error", err)
	}
	if interval > 0 {
		interval /= 3 // two pings may be late
	}
	tick := time.NewTicker(statusEvery)
	defer tick.Stop()
	ready := n.ready
	for pinged := (time.Time{}); ; {
		n.sayStatus()
		if interval > 0 && time.Since(pinged) >= interval && n.lives(ctx) {
			n.send(sd.SdNotifyWatchdog)
			pinged = time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-ready:
			ready = nil
			n.send(sd.SdNotifyReady)
		case <-tick.C:
			if ready != nil && !n.timely && !n.quit.Load() {
				n.send(startExtension)
			}
		}
	}
}

// lives tells whether there was a sign of life. Without one there are no pings,
// so that systemd restarts the daemon.
func (n *notifier) lives(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, aliveLimit)
	defer cancel()
	if err := n.alive(ctx); err != nil {
		n.log.Error("the daemon gives no sign of life", "error", err)
		return false
	}
	return true
}

// handOver leaves it to another process of ours to speak, or takes it back.
func (n *notifier) handOver(on bool) { n.quit.Store(on) }

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
	if err := notify(os.Getenv("NOTIFY_SOCKET"), state); err != nil {
		n.log.Warn("notifying systemd", "error", err)
	}
}

// sendLimit is how long systemd may leave its socket full: the daemon must not
// hang on it.
const sendLimit = time.Second

// notify sends one datagram (sd_notify(3)); without a socket there is no systemd.
func notify(socket, state string) error {
	if socket == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetWriteDeadline(time.Now().Add(sendLimit)); err != nil {
		return err
	}
	_, err = conn.Write([]byte(state))
	return err
}
