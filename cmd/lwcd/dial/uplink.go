package dial

import (
	"context"

	"lwc/collector"
	"lwc/transport/uplink"
	"lwc/transport/wire"
)

// Uplink is a collector.Uplink.
type Uplink struct{ *uplink.Uplink }

// Lane implements collector.Publisher.
func (u Uplink) Lane(ctx context.Context, run, device string, waiting func() (resumed func())) (collector.Lane, error) {
	l, err := u.Uplink.Lane(ctx, run, device, waiting)
	if err != nil {
		return nil, err
	}
	return lane{l}, nil
}

// lane is an uplink.Lane whose streams are the collector's.
type lane struct{ *uplink.Lane }

// Stream implements collector.Lane.
func (l lane) Stream(ctx context.Context, h wire.Header, hold bool) (collector.Stream, error) {
	s, err := l.Lane.Stream(ctx, h, hold)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// What the one hands over whole, the other takes.
var _ [uplink.SmallDocument - collector.WholeDocument]struct{}
