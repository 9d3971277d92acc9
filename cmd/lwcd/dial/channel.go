package dial

import (
	"strings"

	"lwc/transport/device"
	"lwc/transport/wire"
)

// channel is a device.Conn as the collector wants it.
type channel struct {
	*device.Conn
	hops []string // in order, the device last
}

// FirstUse implements collector.Channel.
func (c channel) FirstUse() map[string]string { return c.Info().FirstUse }

// Access implements collector.Channel.
func (c channel) Access() *wire.Access {
	info := c.Info()
	out := &wire.Access{Mode: string(info.Mode), Port: info.Port}
	for _, name := range c.hops {
		a := info.Algorithms[name]
		out.Hops = append(out.Hops, wire.Hop{Name: name, KeyExchange: a.KeyExchange, HostKey: a.HostKey, Cipher: a.Cipher, MAC: a.MAC})
	}
	return out
}

// Steps implements collector.Channel.
func (c channel) Steps() []wire.ProbeStep { return stepsOf(c.Info().Steps) }

func stepsOf(steps []device.Step) []wire.ProbeStep {
	out := make([]wire.ProbeStep, 0, len(steps))
	for _, s := range steps {
		p := wire.ProbeStep{Stage: s.Stage, OK: s.Err == nil, Seconds: s.Took.Seconds(), Detail: s.Detail}
		if s.Bastion {
			p.Hop = s.Hop
		}
		if s.Err != nil {
			p.Detail = strings.TrimPrefix(s.Detail+": "+s.Err.Error(), ": ")
		}
		out = append(out, p)
	}
	return out
}
