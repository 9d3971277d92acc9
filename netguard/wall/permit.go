package wall

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// maxPermitted bounds how many addresses are let out at a time.
const maxPermitted = 1024

// sweepTime is how long a permission is remembered behind its end: the kernel's
// clock for it starts after ours, by no more than the exchange takes that tells it.
const sweepTime = exchangeTimeout + time.Second

// permission is an address, protocol and port.
type permission struct {
	addr  netip.AddrPort
	proto byte
}

func (k permission) family() byte {
	if k.addr.Addr().Is6() {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

// Permit lets new connections to the addresses out for ttl: by UDP, or else by
// TCP. One that is let out already stays so for ttl from now, or longer if it
// was to. What is open when the time ends stays open. Addresses of a family that
// the port does not speak are passed over. The error is ErrFull when more than
// 1024 would be let out at a time.
func (w *Wall) Permit(addrs []netip.AddrPort, udp bool, ttl time.Duration) error {
	if err := w.permit(addrs, udp, ttl); err != nil {
		return fmt.Errorf("permitting addresses: %w", err)
	}
	return nil
}

func (w *Wall) permit(addrs []netip.AddrPort, udp bool, ttl time.Duration) error {
	proto := byte(unix.IPPROTO_TCP)
	if udp {
		proto = unix.IPPROTO_UDP
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.applied == nil || !w.applied.Dynamic || w.applied.closed() {
		return fmt.Errorf("%w: it has no set for them", ErrBadPort)
	}
	if ttl <= 0 {
		return fmt.Errorf("%w: time-out %s", ErrBadPort, ttl)
	}
	now := time.Now()
	w.forget(now)
	fresh := map[permission]time.Time{}
	for _, a := range addrs {
		k := permission{netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port()), proto}
		if !a.IsValid() || a.Port() == 0 {
			return fmt.Errorf("%w: address %s", ErrBadPort, a)
		}
		if end := now.Add(ttl); (k.addr.Addr().Is4() || w.applied.IPv6) && end.After(w.permitted[k]) {
			fresh[k] = end
		}
	}
	return w.renew(fresh, ttl)
}

// renew puts the permissions into the kernel's sets and remembers them.
func (w *Wall) renew(fresh map[permission]time.Time, ttl time.Duration) error {
	if len(fresh) == 0 {
		return nil
	}
	total := len(w.permitted)
	for k := range fresh {
		if _, known := w.permitted[k]; !known {
			total++
		}
	}
	if total > maxPermitted {
		return fmt.Errorf("%w: %d, want at most %d", ErrFull, total, maxPermitted)
	}
	if err := w.commit(w.additions(fresh, ttl)); err != nil {
		return err
	}
	if w.permitted == nil {
		w.permitted = map[permission]time.Time{}
	}
	for k, end := range fresh {
		w.permitted[k] = end
	}
	return nil
}

// additions adds the elements with their time-out. Adding one that is there does
// not renew its time-out before Linux 6.12; deleting it may find it timed out,
// which fails the whole transaction. Added, deleted and added again it is there
// in between, and renewed whatever the kernel.
func (w *Wall) additions(fresh map[permission]time.Time, ttl time.Duration) []operation {
	var ops []operation
	for _, s := range []set{permitted(setPermitted4, unix.NFPROTO_IPV4), permitted(setPermitted6, unix.NFPROTO_IPV6)} {
		var all, known []element
		for k := range fresh {
			if ofFamily(k.family(), setPermitted4, setPermitted6) != s.name {
				continue
			}
			e := element{key: endpointKey(k.addr, k.proto), ttl: ttl}
			all = append(all, e)
			if _, ok := w.permitted[k]; ok {
				known = append(known, e)
			}
		}
		for _, t := range w.kernel.owning([]table{{name: tableName, family: unix.NFPROTO_INET}}) {
			ops = append(ops, s.change(t, unix.NFT_MSG_NEWSETELEM, known)...)
			ops = append(ops, s.change(t, unix.NFT_MSG_DELSETELEM, known)...)
			ops = append(ops, s.change(t, unix.NFT_MSG_NEWSETELEM, all)...)
		}
	}
	return ops
}

// commit sends operations that do not depend on what else is there. The rules
// count as unchanged afterwards only if they were so before.
func (w *Wall) commit(ops []operation) error {
	gen := w.gen
	for range maxAttempts {
		err := w.send(gen, ops)
		if err == nil {
			if gen == w.gen && gen != 0 {
				w.gen = following(gen)
			}
			return nil
		}
		if !again(err) {
			return err
		}
		if gen, err = w.nl.generation(); err != nil {
			return err
		}
	}
	return fmt.Errorf("somebody else changed the rules each time, %d times", maxAttempts)
}

// again reports whether a transaction that failed so is worth another try: the
// rules changed meanwhile, or the kernel is just sweeping up an element that timed
// out.
func again(err error) bool {
	return errors.Is(err, unix.ERESTART) || errors.Is(err, unix.EBUSY)
}

// forget drops the permissions that are over.
func (w *Wall) forget(now time.Time) {
	for k, end := range w.permitted {
		if now.After(end.Add(sweepTime)) {
			delete(w.permitted, k)
		}
	}
}

// problem says what is wrong with an element of a dynamic set, "" when it is one
// that Permit made and ends when it has to.
func (w *Wall) problem(e timedElement, now time.Time) string {
	a, proto, ok := endpointOf(e.key)
	if !ok {
		return fmt.Sprintf("set %s holds the key \"%x\", which nobody permitted", e.set, e.key)
	}
	end, ok := w.permitted[permission{a, proto}]
	switch {
	case !ok:
		return fmt.Sprintf("set %s holds %s (protocol %d), which nobody permitted", e.set, a, proto)
	case e.left > end.Add(sweepTime).Sub(now):
		return fmt.Sprintf("set %s holds %s (protocol %d) for longer than was permitted", e.set, a, proto)
	}
	return ""
}

// remembered returns what is still permitted and belongs into the set.
func (w *Wall) remembered(s set) []element {
	if !s.dynamic() {
		return nil
	}
	now := time.Now()
	var out []element
	for k, end := range w.permitted {
		if left := end.Sub(now); left > 0 && ofFamily(k.family(), setPermitted4, setPermitted6) == s.name {
			out = append(out, element{key: endpointKey(k.addr, k.proto), ttl: left})
		}
	}
	return out
}

// Pulse makes a transaction that changes nothing: the policy of the forward chain
// is set to what it is. Who listens for changes of the rules hears of it, which
// proves that he hears.
func (w *Wall) Pulse() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.applied == nil {
		return errors.New("sending a pulse: the walls were not applied yet")
	}
	t := closedTable()
	for _, c := range t.chains {
		if c.hook.num == hookForward {
			if err := w.commit([]operation{c.create(t)}); err != nil {
				return fmt.Errorf("sending a pulse: %w", err)
			}
		}
	}
	return nil
}
