package device

import (
	"net"
	"time"

	"golang.org/x/crypto/ssh"
)

// Step is one stage of a Dial at one hop. The stages of a bastion whose
// connection stood already are told as they went then, with Took zero.
type Step struct {
	Hop     string
	Bastion bool
	Stage   string // one of the Stage constants
	Took    time.Duration
	Detail  string // what was found: an address, a version, algorithms, a fingerprint
	Err     error  // nil: it succeeded
}

// Stages of a Step, finer than the phases of an Error.
const (
	StageResolve     = "resolve"      // the name of the first hop
	StageConnect     = "connect"      // TCP, by the bastion before where there is one
	StageVersion     = "version"      // up to the SSH version of the server
	StageKeyExchange = "key-exchange" // up to its host key
	StageHostKey     = "host-key"     // is it the pinned one
	StageAuth        = "auth"
	StageSubsystem   = "subsystem" // or what stands in for it
)

// record is what became known of one hop.
type record struct {
	key        ssh.PublicKey // verified; nil: it did not come so far
	algorithms Algorithms
	steps      []Step
}

func (r *record) step(stage string, since time.Time, detail string, err error) {
	r.steps = append(r.steps, Step{Stage: stage, Took: time.Since(since), Detail: detail, Err: err})
}

// maxDetail bounds what a foreign text adds to a step.
const maxDetail = 120

// plain makes foreign text fit for an operator's line: printable ASCII, bounded.
func plain(s string, most int) string {
	b := make([]byte, 0, min(len(s), most))
	for _, r := range s {
		if len(b) >= most {
			return string(b) + "..."
		}
		if r < ' ' || r > '~' {
			r = '?'
		}
		b = append(b, byte(r))
	}
	return string(b)
}

// isName tells whether an address is a name that must be resolved.
func isName(address string) bool { return net.ParseIP(address) == nil }
