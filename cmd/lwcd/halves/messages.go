package halves

import (
	"context"
	"encoding/json"
	"time"

	"lwc/netguard"
	"lwc/transport/wire"
)

// The longest lines: what the collector half says is short, but for the words of
// its status; down go a configuration and a token.
const (
	MaxUp   = 16 << 10
	MaxDown = 1 << 20
)

// Setup is what the collector half has to know before it does anything.
type Setup struct {
	Path string `json:"path"` // of the configuration file; stands in messages
	Text string `json:"text"` // of the configuration: the half reads no file of it
	// UID and GID are what the half becomes; 0 keeps the user it has and drops the
	// capabilities alone.
	UID int `json:"uid"`
	GID int `json:"gid"`
	// ProxyPassword is that of external.proxy_user.
	ProxyPassword []byte `json:"proxy_password,omitempty"`
	// ProxyCA is what external.proxy_ca_file holds.
	ProxyCA []byte `json:"proxy_ca,omitempty"`
	// ReleaseKeys is what update.keys holds.
	ReleaseKeys []byte `json:"release_keys,omitempty"`
	// Degraded says in words what the supervisor could not have.
	Degraded []string `json:"degraded,omitempty"`
}

// Stamp tells two versions of the token file apart. The zero Stamp is that of no
// version.
type Stamp struct {
	Changed int64 `json:"changed"` // Unix time in nanoseconds
	Size    int64 `json:"size"`
}

// Token is the enrolment token as somebody put it on the box.
type Token struct {
	Stamp Stamp  `json:"stamp"`
	Text  []byte `json:"text"`
}

// Notice is something that the supervisor wants the cloud to know.
type Notice struct {
	Number    uint64              `json:"number"` // from 1 on, growing
	Kind      string              `json:"kind"`   // of wire.Event
	Text      string              `json:"text"`
	Violation *wire.PortViolation `json:"violation,omitempty"`
}

// Report is where the collector half stands.
type Report struct {
	Problem   string `json:"problem,omitempty"` // a task that gives no sign of life; empty: all do
	Status    string `json:"status"`            // in words
	Collector string `json:"collector"`         // its id; empty: not enrolled yet
	Cloud     string `json:"cloud"`             // the session with the cloud, in words
	Connected bool   `json:"connected"`         // there is one
	Identity  string `json:"identity"`          // where its key lives: tpm or file; empty: not enrolled yet
	Withheld  bool   `json:"withheld"`          // the key of the identity cannot be used
	Trouble   string `json:"trouble"`           // the newest warning or error of its log, with its time
}

// Tokens is the token file. Errors are fs.ErrNotExist, or say in words why the
// file cannot be used.
type Tokens interface {
	// Stamp tells which version of the file is there.
	Stamp(context.Context) (Stamp, error)
	// Read returns the token, and makes what it names all that the External Port may
	// reach, unless the configuration says that. Once the box has enrolled it fails.
	Read(context.Context) (Token, error)
	// Erase overwrites and removes the file that was read, once the identity is
	// saved. No other token is handed out then.
	Erase(context.Context) error
}

// Desk is what the supervisor tells the collector half.
type Desk interface {
	// Setup is asked for once, first of all.
	Setup(context.Context) (Setup, error)
	// Notices waits until there are notices with a number above that one, and
	// returns them in order; older ones are forgotten then.
	Notices(ctx context.Context, after uint64) ([]Notice, error)
}

// Worker is what the collector half answers for.
type Worker interface {
	// Alive says where the half stands, and whether each of its tasks works.
	Alive(context.Context) Report
	// Stop begins a clean stop; the end of the process is the answer.
	Stop()
}

// The calls.
const (
	callSetup   = "setup"
	callNotices = "notices"
	callView    = "view"
	callPermit  = "permit"
	callStamp   = "token-stamp"
	callToken   = "token"
	callErase   = "token-erase"
	callAlive   = "alive"
	callStop    = "stop"
	callRestart = "restart"
	callUpdate  = "update"
	callClock   = "clock"
	callEnding  = "ending"
)

const (
	// pollLimit is how long a long poll is held; then it is asked anew.
	pollLimit = 30 * time.Second
	// quickLimit is for what needs no network.
	quickLimit = 10 * time.Second
	// permitLimit is for a name to be resolved.
	permitLimit = 20 * time.Second
	// grace is what an answer may take on its way.
	grace = 5 * time.Second
)

// endingArgs are the half's last words.
type endingArgs struct {
	Failure string `json:"failure,omitempty"` // empty: it ends as it was asked to
}

type serialArgs struct {
	Serial uint64 `json:"serial"`
}

// endpointArgs is a netguard.Endpoint.
type endpointArgs struct {
	Network string `json:"network"`
	Host    string `json:"host"`
	Port    uint16 `json:"port"`
}

func (e endpointArgs) endpoint() netguard.Endpoint {
	return netguard.Endpoint{Network: e.Network, Host: e.Host, Port: e.Port}
}

// reads decodes the arguments of a call.
func reads[T any](args json.RawMessage) (T, error) {
	var v T
	if err := strict(args, &v); err != nil {
		return v, ErrProtocol
	}
	return v, nil
}
