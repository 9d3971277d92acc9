package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/tidy"
	"lwc/transport/wire"
)

// hello checks who is there, answers, and sends what the collector lacks.
func (l *line) hello(ctx context.Context, payload []byte) error {
	var h wire.Hello
	if err := wire.Verify(wire.KindHello, payload, l.key, &h); err != nil {
		return err
	}
	if err := l.checkHello(h); err != nil {
		return fmt.Errorf("reading a hello: %w", err)
	}
	tidyPorts(&h.Ports)
	h.Firmware = tidy.Text(h.Firmware, tidy.MaxName)
	tidy.Box(&h.Box)
	err := l.hub.cfg.Store.SawHello(ctx, h)
	if errors.Is(err, edp.ErrSuperseded) {
		l.alert(ctx, EventClone, h.Boot,
			"two starts of this collector are there at once: its identity was copied to a second machine, or one machine was restored from an image. The newer start is served, the older one is not. Revoke it and enrol both anew; if there is but one machine, restart its lwcd")
		l.hub.cfg.Bus.Kick(l.id) // it took the line from the newer one
	}
	if errors.Is(err, edp.ErrUnavailable) && l.knows(h) {
		// There is nothing in it to remember. Without an answer the collector would
		// go from endpoint to endpoint, and be away when there is room again.
		l.note(ctx, wire.KindHello, err)
		err = nil
	}
	if err != nil {
		return err
	}
	l.heard = time.Now()
	if err := l.welcome(ctx, h); err != nil {
		return err
	}
	l.setOnline(true)
	l.sent.again()
	l.hub.log.Info("collector online", "collector", l.id, "boot", h.Boot, "conn", h.Conn, "firmware", tidy.Text(h.Firmware, 64))
	if err := l.load(ctx, true); err != nil {
		return err
	}
	return l.sync(ctx, false)
}

// knows tells whether the registry has all that matters of a hello.
func (l *line) knows(h wire.Hello) bool {
	return h.Boot == l.entry.Boot && bytes.Equal(h.BootKey, l.entry.BootKey)
}

func (l *line) checkHello(h wire.Hello) error {
	switch {
	case h.Collector != l.id:
		return fmt.Errorf("it is of collector %.80q", h.Collector)
	case len(h.Nonce) < 16 || len(h.Nonce) > 64:
		return fmt.Errorf("its nonce has %d bytes, not 16 to 64", len(h.Nonce))
	case h.Boot == l.entry.Boot && h.Conn < l.entry.Conn:
		return fmt.Errorf("it is of connection %d, connection %d was there", h.Conn, l.entry.Conn)
	case len(h.Capabilities) > 1024 || len(h.Firmware) > 255:
		return errors.New("its capabilities or firmware version are too long")
	}
	if err := wire.CheckID(h.Boot); err != nil {
		return fmt.Errorf("boot: %w", err)
	}
	if _, err := wire.SealTo(h.BootKey, "probe", nil); err != nil {
		return errors.New("its boot key is not an HPKE key of this protocol version")
	}
	return nil
}

func (l *line) welcome(ctx context.Context, h wire.Hello) error {
	cfg := l.hub.cfg
	last, err := cfg.Store.LastManifest(ctx, l.id)
	if err != nil {
		return err
	}
	open, err := cfg.Store.OpenRuns(ctx, l.id, h.Boot)
	if err != nil {
		return err
	}
	return l.hub.send(ctx, l.id, wire.KindWelcome, wire.Welcome{
		V: wire.Version, Collector: l.id, Boot: h.Boot, Nonce: h.Nonce, Time: time.Now().UTC(),
		Limits: wire.Limits{WindowBytes: l.stream.Window(), MaxFrame: wire.MaxFrame,
			HeartbeatSeconds: int(cfg.Heartbeat / time.Second)},
		Config:    wire.ConfigRef{Version: l.entry.ConfigVersion},
		IngestKey: cfg.IngestKey, OpenRuns: open, LastManifest: last,
	})
}
