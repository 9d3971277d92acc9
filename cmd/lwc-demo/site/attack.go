package site

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"lwc/netguard/netguardtest"
)

// PortEvent is what lwc-cloud events --json says of the ports.
type PortEvent struct {
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind"`
	Text      string    `json:"text"`
	Advice    string    `json:"advice"`
	Violation *struct {
		Kind   string    `json:"kind"`
		Port   string    `json:"port"`
		Detail string    `json:"detail"`
		Healed bool      `json:"healed"`
		At     time.Time `json:"at"`
	} `json:"violation"`
}

// Events returns what the cloud was told, newest first.
func (s *Site) Events(ctx context.Context) ([]PortEvent, error) {
	out, err := s.Cloud(ctx, "events", "--json", "--limit", "500", "--collector", Collector)
	if err != nil {
		return nil, err
	}
	var all []PortEvent
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return nil, fmt.Errorf("reading the list of events: %w", err)
	}
	return all, nil
}

// sweepTime bounds how long the collector looks at its ports: what it finds has
// the time at which it began to.
const sweepTime = 50 * time.Millisecond

// WaitViolation waits until the cloud was told of a violation that was found
// since, of that kind and port (empty: outside both) and put right or not. It
// returns the first of them.
func (s *Site) WaitViolation(ctx context.Context, since time.Time, kind, port string, healed bool) (PortEvent, error) {
	var found PortEvent
	var problem error
	err := s.lwcd.waitFor(ctx, fmt.Sprintf("the cloud to be told of a violation: %s, port %q, put right %t", kind, port, healed), func() bool {
		var all []PortEvent
		if all, problem = s.Events(ctx); problem != nil {
			return false
		}
		for _, e := range all {
			v := e.Violation
			if v != nil && v.Kind == kind && v.Port == port && v.Healed == healed && v.At.After(since.Add(-sweepTime)) {
				found = e // the list begins with the newest
			}
		}
		return found.Violation != nil
	})
	if err != nil && problem != nil {
		err = fmt.Errorf("%w (%w)", err, problem)
	}
	return found, err
}

// forwarding is the setting whose change the demo's attack is: it makes a
// namespace pass on what is not for it.
const forwarding = "/proc/sys/net/ipv4/ip_forward"

// revertTime is how long a change may stand before the attack counts as won.
const revertTime = 2 * time.Second

// SwitchForwardingOn switches forwarding on in a port's namespace, as only root on the box
// can, and returns how long it stayed on.
func (s *Site) SwitchForwardingOn(ctx context.Context, namespace string) (time.Duration, error) {
	h, err := netguardtest.OpenHost(filepath.Join(namespaceDir, namespace))
	if err != nil {
		return 0, err
	}
	defer h.Close()
	var stood time.Duration
	err = h.Do(func() error {
		began := time.Now()
		if err := os.WriteFile(forwarding, []byte("1"), 0); err != nil {
			return err
		}
		for {
			b, err := os.ReadFile(forwarding)
			stood = time.Since(began)
			switch {
			case err != nil:
				return err
			case strings.TrimSpace(string(b)) == "0":
				return nil
			case stood > revertTime:
				return fmt.Errorf("it is still on after %s", stood)
			}
			if err := pause(ctx, 200*time.Microsecond); err != nil {
				return err
			}
		}
	})
	if err != nil {
		return stood, fmt.Errorf("switching forwarding on in %s: %w", namespace, err)
	}
	return stood, nil
}

// pause waits, unless ctx ends before.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
