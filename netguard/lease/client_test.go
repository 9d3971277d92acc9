package lease

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

const (
	discover = dhcpv4.MessageTypeDiscover
	request  = dhcpv4.MessageTypeRequest
	decline  = dhcpv4.MessageTypeDecline
	nak      = dhcpv4.MessageTypeNak
	ack      = dhcpv4.MessageTypeAck
	offer    = dhcpv4.MessageTypeOffer
)

func pass(d time.Duration) {
	time.Sleep(d) // the bubble's clock
	synctest.Wait()
}

func expectKinds(t *testing.T, n *network, want ...dhcpv4.MessageType) []sent {
	t.Helper()
	all := n.messages()
	if got := kinds(all); !slices.Equal(got, want) {
		t.Fatalf("the client sent %v, want %v", got, want)
	}
	return all
}

func TestClientTakesALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{answer: good().answer}
		o := play(t, n, "")
		pass(time.Second)
		all := expectKinds(t, n, discover, request)
		if r := all[1]; r.to.Addr.String() != "255.255.255.255" || !r.msg.ServerIdentifier().Equal(net.ParseIP("192.0.2.1")) ||
			!r.msg.RequestedIPAddress().Equal(net.ParseIP("192.0.2.50")) || !r.from.IsUnspecified() {
			t.Errorf("request is %v to %v", r.msg.Summary(), r.to)
		}
		if len(o.leases()) != 1 {
			t.Fatalf("bound %v", o.leases())
		}
		l := o.leases()[0]
		if l.Address != netip.MustParsePrefix("192.0.2.50/24") || l.Gateway.String() != "192.0.2.1" || len(l.DNS) != 1 ||
			l.Expires.Sub(n.start) != time.Hour || l.Renew.Sub(n.start) != 30*time.Minute || l.Rebind.Sub(n.start) != 52*time.Minute+30*time.Second {
			t.Errorf("lease is %+v", l)
		}
	})
}

// T1: the server alone, from the address; T2: whoever hears; the end: nothing left.
func TestClientRenewsRebindsAndLetsGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent atomic.Bool
		n := &network{}
		n.answer = func(s sent) []*dhcpv4.DHCPv4 {
			if silent.Load() {
				return nil
			}
			return good().answer(s)
		}
		o := play(t, n, "")
		pass(31 * time.Minute)
		all := expectKinds(t, n, discover, request, request)
		if r := all[2]; r.at != 30*time.Minute || r.to.Addr.String() != "192.0.2.1" || !bytes.Equal(r.to.MAC, serverMAC()) ||
			r.from.String() != "192.0.2.50" || !r.msg.ClientIPAddr.Equal(net.ParseIP("192.0.2.50")) ||
			r.msg.RequestedIPAddress() != nil || r.msg.ServerIdentifier() != nil {
			t.Errorf("renewal at %v to %v: %v", r.at, r.to, r.msg.Summary())
		}
		if len(o.leases()) != 2 || o.leases()[1].Expires.Sub(n.start) != 90*time.Minute {
			t.Fatalf("bound %v", o.leases())
		}
		silent.Store(true)
		pass(time.Hour - time.Minute - time.Second) // one second before the end
		if len(o.losses()) != 0 {
			t.Fatalf("lost early: %v", o.losses())
		}
		var unicast, broadcasts int
		for _, s := range n.messages()[3:] {
			if s.to.Addr.String() == "192.0.2.1" {
				unicast++
			} else if s.at >= 30*time.Minute+52*time.Minute {
				broadcasts++
			}
		}
		if unicast < 3 || unicast > 12 || broadcasts < 2 || broadcasts > 12 {
			t.Errorf("%d attempts to renew and %d to rebind", unicast, broadcasts)
		}
		pass(2 * time.Second)
		if len(o.losses()) != 1 || !errors.Is(o.losses()[0], ErrExpired) {
			t.Fatalf("lost: %v, want ErrExpired", o.losses())
		}
		silent.Store(false)
		pass(10 * time.Minute)
		if len(o.leases()) != 3 {
			t.Errorf("no lease after the server came back: %v", kinds(n.messages()))
		}
	})
}

