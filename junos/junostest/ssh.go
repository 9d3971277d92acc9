package junostest

import (
	"context"
	"errors"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
)

const maxSessions = 10 // sessions on one connection to a device

// serveConn serves one connection to the device until it ends or ctx does.
func (d *Device) serveConn(ctx context.Context, conn net.Conn) {
	fault := d.fault.v.Load()
	dr := &door{fleet: d.fleet, signer: d.signer, fault: fault, banner: "*** " + d.HostName + ": authorized access only ***\n",
		names: []string{d.Name, d.HostName, d.Addr.Addr().String()},
		login: login{user: d.User, password: d.Password, fleet: d.fleet, fault: fault}}
	dr.serve(ctx, conn, d.serveChannels)
}

// serveChannels runs the sessions of one connection and waits for them.
func (d *Device) serveChannels(ctx context.Context, v *visit) {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	slots := make(chan struct{}, maxSessions)
	for nc := range v.channels {
		if nc.ChannelType() != "session" {
			_ = nc.Reject(ssh.Prohibited, "administratively prohibited")
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			_ = nc.Reject(ssh.ResourceShortage, "no more sessions")
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if d.serveSession(ctx, v, nc) {
				v.ssh.Close()
			}
		})
	}
}

// serveSession runs what a session channel asks for. hangUp says that the
// device drops the whole connection after it, as one that crashes does.
func (d *Device) serveSession(ctx context.Context, v *visit, nc ssh.NewChannel) (hangUp bool) {
	ch, requests, err := nc.Accept()
	if err != nil {
		return false
	}
	defer ch.Close()
	stop := context.AfterFunc(ctx, func() { ch.Close() })
	defer stop()
	run := d.awaitProgram(requests)
	if run == nil {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); ssh.DiscardRequests(requests); cancel() }()
	status, err := run(ctx, ch)
	if errors.Is(err, errReset) {
		v.reset()
	}
	_ = ch.CloseWrite()
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{status}))
	ch.Close()
	<-done
	return errors.Is(err, errFault)
}

// program runs on a session channel and returns its exit status.
type program func(ctx context.Context, ch ssh.Channel) (uint32, error)

// awaitProgram answers requests until one of them starts a program.
func (d *Device) awaitProgram(requests <-chan *ssh.Request) program {
	for req := range requests {
		run := d.program(req)
		_ = req.Reply(run != nil, nil)
		if run != nil {
			return run
		}
	}
	return nil
}

// program is what a request starts, nil where it is refused.
func (d *Device) program(req *ssh.Request) program {
	var p struct{ Value string }
	if req.Type != "subsystem" && req.Type != "exec" || ssh.Unmarshal(req.Payload, &p) != nil {
		return nil
	}
	netconf := func(ctx context.Context, ch ssh.Channel) (uint32, error) { return 0, d.serveNETCONF(ctx, ch) }
	fault, xmlMode := d.fault.v.Load(), req.Type == "exec" && p.Value == "xml-mode netconf need-trailer"
	switch kind := fault.kind(); {
	case req.Type == "subsystem" && p.Value == "netconf":
		if kind == NoNETCONF || kind == NoSubsystem || kind == CLIOnly {
			return nil
		}
		return netconf
	case xmlMode && (kind == NoNETCONF || kind == CLIOnly && fault.arg() == ""):
		return nil
	case xmlMode && kind != CLIOnly:
		return netconf
	case req.Type == "exec":
		return func(ctx context.Context, ch ssh.Channel) (uint32, error) { return d.runCLI(ctx, p.Value, ch) }
	}
	return nil
}
