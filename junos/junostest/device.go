package junostest

import (
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// Device is one simulated device. What is exported does not change once
// NewFleet, and for Addr Start, has returned.
type Device struct {
	Name     string         // in the fleet: "mx-0001"
	Model    Model          // what it simulates
	HostName string         // what it says of itself
	Product  string         // the product-model it reports: "mx480"
	Release  string         // of Junos: "23.4R2-S7.4"
	Addr     netip.AddrPort // where it is; of a device behind a bastion, as the bastion sees it
	HostKey  string         // authorized_keys line
	Behind   string         // name of its bastion; empty: reached directly
	User     string
	Password string
	// ClientKey is an OpenSSH private key (PEM) that may log in too, and ClientCert
	// a certificate for it (authorized_keys line) that the Fleet's UserCA signed.
	ClientKey, ClientCert string
	// Superuser says that User may do everything on it.
	Superuser bool

	fleet   *Fleet
	index   int
	plat    platform
	prod    product
	signer  ssh.Signer
	fault   faultSwitch
	session atomic.Uint64
	kept    atomic.Pointer[[]port] // its ports, while it is one of the fleet's recent devices
}

// Bastion is one simulated jump host. It forwards to the devices and the other
// bastions of its fleet, and gives no shell.
type Bastion struct {
	Name     string
	Addr     netip.AddrPort
	HostKey  string // authorized_keys line
	User     string
	Password string
	// ClientKey is an OpenSSH private key (PEM) that may log in too, and ClientCert
	// a certificate for it (authorized_keys line) that the Fleet's UserCA signed.
	ClientKey, ClientCert string

	fleet  *Fleet
	signer ssh.Signer
	fault  faultSwitch
}

// Fault returns what is wrong with the device at present.
func (d *Device) Fault() Fault { return d.fault.get() }

// SetFault changes it, for what comes next: a device that is set Unreachable
// while the fleet runs resets connections, one that was so at Start stays so.
func (d *Device) SetFault(f Fault) { d.fault.set(f) }

// Fault returns what is wrong with the bastion at present.
func (b *Bastion) Fault() Fault { return b.fault.get() }

// SetFault changes it as SetFault of a Device does.
func (b *Bastion) SetFault(f Fault) { b.fault.set(f) }

// newDevice draws a device from the seed.
func newDevice(f *Fleet, index int) (*Device, error) {
	m := f.cfg.Models[index%len(f.cfg.Models)]
	d := &Device{Name: deviceName(m, index), Model: m, fleet: f, index: index, plat: platformOf(m),
		User: f.cfg.User, Password: f.cfg.Password, ClientKey: f.clientPEM}
	r := d.rng("identity")
	d.prod = pick(r, d.plat.products...)
	d.Product, d.Release = d.prod.name, pick(r, d.plat.releases...)
	site := pick(r, "ams", "ber", "cph", "dub", "fra", "hel", "lis", "mad", "osl", "par", "rom", "sto", "vie", "zrh")
	d.HostName = site + "-" + d.plat.role + "-" + pad4(index+1)
	signer, err := hostSigner(f.cfg.Seed, d.Name, d.plat.olderKeys)
	if err != nil {
		return nil, err
	}
	d.signer, d.HostKey = signer, authorizedLine(signer.PublicKey())
	d.ClientCert, d.Superuser = f.clientCert, matches(f.cfg.Superusers, d.Name)
	return d, nil
}

// newBastion draws a bastion from the seed.
func newBastion(f *Fleet, index int) (*Bastion, error) {
	b := &Bastion{Name: "bastion-" + strconv.Itoa(index+1), fleet: f,
		User: f.cfg.User, Password: f.cfg.BastionPassword, ClientKey: f.clientPEM}
	signer, err := hostSigner(f.cfg.Seed, b.Name, false)
	if err != nil {
		return nil, err
	}
	b.signer, b.HostKey = signer, authorizedLine(signer.PublicKey())
	b.ClientCert = f.clientCert
	return b, nil
}

// rng is the device's own source of numbers for one purpose.
func (d *Device) rng(label string) *rand.Rand {
	return rng(d.fleet.cfg.Seed, strconv.Itoa(d.index), label)
}

// serial is the serial of the device's part of that number.
func (d *Device) serial(prefix string, part int) string {
	return serial(d.fleet.cfg.Seed, prefix, d.index, part)
}

// now is the time on the device, in its zone.
func (d *Device) now() time.Time { return d.fleet.cfg.Clock().In(d.zone()) }

func (d *Device) zone() *time.Location { return zones[d.draw("zone", 0).IntN(len(zones))] }

// zones are where devices stand.
var zones = [...]*time.Location{time.FixedZone("CEST", 2*3600), time.UTC, time.FixedZone("BST", 3600), time.FixedZone("EEST", 3*3600)}