// RFC 2131 section 4.1: 4, 8, 16, 32, 64, 64 seconds, each a second more or less.
func TestClientBacksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{answer: func(sent) []*dhcpv4.DHCPv4 { return nil }}
		o := play(t, n, "")
		pass(10 * time.Minute)
		all := n.messages()
		want := []int{4, 8, 16, 32, 64, 64, 64}
		if len(all) < len(want)+1 {
			t.Fatalf("%d messages", len(all))
		}
		for i, w := range want {
			if gap := all[i+1].at - all[i].at; (gap - time.Duration(w)*time.Second).Abs() > time.Second {
				t.Errorf("gap %d is %v, want %ds", i, gap, w)
			}
		}
		if last := all[6]; int(last.msg.NumSeconds) < int(last.at/time.Second)-70 || last.msg.NumSeconds == 0 {
			t.Errorf("at %v secs is %d", last.at, last.msg.NumSeconds)
		}
		if !errors.Is(o.waits()[0], ErrNoServer) {
			t.Errorf("waiting for %v", o.waits()[0])
		}
	})
}

// A cable put in is not kept waiting for the end of a back-off.
func TestClientStartsAgainWithTheLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{answer: good().answer, off: true}
		o := play(t, n, "")
		pass(5 * time.Minute)
		n.mu.Lock()
		n.off = false
		n.mu.Unlock()
		o.links <- struct{}{}
		pass(time.Second)
		if len(o.leases()) != 1 {
			t.Errorf("no lease a second after the link came back: %v", o.waits())
		}
	})
}

// RFC 2131 section 3.2: option 50, no server, no client address; a silent server
// costs nothing, a no costs the address.
func TestClientConfirmsAfterAFlap(t *testing.T) {
	for _, tt := range []struct {
		name string
		then func(sent) []*dhcpv4.DHCPv4
		lost error
	}{
		{"confirmed", good().answer, nil},
		{"silent", func(sent) []*dhcpv4.DHCPv4 { return nil }, nil},
		{"withdrawn", func(s sent) []*dhcpv4.DHCPv4 { return []*dhcpv4.DHCPv4{good().reply(s, nak)} }, ErrWithdrawn},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{answer: good().answer}
				o := play(t, n, "")
				pass(time.Second)
				n.becomes(tt.then)
				o.links <- struct{}{}
				pass(3 * time.Second)
				r := n.messages()[2]
				if r.kind != request || !r.msg.RequestedIPAddress().Equal(net.ParseIP("192.0.2.50")) || r.msg.ServerIdentifier() != nil ||
					!r.msg.ClientIPAddr.IsUnspecified() || r.to.Addr.String() != "255.255.255.255" {
					t.Errorf("after the flap: %v", r.msg.Summary())
				}
				pass(20 * time.Minute)
				if tt.lost == nil && len(o.losses()) != 0 || tt.lost != nil && (len(o.losses()) != 1 || !errors.Is(o.losses()[0], tt.lost)) {
					t.Errorf("lost %v, want %v", o.losses(), tt.lost)
				}
			})
		})
	}
}

// A renewal that has no way to the servers is tried again within seconds, and is over with
// the lease at the latest.
func TestClientRenewsOnceThereIsAWay(t *testing.T) {
	for _, tt := range []struct {
		name    string
		wayless time.Duration // after T1
		lost    int
	}{{"later", 5 * time.Minute, 0}, {"never", 2 * time.Hour, 1}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{answer: good().answer}
				o := play(t, n, "")
				pass(time.Second)
				n.becomesWayless(time.Now().Add(30*time.Minute + tt.wayless))
				if tt.lost > 0 {
					pass(time.Until(o.leases()[0].Expires) + time.Second)
					if got := o.losses(); len(got) != 1 || !errors.Is(got[0], ErrExpired) {
						t.Errorf("lost %v", got)
					}
					return
				}
				pass(30*time.Minute + tt.wayless + wayTime + openAgain)
				if all := o.leases(); len(all) != 2 || len(o.losses()) != 0 {
					t.Errorf("%d leases, lost %v", len(all), o.losses())
				}
			})
		})
	}
}

