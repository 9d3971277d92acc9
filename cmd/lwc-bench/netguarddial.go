package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"lwc/netguard"
	"lwc/netguard/netguardtest"
)

// The limits of a verification and of what a dial costs more than a plain one.
const (
	verifyLimit   = 5 * time.Millisecond
	overheadLimit = 500 * time.Microsecond
)

// verifications is how many are timed.
const verifications = 500

// verify measures a verification of everything.
func (b *guardBench) verify(ctx context.Context) error {
	s, err := b.newSite()
	if err != nil {
		return err
	}
	defer s.close()
	g, err := netguard.Up(ctx, s.config)
	if err != nil {
		return err
	}
	defer g.Close()
	var times spread
	for range verifications {
		start := time.Now()
		report, err := g.Verify(ctx)
		times = append(times, time.Since(start))
		if err := errors.Join(err, report.Err()); err != nil {
			return err
		}
	}
	b.say("%d times: p50 %.2f ms, p99 %.2f ms, max %.2f ms", len(times), ms(times.at(0.5)), ms(times.at(0.99)), ms(times.at(1)))
	b.goal("netguard-verify-p50-ms", ms(times.at(0.5)), ms(verifyLimit))
	b.goal("netguard-verify-p99-ms", ms(times.at(0.99)), ms(verifyLimit))
	return nil
}

// dialFunc times one dial.
type dialFunc func(ctx context.Context, address string) (time.Duration, error)

func timed(dial func(ctx context.Context, network, address string) (net.Conn, error)) dialFunc {
	return func(ctx context.Context, address string) (time.Duration, error) {
		start := time.Now()
		c, err := dial(ctx, "tcp", address)
		took := time.Since(start)
		if err != nil {
			return 0, err
		}
		return took, c.Close()
	}
}

// dial compares dials through the ports with plain ones that a process inside the
// port's namespace makes, to the same peer, in turn.
func (b *guardBench) dial(ctx context.Context) error {
	s, err := b.newSite()
	if err != nil {
		return err
	}
	defer s.close()
	g, err := netguard.Up(ctx, s.config)
	if err != nil {
		return err
	}
	defer g.Close()
	h, leave, err := joined(ctx, g)
	if err != nil {
		return err
	}
	defer leave()
	b.say("%-10s %-22s %9s %9s", "port", "dialled by", "p50 ms", "p99 ms")
	err = b.dialSide(ctx, s, side{"internal", netguard.InternalNamespace, s.site.Internal, devicePort},
		timed(g.Internal().DialContext), timed(h.Internal().DialContext))
	if err != nil {
		return err
	}
	return b.dialSide(ctx, s, side{"external", netguard.ExternalNamespace, s.site.External, cloudPort},
		timed(g.External().DialContext), timed(h.External().DialContext))
}

// side is one port and the peer behind it.
type side struct {
	name, namespace string
	wire            netguardtest.Wire
	port            uint16
}

func (b *guardBench) dialSide(ctx context.Context, s *guardSite, at side, guard, half dialFunc) error {
	address := netip.AddrPortFrom(at.wire.Far4.Addr(), at.port).String()
	l, err := at.wire.Far.Listen(address)
	if err != nil {
		return err
	}
	defer l.Close()
	go acceptAll(l)
	plain, stop, err := s.plainDialer(ctx, at.namespace)
	if err != nil {
		return err
	}
	defer stop()
	contenders := []struct {
		name string
		dial dialFunc
	}{{"a plain dialer", plain}, {"the guard", guard}, {"the collector's half", half}}
	times := make([]spread, len(contenders))
	// The guard's dial first: it makes the wall let the peer's address out.
	for i := range b.dials * len(contenders) {
		who := (i + 1) % len(contenders)
		took, err := contenders[who].dial(ctx, address)
		if err != nil {
			return fmt.Errorf("%s: %w", contenders[who].name, err)
		}
		times[who] = append(times[who], took)
	}
	for i, c := range contenders {
		b.say("%-10s %-22s %9.3f %9.3f", at.name, c.name, ms(times[i].at(0.5)), ms(times[i].at(0.99)))
	}
	for i, who := range []string{"guard", "half"} {
		for _, q := range []struct {
			name string
			at   float64
		}{{"p50", 0.5}, {"p99", 0.99}} {
			more := times[i+1].at(q.at) - times[0].at(q.at)
			b.goal(fmt.Sprintf("netguard-dial-%s-%s-%s-more-ms", at.name, who, q.name), ms(more), ms(overheadLimit))
		}
	}
	return nil
}

func acceptAll(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_ = c.Close()
	}
}

// plainDialer starts a process in a namespace that dials as any program does.
func (s *guardSite) plainDialer(ctx context.Context, namespace string) (dialFunc, func(), error) {
	h, err := s.inside(namespace)
	if err != nil {
		return nil, nil, err
	}
	defer h.Close()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "dialer")
	cmd.Stderr = s.stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := h.Do(cmd.Start); err != nil { // a child is where the thread is that starts it
		return nil, nil, fmt.Errorf("starting a plain dialer: %w", err)
	}
	lines := bufio.NewReader(out)
	dial := func(_ context.Context, address string) (time.Duration, error) {
		if _, err := fmt.Fprintln(in, address); err != nil {
			return 0, err
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			return 0, err
		}
		ns, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		return time.Duration(ns), err
	}
	return dial, func() { _ = in.Close(); _ = cmd.Wait() }, nil
}

// runDialer is that process: an address a line in, nanoseconds a line out.
func runDialer(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var d net.Dialer
	d.SetMultipathTCP(false)
	dial := timed(d.DialContext)
	for lines := bufio.NewScanner(stdin); lines.Scan(); {
		took, err := dial(ctx, lines.Text())
		if err != nil {
			return err
		}
		fmt.Fprintln(stdout, took.Nanoseconds())
	}
	return nil
}
