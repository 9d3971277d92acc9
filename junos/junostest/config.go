package junostest

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Model is a kind of device that can be simulated.
type Model string

// The models. Each stands for several products, of which the seed picks one.
const (
	MXDualRE   Model = "mx-dual-re"  // MX router with two routing engines
	EXVC       Model = "ex-vc"       // EX switches joined to a virtual chassis
	SRXCluster Model = "srx-cluster" // SRX firewalls joined to a chassis cluster
	QFX        Model = "qfx"         // QFX switch, alone
	PTXEVO     Model = "ptx-evo"     // PTX router with Junos Evolved
	ACX        Model = "acx"         // ACX router
)

// Models returns every model, in the order in which a fleet mixes them.
func Models() []Model { return []Model{MXDualRE, EXVC, SRXCluster, QFX, PTXEVO, ACX} }

// Config describes a fleet. The zero value is a fleet of no devices.
type Config struct {
	// Devices is how many there are, at most 65,000.
	Devices int
	// Models are given to the devices in turn. Empty: all of them.
	Models []Model
	// Seed decides everything about the devices.
	Seed uint64

	// Listen is the address of the first device. Zero: 127.0.0.1.
	Listen netip.Addr
	// Bind, when valid, takes the addresses from this prefix, from its own
	// address on if it has host bits, and from the second if not. It takes the
	// place of Listen, and DevicePort 830 is its default.
	Bind netip.Prefix
	// DevicePort, when not zero, gives each device an address of its own, counted up
	// from Listen, and this port; bastions get the next addresses and BastionPort.
	DevicePort uint16
	// BastionPort goes with DevicePort. Zero: 22.
	BastionPort uint16
	// BasePort, when not zero, puts all on one address with ports counted up from
	// here, the bastions last. With neither port the kernel picks the ports.
	BasePort uint16

	// Bastions is how many jump hosts there are.
	Bastions int
	// Behind is how many devices, from the last, can be reached through a
	// bastion only; they are spread over the bastions in turn.
	Behind int

	// User logs in to the devices and the bastions. Empty: "lwc".
	User string
	// Password and BastionPassword of User. Empty: made from the seed.
	Password, BastionPassword string
	// Auth lists the SSH methods that are offered: password,
	// keyboard-interactive, publickey. Empty: all three.
	Auth []string

	// Replies is a folder of XML files that replace generated replies:
	// DEVICE/ITEM.xml, MODEL/ITEM.xml or ITEM.xml, the first that exists.
	Replies string
	// Faults are by name of device or bastion. A name may be a pattern with * and
	// ?; the longest that fits a host counts, and its own name before any pattern.
	Faults map[string]Fault
	// Faulty deals faults out to shares of the devices that Faults leaves alone.
	Faulty []Fraction
	// Superusers are the devices, by name or pattern, where the account of User
	// may do everything: it has the permissions of class super-user.
	Superusers []string
	// AuthorizedKeys are public keys (authorized_keys lines) that may log in as
	// User, as the ClientKey of each device may.
	AuthorizedKeys []string
	// HostCA has devices and bastions show host certificates, signed by the
	// Fleet's HostCA, beside their host keys.
	HostCA bool
	// Canary, when not empty, stands in an interface description of each device.
	Canary string
	// Latency is waited before each reply.
	Latency time.Duration
	// Clock is the time on all devices. Nil: it stands still, so that the same
	// question always has the same answer.
	Clock func() time.Time
	// Cache is how many bytes of replies are kept to be sent again, for load tests.
	// Zero: each is made anew. It goes neither with Clock nor with Replies.
	Cache int64
	// Quiet keeps no record of what is sent: Sent is empty, and no hash is made.
	Quiet bool
	// Log, when not nil, gets each SentDocument as a line of JSON.
	Log io.Writer
}

const maxDevices = 65000 // serials and inner addresses count devices in 16 bits

func (c Config) check() error {
	if c.Devices < 0 || c.Devices > maxDevices {
		return fmt.Errorf("%d devices: from 0 to %d can be simulated", c.Devices, maxDevices)
	}
	if c.Bastions < 0 || c.Bastions > 1000 {
		return fmt.Errorf("%d bastions: from 0 to 1000 can be simulated", c.Bastions)
	}
	if c.Behind < 0 || c.Behind > c.Devices {
		return fmt.Errorf("%d devices behind bastions, but there are %d devices", c.Behind, c.Devices)
	}
	if c.Behind > 0 && c.Bastions == 0 {
		return errors.New("devices behind a bastion, but there is no bastion")
	}
	if c.DevicePort != 0 && c.BasePort != 0 {
		return errors.New("a port for each address and a base port exclude each other")
	}
	if int(c.BasePort)+c.Devices+c.Bastions > 65536 {
		return fmt.Errorf("%d ports from %d on: there are not so many", c.Devices+c.Bastions, c.BasePort)
	}
	return c.checkNames()
}

func (c Config) checkNames() error {
	for _, m := range c.Models {
		if !slices.Contains(Models(), m) {
			return fmt.Errorf("model %q is unknown; known are %v", m, Models())
		}
	}
	for _, m := range c.Auth {
		if !slices.Contains(authMethods(), m) {
			return fmt.Errorf("log-in method %q is unknown; known are %v", m, authMethods())
		}
	}
	if c.Cache > 0 && (c.Clock != nil || c.Replies != "") {
		return errors.New("a cache of replies goes neither with running clocks nor with replacement files")
	}
	if c.Quiet && c.Log != nil {
		return errors.New("a log of what is sent, and quiet, exclude each other")
	}
	return c.checkFaults()
}

func authMethods() []string { return []string{"password", "keyboard-interactive", "publickey"} }

// withDefaults fills in what was left out.
func (c Config) withDefaults() Config {
	if len(c.Models) == 0 {
		c.Models = Models()
	}
	if !c.Listen.IsValid() {
		c.Listen = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if c.Bind.IsValid() && c.DevicePort == 0 && c.BasePort == 0 {
		c.DevicePort = 830
	}
	if c.BastionPort == 0 {
		c.BastionPort = 22
	}
	if c.User == "" {
		c.User = "lwc"
	}
	if c.Password == "" {
		c.Password = "dev-" + code(rng(c.Seed, "password"), "aaaa-9999-aaaa")
	}
	if c.BastionPassword == "" {
		c.BastionPassword = "hop-" + code(rng(c.Seed, "bastion-password"), "aaaa-9999-aaaa")
	}
	if len(c.Auth) == 0 {
		c.Auth = authMethods()
	}
	if c.Clock == nil {
		c.Clock = func() time.Time { return epoch() }
	}
	return c
}

// epoch is when the clocks of all devices stand still.
func epoch() time.Time { return time.Date(2026, 9, 18, 11, 11, 34, 0, time.UTC) }

// deviceName is the name in the fleet: model family and position from 1.
func deviceName(m Model, index int) string {
	return family(m) + "-" + pad4(index+1)
}

func pad4(n int) string {
	s := strconv.Itoa(n)
	return "0000"[:max(0, 4-len(s))] + s
}

// family is the product line of a model: "mx", "ex", "srx", …
func family(m Model) string {
	for i := range len(m) {
		if m[i] == '-' {
			return string(m[:i])
		}
	}
	return string(m)
}