func TestClientAsksForTheAddressItHad(t *testing.T) {
	for _, tt := range []struct {
		name   string
		reboot func(sent) []*dhcpv4.DHCPv4
		want   []dhcpv4.MessageType
	}{
		{"granted", good().answer, []dhcpv4.MessageType{request}},
		{"refused", func(s sent) []*dhcpv4.DHCPv4 { return []*dhcpv4.DHCPv4{good().reply(s, nak)} }, []dhcpv4.MessageType{request, discover, request}},
		{"silent", func(sent) []*dhcpv4.DHCPv4 { return nil }, []dhcpv4.MessageType{request, request, discover, request}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &network{}
				n.answer = func(s sent) []*dhcpv4.DHCPv4 {
					if s.kind == request && s.msg.ServerIdentifier() == nil {
						return tt.reboot(s)
					}
					return good().answer(s)
				}
				o := play(t, n, "192.0.2.50")
				pass(30 * time.Second)
				all := expectKinds(t, n, tt.want...)
				if !all[0].msg.RequestedIPAddress().Equal(net.ParseIP("192.0.2.50")) {
					t.Errorf("asked for %v", all[0].msg.RequestedIPAddress())
				}
				if len(o.leases()) != 1 {
					t.Errorf("bound %v", o.leases())
				}
			})
		})
	}
}

// An offer that the owner refuses is not asked for; the next server's is taken.
func TestClientSkipsARefusedOffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bad := lender{address: "10.9.9.9", server: "192.0.2.66", length: time.Hour}
		n := &network{answer: func(s sent) []*dhcpv4.DHCPv4 { return append(bad.answer(s), good().answer(s)...) }}
		n.refuses(func(l Lease) bool { return l.Server.String() == "192.0.2.66" })
		o := play(t, n, "")
		pass(time.Second)
		if len(o.leases()) != 1 || o.leases()[0].Server.String() != "192.0.2.1" {
			t.Errorf("bound %v", o.leases())
		}
	})
}

// Refused for good: said in words, and asked again no sooner than after ten seconds.
func TestClientWaitsWhenAllIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{answer: good().answer}
		n.refuses(func(Lease) bool { return true })
		o := play(t, n, "")
		pass(2 * time.Minute)
		all := n.messages()
		for i := 1; i < len(all); i++ {
			if gap := all[i].at - all[i-1].at; all[i].kind != discover || gap < 10*time.Second {
				t.Errorf("message %d is a %v, %v after the one before", i, all[i].kind, gap)
			}
		}
		if len(o.leases()) != 0 || !errors.Is(o.waits()[0], ErrRefused) || !strings.Contains(o.waits()[0].Error(), "overlaps the other port") {
			t.Errorf("bound %v, waiting %v", o.leases(), o.waits())
		}
	})
}

// A server that acknowledges other than it offered gets its address back.
func TestClientDeclines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := good()
		l.change = func(kind dhcpv4.MessageType, r *dhcpv4.DHCPv4) {
			if kind == ack {
				r.YourIPAddr = net.ParseIP("10.11.0.9")
			}
		}
		n := &network{answer: l.answer}
		n.refuses(func(l Lease) bool { return l.Address.Addr().String() == "10.11.0.9" })
		o := play(t, n, "")
		pass(5 * time.Second)
		all := expectKinds(t, n, discover, request, decline)
		d := all[2].msg
		if !d.RequestedIPAddress().Equal(net.ParseIP("10.11.0.9")) || !d.ServerIdentifier().Equal(net.ParseIP("192.0.2.1")) || d.ParameterRequestList() != nil {
			t.Errorf("decline is %v", d.Summary())
		}
		pass(4 * time.Second)
		expectKinds(t, n, discover, request, decline) // ten seconds of peace
		if len(o.leases()) != 0 {
			t.Errorf("bound %v", o.leases())
		}
	})
}

// A renewal that brings what is refused ends the lease.
func TestClientRefusesARenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{answer: good().answer}
		o := play(t, n, "")
		pass(time.Second)
		other := good()
		other.address = "10.11.0.9"
		n.becomes(other.answer)
		n.refuses(func(l Lease) bool { return l.Address.Addr().String() == "10.11.0.9" })
		pass(31 * time.Minute)
		if len(o.losses()) != 1 || !errors.Is(o.losses()[0], ErrRefused) || !slices.Contains(kinds(n.messages()), decline) {
			t.Errorf("lost %v after %v", o.losses(), kinds(n.messages()))
		}
	})
}

