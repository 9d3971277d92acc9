package portal

import (
	"net/netip"
	"strings"
	"sync"
	"time"
)

// limiter slows down guessing: each name and each address has an allowance of
// attempts that grows back with time. A success costs nothing. Its zero value
// is ready.
type limiter struct {
	mu    sync.Mutex // guards the rest, and the allowances in seen
	seen  map[string]*allowance
	swept time.Time // when forget went through seen
}

type allowance struct {
	left  float64
	since time.Time
}

// rate is how many attempts there are at first, and how long one takes to come
// back.
type rate struct {
	burst float64
	every time.Duration
}

// A person mistypes a few times; an office may share one address.
const (
	nameBurst, addressBurst = 5, 30
	nameEvery, addressEvery = 30 * time.Second, 4 * time.Second
	// maxSeen bounds the memory of the limiter. Beyond it, newcomers share one
	// allowance.
	maxSeen = 20000
	// maxName is the longest name of a user; what is longer shares the allowance
	// of its beginning.
	maxName = 63
)

// attempt is one use of the limiter, which may be given back.
type attempt struct {
	l    *limiter
	keys []string
}

// take spends one attempt of a name (empty: none) and of an address.
func (l *limiter) take(name, remote string) (attempt, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := attempt{l: l, keys: []string{"a " + network(remote)}}
	rates := []rate{{addressBurst, addressEvery}}
	if name != "" {
		name = strings.Clone(name[:min(len(name), maxName)]) // not the whole form with it
		at.keys, rates = append(at.keys, "n "+name), append(rates, rate{nameBurst, nameEvery})
	}
	now := time.Now()
	for i, k := range at.keys {
		if l.allowance(k, rates[i], now).left < 1 {
			return attempt{}, false
		}
	}
	for _, k := range at.keys {
		l.get(k).left--
	}
	return at, true
}

// refund gives an attempt back.
func (a attempt) refund() {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	for _, k := range a.keys {
		a.l.get(k).left++
	}
}

const overflow = "overflow"

// get returns the allowance of a key. The caller holds the lock.
func (l *limiter) get(key string) *allowance {
	if a := l.seen[key]; a != nil {
		return a
	}
	return l.seen[overflow]
}

// allowance returns the allowance of a key as it is now. The caller holds the
// lock.
func (l *limiter) allowance(key string, r rate, now time.Time) *allowance {
	if l.seen == nil {
		l.seen = map[string]*allowance{overflow: {addressBurst, now}}
	}
	if len(l.seen) >= maxSeen && now.Sub(l.swept) > whole {
		l.forget(now)
	}
	if l.seen[key] == nil && len(l.seen) < maxSeen {
		l.seen[key] = &allowance{r.burst, now}
	}
	a := l.get(key)
	a.left = min(r.burst, a.left+float64(now.Sub(a.since))/float64(r.every))
	a.since = now
	return a
}

// whole is when any allowance is whole again.
const whole = max(addressBurst*addressEvery, nameBurst*nameEvery)

// forget drops allowances that are whole again by now. It takes a while, so it
// is done once in that time at most.
func (l *limiter) forget(now time.Time) {
	l.swept = now
	for k, a := range l.seen {
		if k != overflow && now.Sub(a.since) > whole {
			delete(l.seen, k)
		}
	}
}

// network is the address that attempts are counted by: of IPv6 its /64, which
// is what one customer has.
func network(remote string) string {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	a := ap.Addr().Unmap()
	if a.Is6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
