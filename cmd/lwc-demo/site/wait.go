package site

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// collectorState is the part of lwc-cloud collectors --json that waiting needs.
type collectorState struct {
	ID            string `json:"id"`
	Online        bool   `json:"online"`
	Boot          string `json:"boot"`
	Wanted        uint64 `json:"config_version"`
	Applied       uint64 `json:"applied_version"`
	AppliedStatus string `json:"applied_status"`
	AppliedError  string `json:"applied_error"`
	Ports         struct {
		Mode       string    `json:"mode"`
		State      string    `json:"state"`
		Since      time.Time `json:"since"`
		Violations uint64    `json:"violations"`
		Healed     uint64    `json:"healed"`
	} `json:"ports"`
}

// WaitOnline waits until the cloud has welcomed the collector.
func (s *Site) WaitOnline(ctx context.Context) error {
	return s.waitCollector(ctx, "the collector to be online", func(c collectorState) bool { return c.Online })
}

// WaitApplied waits until the collector runs the configuration that the cloud
// wants.
func (s *Site) WaitApplied(ctx context.Context) error {
	return s.waitCollector(ctx, "the collector to apply its configuration", func(c collectorState) bool {
		return c.Wanted > 0 && c.Applied == c.Wanted && c.AppliedStatus == "applied"
	})
}

// WaitHealed waits until the cloud knows from the collector's heartbeat that
// violations of its ports were put right, all of them, and that the ports are open.
func (s *Site) WaitHealed(ctx context.Context) error {
	return s.waitCollector(ctx, "the heartbeat to count the violations", func(c collectorState) bool {
		return c.Ports.Healed > 0 && c.Ports.Healed == c.Ports.Violations && c.Ports.State == "open"
	})
}

func (s *Site) waitCollector(ctx context.Context, what string, ok func(collectorState) bool) error {
	var problem error
	watched := s.lwcd
	if s.cfg.Appliance {
		watched = s.cloud
	}
	err := watched.waitFor(ctx, what, func() bool {
		var c collectorState
		c, problem = s.collector(ctx)
		return problem == nil && ok(c)
	})
	if err != nil && problem != nil && ctx.Err() == nil {
		return fmt.Errorf("%w (%w)", err, problem)
	}
	return err
}

func (s *Site) collector(ctx context.Context) (collectorState, error) {
	out, err := s.Cloud(ctx, "collectors", "--json")
	if err != nil {
		return collectorState{}, err
	}
	var all []collectorState
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		return collectorState{}, fmt.Errorf("reading the list of collectors: %w", err)
	}
	for _, c := range all {
		if c.ID == Collector {
			return c, nil
		}
	}
	return collectorState{}, fmt.Errorf("collector %s is not in the list", Collector)
}
