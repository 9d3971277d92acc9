package junostest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"
)

// faultSwitch holds the present fault; sessions read it while tests set it.
type faultSwitch struct{ v atomic.Pointer[faultState] }

// set changes the fault, and forgets what the one before it remembered.
func (s *faultSwitch) set(f Fault) {
	if f == NoFault {
		s.v.Store(nil)
		return
	}
	s.v.Store(&faultState{fault: f})
}

func (s *faultSwitch) get() Fault {
	if st := s.v.Load(); st != nil {
		return st.fault
	}
	return NoFault
}

// faultState is a fault and what it remembers from one connection to the next.
// A nil one is no fault.
type faultState struct {
	fault Fault
	open  atomic.Int64 // connections, of Limit
	seen  atomic.Int64 // connections so far, of Throttle and NewHostKey
	bad   atomic.Int64 // log-ins so far that were refused, of Lockout

	mu     sync.Mutex  // held for recent and other
	recent []time.Time // connections of the last minute, of Rate
	other  ssh.Signer  // of NewHostKey, once it was asked for
}

func (st *faultState) kind() Fault {
	if st == nil {
		return NoFault
	}
	return st.fault.Kind()
}

func (st *faultState) arg() string {
	if st == nil {
		return ""
	}
	return st.fault.Arg()
}

// count is the argument as a number, otherwise where it is none.
func (st *faultState) count(otherwise int) int {
	if n, err := strconv.Atoi(st.arg()); err == nil {
		return n
	}
	return otherwise
}

// duration is the argument as a time, otherwise where it is none.
func (st *faultState) duration(otherwise time.Duration) time.Duration {
	if t, err := time.ParseDuration(st.arg()); err == nil {
		return t
	}
	return otherwise
}

// size is the argument, up to a colon, as a number of bytes.
func (st *faultState) size(otherwise int64) int64 {
	size, _ := cutArg(st.arg())
	if n, err := ParseSize(size); err == nil {
		return n
	}
	return otherwise
}

// admit says whether a new connection may go on. leave is called when it ends.
func (st *faultState) admit() (leave func(), ok bool) {
	leave = func() {}
	switch st.kind() {
	case Throttle:
		n := st.count(0)
		return leave, n > 0 && st.seen.Add(1) > int64(n)
	case Limit:
		if st.open.Add(1) > int64(st.count(1)) {
			st.open.Add(-1)
			return leave, false
		}
		return func() { st.open.Add(-1) }, true
	case Rate:
		return leave, st.underRate(st.count(1))
	}
	return leave, true
}

// underRate counts a connection of this minute. Those turned away count too:
// who keeps knocking stays out.
func (st *faultState) underRate(most int) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	now := time.Now()
	for len(st.recent) > 0 && now.Sub(st.recent[0]) >= time.Minute {
		st.recent = st.recent[1:]
	}
	if len(st.recent) > 4*most {
		st.recent = st.recent[1:]
	}
	st.recent = append(st.recent, now)
	return len(st.recent) <= most
}

// changed returns the host key that takes the place of one of the same type. It
// is as new as the fault: each start of a fleet has another.
func (st *faultState) changed(old ssh.Signer) (ssh.Signer, error) {
	if st.arg() == "later" && st.seen.Add(1) == 1 {
		return old, nil
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.other != nil {
		return st.other, nil
	}
	var key any
	var err error
	if old.PublicKey().Type() == ssh.KeyAlgoECDSA256 {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		_, key, err = ed25519.GenerateKey(rand.Reader)
	}
	if err == nil {
		st.other, err = ssh.NewSignerFromKey(key)
	}
	return st.other, err
}