// What a hostile server says is no lease, and makes no noise.
func TestClientWithHostileServers(t *testing.T) {
	set := func(code dhcpv4.OptionCode, b ...byte) func(dhcpv4.MessageType, *dhcpv4.DHCPv4) {
		return func(_ dhcpv4.MessageType, r *dhcpv4.DHCPv4) { r.UpdateOption(dhcpv4.OptGeneric(code, b)) }
	}
	yours := func(a string) func(dhcpv4.MessageType, *dhcpv4.DHCPv4) {
		return func(_ dhcpv4.MessageType, r *dhcpv4.DHCPv4) { r.YourIPAddr = net.ParseIP(a) }
	}
	for name, change := range map[string]func(dhcpv4.MessageType, *dhcpv4.DHCPv4){
		"address zero":        yours("0.0.0.0"),
		"address multicast":   yours("224.0.0.5"),
		"address broadcast":   yours("255.255.255.255"),
		"address loopback":    yours("127.0.0.1"),
		"address link-local":  yours("169.254.7.7"),
		"lease zero":          set(dhcpv4.OptionIPAddressLeaseTime, 0, 0, 0, 0),
		"lease of a second":   set(dhcpv4.OptionIPAddressLeaseTime, 0, 0, 0, 1),
		"lease cut short":     set(dhcpv4.OptionIPAddressLeaseTime, 1),
		"no lease time":       func(_ dhcpv4.MessageType, r *dhcpv4.DHCPv4) { r.Options.Del(dhcpv4.OptionIPAddressLeaseTime) },
		"mask with holes":     set(dhcpv4.OptionSubnetMask, 255, 0, 255, 0),
		"mask zero":           set(dhcpv4.OptionSubnetMask, 0, 0, 0, 0),
		"no mask":             func(_ dhcpv4.MessageType, r *dhcpv4.DHCPv4) { r.Options.Del(dhcpv4.OptionSubnetMask) },
		"routes cut short":    set(dhcpv4.OptionClasslessStaticRoute, 24, 10, 0, 0, 192, 0),
		"routes too long":     set(dhcpv4.OptionClasslessStaticRoute, 33, 10, 0, 0, 0, 0, 192, 0, 2, 1),
		"default without via": set(dhcpv4.OptionClasslessStaticRoute, 0, 0, 0, 0, 0),
		"server loopback":     set(dhcpv4.OptionServerIdentifier, 127, 0, 0, 1),
		"no server":           func(_ dhcpv4.MessageType, r *dhcpv4.DHCPv4) { r.Options.Del(dhcpv4.OptionServerIdentifier) },
		"other transaction":   func(_ dhcpv4.MessageType, r *dhcpv4.DHCPv4) { r.TransactionID[0]++ },
		"other client":        func(_ dhcpv4.MessageType, r *dhcpv4.DHCPv4) { r.ClientHWAddr = serverMAC() },
		"a request":           func(_ dhcpv4.MessageType, r *dhcpv4.DHCPv4) { r.OpCode = dhcpv4.OpcodeBootRequest },
		"no kind":             func(_ dhcpv4.MessageType, r *dhcpv4.DHCPv4) { r.Options.Del(dhcpv4.OptionDHCPMessageType) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := good()
				l.change = change
				n := &network{answer: l.answer}
				o := play(t, n, "")
				pass(time.Minute)
				if len(o.leases()) != 0 {
					t.Errorf("bound %v", o.leases())
				}
				if all := n.messages(); len(all) > 8 {
					t.Errorf("%d messages in a minute: %v", len(all), kinds(all))
				}
			})
		})
	}
}

// The shortest lease that is taken is renewed at its half, not more often, and
// times that make no sense are not believed.
func TestClientBoundsTheTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := good()
		l.length = minLease
		l.change = func(_ dhcpv4.MessageType, r *dhcpv4.DHCPv4) {
			r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionRenewTimeValue, []byte{0, 0, 0, 1}))
			r.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionRebindingTimeValue, []byte{0, 0, 0, 2}))
		}
		n := &network{answer: l.answer}
		o := play(t, n, "")
		pass(10 * time.Minute)
		if all := n.messages(); len(all) > 2+40 || len(o.losses()) != 0 {
			t.Errorf("%d messages in ten minutes, lost %v", len(all), o.losses())
		}
	})
}

// Thousands of messages that fit nothing cost one wait, and the lease comes next.
func TestClientUnderAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &network{}
		n.answer = func(s sent) []*dhcpv4.DHCPv4 {
			if s.at > time.Second {
				return good().answer(s)
			}
			var flood []*dhcpv4.DHCPv4
			for i := range 3000 {
				r := good().reply(s, nak)
				r.UpdateOption(dhcpv4.OptMessage(fmt.Sprint("go away ", i, "\x1b[2J")))
				flood = append(flood, r)
			}
			return flood
		}
		o := play(t, n, "")
		pass(15 * time.Second)
		if len(o.leases()) != 1 {
			t.Errorf("bound %v after %v", o.leases(), kinds(n.messages()))
		}
	})
}
