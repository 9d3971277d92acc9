package device

import (
	"context"
	"net"
	"time"

	"lwc/transport/secret"
)

// Auth is how to log in at one hop. With a PrivateKey (PEM or OpenSSH, opened by
// the Passphrase where it has one) public key is tried. With a Password
// keyboard-interactive and password are tried, and it is sent once.
type Auth struct {
	User                             string
	Password, PrivateKey, Passphrase secret.Text
	// Certificate of the PrivateKey, as an authorized_keys line
	// ("ssh-ed25519-cert-v01@openssh.com AAAA…"); it is then shown in place of
	// the bare key. Empty: none.
	Certificate secret.Text
}

// Hop is one SSH server on the way, a bastion or the device.
type Hop struct {
	Name    string // of the inventory; names the hop in errors. Empty: Address
	Address string // IP address or name, resolved where the hop before stands
	Port    uint16 // zero: 22; of a device 830, and 22 where 830 does not serve
	Auth    Auth
	// HostKeys are the pins: lines of authorized_keys form ("ssh-ed25519 AAAA…",
	// a comment may follow), fingerprints ("SHA256:…"), or authorities whose host
	// certificates are taken for Address or Name ("@cert-authority ssh-ed25519
	// AAAA…"). A key that is none of them is refused.
	HostKeys []string
	// TrustFirst accepts any key where HostKeys is empty, and reports it in
	// Info.FirstUse. Without it a hop without pins is refused.
	TrustFirst bool
	// Legacy adds the algorithms that old releases need and that are broken or
	// weak. It never happens by itself.
	Legacy bool
	// MaxSessions bounds the connections that a bastion forwards at a time for
	// this Dialer. Zero: 64. A device has no use for it.
	MaxSessions int
}

func (h Hop) name() string {
	if h.Name != "" {
		return h.Name
	}
	return h.Address
}

// Target is a device and the bastions before it, in order: the first is
// dialled directly.
type Target struct {
	Device Hop
	Via    []Hop
	// AllowCLI lets a device be asked by the commands of its CLI, one exec
	// each, when it offers NETCONF in no way. That costs it ten times as much.
	AllowCLI bool
}

// Timeouts bound the phases of each hop. Zero values have the defaults.
type Timeouts struct {
	Connect     time.Duration // TCP, or the forwarding by a bastion: 10 s
	KeyExchange time.Duration // up to the verified host key: 15 s
	Auth        time.Duration // 30 s: RADIUS and TACACS+ servers time out too
	Channel     time.Duration // the netconf subsystem, and what stands in for it: 20 s
	// Retry is the pause before the subsystem is asked for a second time: a
	// device short of processes refuses it too. 2 s.
	Retry time.Duration
	// KeepAlive is how often a bastion is asked whether it still lives, and how
	// long it may take to answer: 15 s.
	KeepAlive time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	for _, d := range []struct {
		value *time.Duration
		unset time.Duration
	}{
		{&t.Connect, 10 * time.Second}, {&t.KeyExchange, 15 * time.Second}, {&t.Auth, 30 * time.Second},
		{&t.Channel, 20 * time.Second}, {&t.Retry, 2 * time.Second}, {&t.KeepAlive, 15 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.unset
		}
	}
	return t
}

// Dialer opens channels to devices. Its fields are not changed by Dial, so that
// one serves many goroutines; those who share one share its connections to the
// bastions. It must not be copied.
type Dialer struct {
	// Net makes the TCP connection to the first hop, and resolves its name.
	// Without it nothing is dialled.
	Net      func(ctx context.Context, network, addr string) (net.Conn, error)
	Timeouts Timeouts
	// Idle is how long a bastion's connection is kept when no device uses it
	// any more, and an opened private key after it was read. Zero: 30 s.
	Idle time.Duration

	pool   pool
	keys   keyring
	memory memory
}

// Info is what became known of the hops, by their names.
type Info struct {
	FirstUse   map[string]string     // fingerprints ("SHA256:…") trusted on first use; of a failed Dial, see Error
	HostKeys   map[string]string     // the verified keys, as lines that can be pinned
	Algorithms map[string]Algorithms // negotiated
	Port       uint16                // of the device
	Mode       Mode
	Steps      []Step // in the order they happened
}

// Mode is how a device is asked.
type Mode string

// Modes, from the best to the dearest.
const (
	ModeNETCONF Mode = "netconf"  // the subsystem netconf
	ModeXML     Mode = "xml-mode" // the command "xml-mode netconf need-trailer"
	ModeCLI     Mode = "cli"      // a command of the CLI each: Conn.Run
)

// Algorithms of one SSH connection; cipher and MAC are those of the sending
// direction. MAC is empty where the cipher needs none.
type Algorithms struct {
	KeyExchange, HostKey, Cipher, MAC string
}
