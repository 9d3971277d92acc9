package control

import (
	"context"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// watch tells of collectors that went without a good-bye and are not heard again:
// those whose connection broke, and those that were there when this process began.
// They have no worker that could notice.
func (h *Hub) watch(ctx context.Context) {
	ticker := time.NewTicker(h.cfg.Heartbeat / 10)
	defer ticker.Stop()
	minute := time.NewTicker(time.Minute)
	defer minute.Stop()
	var trouble notices
	for {
		select {
		case <-minute.C:
			if err := h.cfg.Store.Listening(ctx); err != nil && ctx.Err() == nil {
				h.log.Error("how long collectors are listened to could not be noted", "error", err)
			}
		case <-ticker.C:
			if err := h.loseUnheard(ctx); err != nil && ctx.Err() == nil && trouble.due("", time.Now()) {
				h.log.Error("lost collectors could not be looked for", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// loseUnheard adds the event of each collector that was waited for three beats.
// Whoever it tells of is not told of again before it was heard.
func (h *Hub) loseUnheard(ctx context.Context) error {
	lost, err := h.cfg.Store.LoseUnheard(ctx, time.Now().Add(-missedBeats*h.cfg.Heartbeat), lostEvent)
	for _, e := range lost {
		h.log.Warn("alert", "collector", e.Collector, "kind", e.Kind, "text", e.Text)
	}
	return err
}

func lostEvent(c edp.Unheard) wire.Event {
	return wire.Event{V: wire.Version, Collector: c.ID, Boot: c.Boot, Time: time.Now().UTC(), Kind: EventLost,
		Text: "nothing came from the collector for three heartbeats; it was missed first at " +
			c.Since.UTC().Format("2006-01-02 15:04:05 UTC") + ": see whether the box has power and its line"}
}
