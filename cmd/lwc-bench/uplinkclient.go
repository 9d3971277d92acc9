package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"lwc/cmd/lwcd/dial"
	"lwc/junos/junostest"
	"lwc/transport/secret"
	"lwc/transport/uplink"
	"lwc/transport/wire"
)

// document is a reply with what the uplink is told of it.
type document struct {
	item, sha string
	body      []byte
}

// gather collects the documents of all devices, unmasked, into memory.
func gather(ctx context.Context, o order) ([][]document, error) {
	o.Mode = "ours"
	c, err := newOurs(o)
	if err != nil {
		return nil, err
	}
	defer c.dialer.Close()
	out := make([][]document, 0, len(o.Devices))
	for _, d := range o.Devices {
		docs, err := c.keep(ctx, d)
		if err != nil {
			return nil, fmt.Errorf("collecting from %s: %w", d.Name, err)
		}
		out = append(out, docs)
	}
	return out, nil
}

func (c *ours) keep(ctx context.Context, d junostest.InventoryHost) ([]document, error) {
	s, err := c.open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var docs []document
	for _, it := range c.items {
		reply, err := s.Call(ctx, it)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(reply)
		if err != nil {
			return nil, err
		}
		docs = append(docs, document{it.Name, wire.Digest(body), body})
	}
	return docs, nil
}

// station is a collector of which only the uplink works.
type station struct {
	*uplink.Uplink
	welcome chan struct{} // closed by the first
	once    sync.Once
	cancel  context.CancelFunc
	ended   sync.WaitGroup
}

// Welcomed implements uplink.Handler.
func (s *station) Welcomed(wire.Welcome) { s.once.Do(func() { close(s.welcome) }) }

// Desired implements uplink.Handler.
func (s *station) Desired(wire.Desired, wire.ConfigRef) {}

// Job implements uplink.Handler.
func (s *station) Job(wire.Job) {}

// enrolled gives a client process an identity.
func enrolled(ctx context.Context, text string) (uplink.Identity, error) {
	token, err := wire.ParseToken(wire.EnrolToken, secret.FromString(strings.TrimSpace(text)))
	if err != nil {
		return uplink.Identity{}, err
	}
	return uplink.Enrol(ctx, uplink.EnrolConfig{Token: token, Dial: new(net.Dialer).DialContext})
}

// newStation connects a station and waits for the welcome.
func newStation(ctx context.Context, o order) (*station, error) {
	id, err := enrolled(ctx, o.Token)
	if err != nil {
		return nil, err
	}
	key, err := wire.NewBootKey()
	if err != nil {
		return nil, err
	}
	s := &station{welcome: make(chan struct{})}
	s.Uplink = uplink.New(uplink.Config{Identity: id, Dial: new(net.Dialer).DialContext, BootKey: key, Firmware: "bench", Handler: s})
	ctx, s.cancel = context.WithCancel(ctx)
	s.ended.Go(func() { _ = s.Run(ctx) })
	select {
	case <-s.welcome:
		return s, nil
	case <-ctx.Done():
		s.stop()
		return nil, context.Cause(ctx)
	}
}

func (s *station) stop() {
	s.cancel()
	s.ended.Wait()
}

// tally counts what became of documents.
type tally struct {
	sent    atomic.Int64
	refused atomic.Int64
	why     atomic.Pointer[string]
	wg      sync.WaitGroup
}

func (t *tally) done(d wire.Delivery) {
	t.sent.Add(d.Sent)
	if d.Status != wire.Stored {
		t.refused.Add(1)
		why := string(d.Status) + " " + d.Code
		t.why.Store(&why)
	}
	t.wg.Done()
}

// err is what was refused, and an error where anything was.
func (t *tally) err() error {
	if n := t.refused.Load(); n > 0 {
		return fmt.Errorf("sending documents: %d were not stored: %s", n, *t.why.Load())
	}
	return nil
}

