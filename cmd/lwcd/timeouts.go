package main

import (
	"time"

	"lwc/collector"
	"lwc/junos"
	"lwc/transport/device"
)

// timeouts is the raw form of how long each phase of a device may take. An empty
// text means the default.
type timeouts struct {
	Connect     string `toml:"connect"`
	KeyExchange string `toml:"key_exchange"`
	Auth        string `toml:"auth"`
	Channel     string `toml:"channel"`
	Hello       string `toml:"hello"`
	Stall       string `toml:"stall"`
	Device      string `toml:"device"`
}

// patience is the clean form. Zero values have the defaults of who uses them.
type patience struct {
	dial    device.Timeouts
	session junos.Options
	device  time.Duration
}

const (
	// maxPhase is longer than any AAA server lets a log-in wait.
	maxPhase = 2 * time.Minute
	// defaultStall is that of junos.Options.
	defaultStall = time.Minute
)

func (c *checker) timeouts(t timeouts) patience {
	var p patience
	for _, d := range []struct {
		key, value string
		to         *time.Duration
		min, max   time.Duration
	}{
		{"connect", t.Connect, &p.dial.Connect, time.Second, maxPhase},
		{"key_exchange", t.KeyExchange, &p.dial.KeyExchange, time.Second, maxPhase},
		{"auth", t.Auth, &p.dial.Auth, time.Second, maxPhase},
		{"channel", t.Channel, &p.dial.Channel, time.Second, maxPhase},
		{"hello", t.Hello, &p.session.HelloTimeout, time.Second, maxPhase},
		{"stall", t.Stall, &p.session.StallTimeout, 5 * time.Second, 30 * time.Minute},
		{"device", t.Device, &p.device, time.Minute, 24 * time.Hour},
	} {
		*d.to = c.duration("timeouts."+d.key, d.value, d.min, d.max)
	}
	stall, whole := p.session.StallTimeout, p.device
	if stall == 0 {
		stall = defaultStall
	}
	if whole == 0 {
		whole = collector.DefaultDeviceTimeout
	}
	if whole < stall {
		c.addf("timeouts.device", "%v for a whole device is shorter than the %v that one answer may take (timeouts.stall): make it longer", whole, stall)
	}
	return p
}

// duration reads a value that may be unset.
func (c *checker) duration(key, value string, least, most time.Duration) time.Duration {
	if value == "" {
		return 0
	}
	d, err := time.ParseDuration(value)
	if err != nil {
		c.addf(key, "%q is not a duration: write it as 10s or 2m30s", value)
		return 0
	}
	if d < least || d > most {
		c.addf(key, "%v is not between %v and %v", d, least, most)
		return 0
	}
	return d
}
