package collector

import (
	"context"
	"io"

	"lwc/transport/secret"
	"lwc/transport/wire"
)

// Dialer opens the NETCONF channel of a device.
type Dialer interface {
	// Dial connects and logs in on every hop. It does not retry. Its errors may
	// have Diagnosis() (phase, kind, advice string), which is told to the
	// operator, FailedHop() string, the name of the hop that refused, and
	// FirstUse() and Steps() as a Channel has them, of what came before the
	// failure and, the last step, of the failure.
	Dial(ctx context.Context, t Target) (Channel, error)
}

// Channel is the byte stream of a device's NETCONF session. Close ends every
// connection that was made for it alone.
type Channel interface {
	io.ReadWriteCloser
	// FirstUse returns the fingerprints ("SHA256:…") of host keys that were
	// trusted without a pin, by the name of the hop.
	FirstUse() map[string]string
	// Access tells how the device was reached. Where its Mode is ModeCLI, there
	// is nothing to read or write, and Run is how the device is asked.
	Access() *wire.Access
	// Run starts one command of the device's CLI. What it prints is read to its
	// end, or closed.
	Run(ctx context.Context, command string) (io.ReadCloser, error)
	// Steps returns the stages of the dial in their order, with their times.
	Steps() []wire.ProbeStep
}

// ModeCLI is the mode of an Access to a device that has no NETCONF.
const ModeCLI = "cli"

// Target is a device with everything that is needed to log in to it.
type Target struct {
	Device wire.Device // HostKeys and TrustFirst as they apply now
	Auth   Auth
	Via    []Hop // bastions, the first is dialled directly
	// AllowCLI lets the Dialer fall back on commands of the CLI.
	AllowCLI bool
}

// Hop is one bastion.
type Hop struct {
	Name       string // id of the bastion
	Address    string
	Port       uint16 // 0 means 22
	Auth       Auth
	HostKeys   []string
	TrustFirst bool
	Legacy     bool // offer weak algorithms as well
	// MaxSessions is how many devices are reached through it at once.
	MaxSessions int
}

// Auth is an opened credential: a password, or a private key, perhaps with its
// SSH certificate.
type Auth struct {
	User                                          string
	Password, PrivateKey, Passphrase, Certificate secret.Text
}

// Publisher sends documents and manifests until the cloud has answered for them.
type Publisher interface {
	// Lane waits for a seat in the memory for documents without receipt, for one
	// visit of a device. waiting is called before each wait of the Lane for memory,
	// and what it returns after it.
	Lane(ctx context.Context, run, device string, waiting func() (resumed func())) (Lane, error)
	// PublishRun signs and sends a manifest. It returns the hash that the next
	// manifest names. done is called once, when the manifest is complete or
	// rejected.
	PublishRun(ctx context.Context, m wire.Manifest, done func(r wire.Receipt)) (hash string, err error)
	// DropHeld ends the waiting of a run's documents for approvals: they do not
	// leave.
	DropHeld(run string)
}

// Lane is the way of a visit's documents to the cloud. One goroutine uses it.
type Lane interface {
	// Add takes over a whole document of at most WholeDocument bytes, of which h
	// tells id, item, time, outcome, hash, size, flags, and hash and size as the
	// device sent it. plain is copied. With hold, the body waits for an approval.
	// It blocks while there is no memory. After nil, done is called once, from
	// another goroutine.
	Add(ctx context.Context, h wire.Header, plain []byte, hold bool, done func(wire.Delivery)) error
	// Stream begins a document of any size; h tells id, item and time. Its writes
	// block while there is no memory, and end with ctx.
	Stream(ctx context.Context, h wire.Header, hold bool) (Stream, error)
	// Close sends what is pending, and gives the seat back.
	Close()
}

// Stream is a document under way. It ends with Commit or Abort.
type Stream interface {
	io.Writer
	// Commit ends the document. last tells what only the end of it told. After nil,
	// done is called once, from another goroutine.
	Commit(last wire.Header, done func(wire.Delivery)) error
	// Abort forgets the document. After Commit it does nothing.
	Abort()
}

// Budget is the memory for documents without receipt.
type Budget interface {
	// SetBudget changes its size in bytes.
	SetBudget(n int64)
	// Budget returns the bytes in use, those of them that wait for an approval, and
	// the size.
	Budget() (used, held, limit int64)
}

// Reporter tells the cloud what goes on. Its methods never block.
type Reporter interface {
	SendState(wire.State)
	SendJobStatus(wire.JobStatus)
	SendEvent(wire.Event)
}

// Uplink is the way to the cloud.
type Uplink interface {
	Publisher
	Reporter
	Budget
}
