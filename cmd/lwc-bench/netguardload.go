package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"lwc/netguard/netguardtest"
)

// idleLimit is the share of one core, in percent, that a guard and the collector's
// half may use while nothing happens.
const idleLimit = 0.2

// settling is the time after which the work of the start has ended: the probe of
// the segment, and what the kernel tells of new addresses.
const settling = 10 * time.Second

// idleCost watches a process that holds the ports, with and without the half.
func (b *guardBench) idleCost(ctx context.Context) error {
	s, err := b.newSite()
	if err != nil {
		return err
	}
	defer s.close()
	for _, what := range []struct {
		name, goal string
		half       bool
	}{{"the guard", "netguard-idle-guard-percent", false}, {"the guard and the collector's half", "netguard-idle-both-percent", true}} {
		percent, err := s.idle(ctx, what.half, b.idle)
		if err != nil {
			return err
		}
		b.say("%s: %.3f %% of one core over %v", what.name, percent, b.idle)
		b.goal(what.goal, percent, idleLimit)
	}
	return nil
}

func (s *guardSite) idle(ctx context.Context, half bool, d time.Duration) (percent float64, err error) {
	g, err := s.up(ctx, half)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, g.stop()) }()
	if err := paused(ctx, settling); err != nil {
		return 0, err
	}
	before, err := processTime(g.cmd.Process)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := paused(ctx, d); err != nil {
		return 0, err
	}
	after, err := processTime(g.cmd.Process)
	return 100 * float64(after-before) / float64(time.Since(start)), err
}

// processTime is what all threads of a process used so far. The number of its clock is
// made of its id (clock_getcpuclockid(3), MAKE_PROCESS_CPUCLOCK of the kernel).
func processTime(p *os.Process) (time.Duration, error) {
	const sched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^p.Pid)<<3|sched, &ts); err != nil {
		return 0, fmt.Errorf("reading the processor time of a guard: %w", err)
	}
	return time.Duration(ts.Nano()), nil
}

// floodRate is in frames a second, to each of the two ports.
const floodRate = 20_000

// killed counts the frames that cross while guards are killed and come back.
func (b *guardBench) killed(ctx context.Context) error {
	open, err := netguardtest.NewOpenSite()
	if err != nil {
		return err
	}
	control, err := crossing(ctx, open, time.Second, nil)
	open.Close()
	open.Box.Close()
	if err != nil {
		return fmt.Errorf("without a guard: %w", err)
	}
	b.say("without a guard: %d of %d frames crossed", control.crossed, control.sent)
	if control.crossed < control.sent/2 {
		return errors.New("without a guard: most frames should cross, or the judges see nothing")
	}
	s, err := b.newSite()
	if err != nil {
		return err
	}
	defer s.close()
	var kills int
	f, err := crossing(ctx, s.site, b.flood, func(ctx context.Context) error {
		kills, err = s.reincarnate(ctx)
		return err
	})
	if err != nil {
		return err
	}
	b.say("with guards, killed and started %d times: %d of %d frames crossed", kills, f.crossed, f.sent)
	b.goal("netguard-killed-crossed-frames", float64(f.crossed), 0)
	return nil
}

// reincarnate kills guards and starts others until ctx ends.
func (s *guardSite) reincarnate(ctx context.Context) (kills int, err error) {
	for {
		g, err := s.up(context.WithoutCancel(ctx), false)
		if err != nil {
			return kills, err
		}
		if paused(ctx, 300*time.Millisecond) != nil {
			return kills, g.stop()
		}
		g.kill()
		kills++
		if paused(ctx, 200*time.Millisecond) != nil { // frames meet a port without a guard
			return kills, nil
		}
	}
}

// flooding is how many frames were sent and how many came out on the other side.
type flooding struct{ sent, crossed int }

// crossing floods both ports with frames for the host behind the other, for the
// time d and while meanwhile goes on.
func crossing(ctx context.Context, s *netguardtest.Site, d time.Duration, meanwhile func(context.Context) error) (f flooding, err error) {
	wires := []netguardtest.Wire{s.Internal, s.External}
	// One for each direction: an answer to a frame may quote it, and goes back.
	nonces := []netguardtest.Nonce{netguardtest.NewNonce(), netguardtest.NewNonce()}
	var sniffers []*netguardtest.Sniffer
	for i, w := range wires {
		sniffer, err := netguardtest.Sniff(w.Far, netguardtest.FarLink, nonces[1-i].In)
		if err != nil {
			return f, err
		}
		sniffers = append(sniffers, sniffer)
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	type result struct {
		sent int
		err  error
	}
	done := make(chan result, len(wires))
	for i, w := range wires {
		go func() {
			sent, err := pour(ctx, w, wires[1-i], nonces[i])
			done <- result{sent, err}
		}()
	}
	if meanwhile != nil {
		err = meanwhile(ctx)
	}
	for range wires {
		r := <-done
		f.sent += r.sent
		err = errors.Join(err, r.err)
	}
	for _, sniffer := range sniffers {
		n, stopErr := sniffer.Stop()
		f.crossed += n
		err = errors.Join(err, stopErr)
	}
	return f, err
}

// pour sends datagrams to the port of w that are for the host behind the other.
func pour(ctx context.Context, w, other netguardtest.Wire, nonce netguardtest.Nonce) (int, error) {
	sender, err := w.Far.Sender(netguardtest.FarLink)
	if err != nil {
		return 0, err
	}
	defer sender.Close()
	from, to := netip.AddrPortFrom(w.Far4.Addr(), 40000), netip.AddrPortFrom(other.Far4.Addr(), 40001)
	frame := netguardtest.UDP(from, to, nonce[:]).Frame(w.MAC, net.HardwareAddr(w.FarMAC))
	return sender.Flood(ctx, floodRate, frame)
}