// visit hands the documents of one device over.
func (s *station) visit(ctx context.Context, t *tally, run, device string, docs []document) (int64, error) {
	l, err := dial.Uplink{Uplink: s.Uplink}.Lane(ctx, run, device, nil)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	var size int64
	for _, d := range docs {
		h := wire.Header{ID: wire.NewID(), Item: d.item, CollectedAt: time.Now(), Outcome: "ok", SHA256: d.sha, Size: int64(len(d.body))}
		size += h.Size
		t.wg.Add(1)
		if h.Size <= uplink.SmallDocument {
			err = l.Add(ctx, h, d.body, false, t.done)
		} else {
			err = streamTo(ctx, l.Stream, h, d.body, t.done)
		}
		if err != nil {
			t.wg.Done()
			return size, err
		}
	}
	return size, nil
}

func streamTo[S interface {
	io.Writer
	Commit(wire.Header, func(wire.Delivery)) error
	Abort()
}](ctx context.Context, open func(context.Context, wire.Header, bool) (S, error), h wire.Header, body []byte, done func(wire.Delivery)) error {
	s, err := open(ctx, h, false)
	if err != nil {
		return err
	}
	if _, err := s.Write(body); err != nil {
		s.Abort()
		return err
	}
	return s.Commit(h, done)
}

// sendAll sends the documents of n devices by the uplink and waits for every
// receipt.
func sendAll(ctx context.Context, o order) (measure, error) {
	corpus, err := gather(ctx, o)
	if err != nil {
		return measure{}, err
	}
	s, err := newStation(ctx, o)
	if err != nil {
		return measure{}, err
	}
	defer s.stop()
	return s.deliver(ctx, o, corpus)
}

// deliver sends the documents of o.Times devices, o.InFlight at once.
func (s *station) deliver(ctx context.Context, o order, corpus [][]document) (measure, error) {
	var t tally
	var size atomic.Int64
	run, next := wire.NewID(), make(chan int)
	settle()
	m := measure{Devices: o.Times, RestMiB: resident("VmRSS:")}
	began, used := time.Now(), cpuTime()
	var wg sync.WaitGroup
	errs := make(chan error, o.InFlight)
	for range o.InFlight {
		wg.Go(func() {
			for i := range next {
				n, err := s.visit(ctx, &t, run, fmt.Sprintf("device-%05d", i), corpus[i%len(corpus)])
				size.Add(n)
				if err != nil {
					errs <- err
					for range next { // the others take the rest
					}
				}
			}
		})
	}
	for i := range o.Times {
		next <- i
	}
	close(next)
	wg.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return m, err
	}
	t.wg.Wait()
	m.Seconds, m.CPU = time.Since(began).Seconds(), (cpuTime() - used).Seconds()
	m.Bytes, m.Sent, m.PeakMiB = size.Load(), t.sent.Load(), resident("VmHWM:")
	return m, t.err()
}

// The documents of the part unchanged: as many of each device as a profile has.
const (
	itemsEach = 30
	smallSize = 400
)

// unchangedAll sends small documents twice, and measures the second time.
func unchangedAll(ctx context.Context, o order) (measure, error) {
	s, err := newStation(ctx, o)
	if err != nil {
		return measure{}, err
	}
	defer s.stop()
	docs := make([]document, itemsEach)
	for i := range docs {
		body := []byte("<rpc-reply><n>" + strings.Repeat(fmt.Sprint(i%10), smallSize) + "</n></rpc-reply>")
		docs[i] = document{o.Items[i%len(o.Items)], wire.Digest(body), body}
	}
	o.Times = (o.Times + itemsEach - 1) / itemsEach
	o.InFlight = samples
	if _, err := s.deliver(ctx, o, [][]document{docs}); err != nil {
		return measure{}, err
	}
	return s.deliver(ctx, o, [][]document{docs})
}

// give gives the command of an asking.
func (a *asking) give(ctx context.Context) error {
	if a == nil {
		return errors.New("asking for a collection: nobody said how")
	}
	cmd := exec.CommandContext(ctx, a.Program, a.Args...)
	cmd.Env = append(os.Environ(), a.Env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("asking for a collection: %w: %s", err, out)
	}
	return nil
}
