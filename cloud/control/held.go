package control

import (
	"context"
	"fmt"
	"time"

	"lwc/cloud/edp"
	"lwc/transport/wire"
)

// maxDecisions is how many held documents one need names: 1,000 ids take 40 KB
// signed.
const maxDecisions = 1000

// sendDecisions tells the collector which held documents may leave and which are to
// be dropped. It does so again after a minute, and on each connection, until the
// body is stored, or a manifest says that it did not leave.
func (l *line) sendDecisions(ctx context.Context) error {
	list, err := l.hub.cfg.Store.HeldDecided(ctx, l.id, l.entry.Boot)
	if err != nil {
		return err
	}
	need := wire.Need{V: wire.Version, Collector: l.id, Boot: l.entry.Boot}
	for _, h := range list {
		if time.Since(l.sent.held[h.ID]) < resendAfter {
			continue
		}
		if h.State == edp.HeldApproved {
			need.Release = append(need.Release, h.ID)
		} else {
			need.Decline = append(need.Decline, h.ID)
		}
		l.sent.held[h.ID] = time.Now()
		if len(need.Release)+len(need.Decline) == maxDecisions {
			break // the rest follows with the next look
		}
	}
	if len(need.Release)+len(need.Decline) == 0 {
		return nil
	}
	if err := l.hub.send(ctx, l.id, wire.KindNeed, need); err != nil {
		return fmt.Errorf("telling of decisions on held documents: %w", err)
	}
	l.hub.log.Info("decisions sent", "collector", l.id, "released", len(need.Release), "declined", len(need.Decline))
	return nil
}
