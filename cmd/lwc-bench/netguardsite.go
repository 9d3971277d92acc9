package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"lwc/netguard"
	"lwc/netguard/netguardtest"
)

// The ports of the simulated hosts, which the guard lets dial.
const (
	devicePort = 830
	cloudPort  = 443
)

// guardSite is the two ports, the hosts behind them, and what a guard makes of them.
type guardSite struct {
	site   *netguardtest.Site
	home   *netguardtest.Host
	config netguard.Config
	stderr io.Writer
}

// newSite makes the hosts and the cards. The home namespace is that of the process.
func (b *guardBench) newSite() (*guardSite, error) {
	home, err := netguardtest.OpenHost("/proc/self/ns/net")
	if err != nil {
		return nil, err
	}
	s, err := netguardtest.NewSite(home, "lwcint0", "lwcext0")
	if err != nil {
		home.Close()
		return nil, err
	}
	in, ext := s.Internal, s.External
	return &guardSite{site: s, home: home, stderr: b.stderr, config: netguard.Config{
		Mode: b.mode, NamespaceDir: b.dir,
		Internal: netguard.Port{Interface: in.Port, MTU: 1500, Addresses: []netip.Prefix{in.Near4},
			Routes: []netguard.Route{{Destination: beyond, Via: in.Far4.Addr()}}},
		External: netguard.Port{Interface: ext.Port, MTU: 1500, Addresses: []netip.Prefix{ext.Near4}, Gateway: ext.Far4.Addr()},
		Allow:    []netguard.Endpoint{{Network: "tcp", Host: ext.Far4.Addr().String(), Port: cloudPort}},
	}}, nil
}

// beyond is a network of devices behind the one that is simulated.
var beyond = netip.MustParsePrefix("10.99.0.0/16")

func (s *guardSite) close() {
	s.site.Close()
	s.home.Close()
}

// inside opens one of the port namespaces, independently of the guard.
func (s *guardSite) inside(name string) (*netguardtest.Host, error) {
	return netguardtest.OpenHost(filepath.Join(s.config.NamespaceDir, name))
}

// guardOrder is what the parent asks of a guard process.
type guardOrder struct {
	Config netguard.Config
	Half   bool // joins as the collector's half too
}

// guardProcess is a guard in a process of its own.
type guardProcess struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// up starts a guard and returns once its ports are open.
func (s *guardSite) up(ctx context.Context, half bool) (*guardProcess, error) {
	order, err := json.Marshal(guardOrder{s.config, half})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "guard")
	cmd.Stderr = s.stderr
	p := &guardProcess{cmd: cmd}
	if p.in, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a guard: %w", err)
	}
	if _, err = p.in.Write(append(order, '\n')); err == nil {
		err = p.expect(upWord)
	}
	if err != nil {
		p.kill()
		return nil, fmt.Errorf("starting a guard: %w", err)
	}
	return p, nil
}

const upWord = "up\n"

func (p *guardProcess) expect(word string) error {
	if line, err := p.out.ReadString('\n'); err != nil || line != word {
		return fmt.Errorf("waiting for %q: got %q: %w", word, line, errors.Join(err, errNoWord))
	}
	return nil
}

var errNoWord = errors.New("not the word")

// stop ends the guard as an operator would; its ports are down then.
func (p *guardProcess) stop() error {
	_ = p.in.Close()
	timer := time.AfterFunc(stopTime, func() { _ = p.cmd.Process.Kill() })
	defer timer.Stop()
	return p.cmd.Wait()
}

// kill ends it as the kernel would when memory runs out.
func (p *guardProcess) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	_ = p.cmd.Wait()
}

// runGuard is the guard process: it holds the ports until its input ends.
func runGuard(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	lines := bufio.NewReader(stdin)
	text, err := lines.ReadBytes('\n')
	var o guardOrder
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		return fmt.Errorf("reading the order: %w", err)
	}
	g, err := netguard.Up(ctx, o.Config)
	if err != nil {
		return err
	}
	defer g.Close()
	if o.Half {
		_, leave, err := joined(ctx, g)
		if err != nil {
			return err
		}
		defer leave()
	}
	fmt.Fprint(stdout, upWord)
	_, err = lines.ReadByte()
	if err == io.EOF {
		return nil
	}
	return err
}

// joined returns the collector's half, in this process, once its ports are open.
func joined(ctx context.Context, g *netguard.Guard) (*netguard.Half, func(), error) {
	v, err := g.View(ctx, 0)
	if err != nil {
		return nil, nil, err
	}
	h, err := netguard.Join(ctx, v, g)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stop := func() {
		cancel()
		<-done
		_ = h.Close()
	}
	select {
	case <-h.Ready():
		return h, stop, nil
	case err := <-done:
		cancel()
		return nil, nil, fmt.Errorf("running the collector's half: %w", errors.Join(err, h.Close()))
	}
}

// paused lets a guard settle before the next blow.
func paused(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
