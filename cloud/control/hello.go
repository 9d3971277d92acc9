package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"lwc/cloud/tidy"
	"lwc/transport/wire"
)

// maxLastComplete bounds the times in a welcome, in bytes of JSON: signed, they
// must fit in a frame. The newest are kept.
const maxLastComplete = 64 << 10

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
	clone := l.supersede(l.entry.Boot, h.Boot)
	if err := l.hub.cfg.Store.SawHello(ctx, h); err != nil {
		return err
	}
	l.heard = time.Now()
	if err := l.welcome(ctx, h); err != nil {
		return err
	}
	l.setOnline(true)
	l.sent.again()
	l.hub.log.Info("collector online", "collector", l.id, "boot", h.Boot, "conn", h.Conn, "firmware", tidy.Text(h.Firmware, 64))
	if clone {
		l.alert(ctx, EventClone, h.Boot,
			"two starts of this collector take turns: its identity was copied to a second machine, or one machine was restored from an image. Revoke it and enrol both anew")
	}
	if err := l.load(ctx, true); err != nil {
		return err
	}
	return l.sync(ctx, false)
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
	complete, err := cfg.Store.LastComplete(ctx, l.id)
	if err != nil {
		return err
	}
	return l.hub.send(ctx, l.id, wire.KindWelcome, wire.Welcome{
		V: wire.Version, Collector: l.id, Boot: h.Boot, Nonce: h.Nonce, Time: time.Now().UTC(),
		Limits: wire.Limits{WindowBytes: cfg.Window, MaxFrame: wire.MaxFrame,
			HeartbeatSeconds: int(cfg.Heartbeat / time.Second)},
		Config:    wire.ConfigRef{Version: l.entry.ConfigVersion},
		IngestKey: cfg.IngestKey, LastComplete: newest(complete, maxLastComplete), LastManifest: last,
	})
}

// newest keeps the newest entries that fit into a number of bytes as JSON.
func newest(all map[string]time.Time, bytes int) map[string]time.Time {
	const each = len(`"":"2006-01-02T15:04:05Z",`)
	devices := make([]string, 0, len(all))
	for d := range all {
		devices = append(devices, d)
	}
	slices.SortFunc(devices, func(a, b string) int {
		return cmp.Or(all[b].Compare(all[a]), cmp.Compare(a, b))
	})
	out := make(map[string]time.Time, len(all))
	for _, d := range devices {
		bytes -= each + 2*len(d) // some characters are escaped
		if bytes < 0 {
			break
		}
		out[d] = all[d].UTC().Truncate(time.Second)
	}
	return out
}
