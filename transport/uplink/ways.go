package uplink

import (
	"bytes"
	"context"
	"errors"
	"slices"
)

// learnWays asks the cloud which ways lead to its broker by now, those of the
// enrolment may be years old, and tells whether they are others. The next session
// takes them. What may be dialled is not decided here, and neither is whom to
// believe: of the answer only the endpoints count.
func (u *Uplink) learnWays(ctx context.Context) (changed bool) {
	u.learning.Lock()
	defer u.learning.Unlock()
	id := u.identity()
	b, err := id.fetchBootstrap(ctx, u.cfg.Dial)
	if err == nil && (!bytes.Equal(b.ConfigKey, id.Bootstrap.ConfigKey) || b.Prefix != id.Bootstrap.Prefix) {
		err = errors.New("the cloud has another key or prefix than at the enrolment: enrol anew")
	}
	if err == nil && !slices.Equal(b.Endpoints, id.Bootstrap.Endpoints) {
		changed = true
		id.Bootstrap.Endpoints = b.Endpoints
		u.mu.Lock()
		u.id.Bootstrap = id.Bootstrap
		u.mu.Unlock()
		u.log.Info("the ways to the broker have changed", "endpoints", len(b.Endpoints))
		err = id.saveBootstrap()
	}
	switch {
	case err == nil || ctx.Err() != nil:
	case changed:
		u.log.Error("the new ways to the broker are known until the next start only", "error", err)
	default:
		u.log.Warn("the ways to the broker stay as they were", "error", err)
	}
	return changed
}
