package junostest

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/junos"
)

// faultyDevice is one device with a fault, an MX (base:1.0) or an ACX (base:1.1).
func faultyDevice(t *testing.T, m Model, fault Fault) (*Fleet, *Device) {
	f := startFleet(t, Config{Devices: 1, Models: []Model{m}, Faults: map[string]Fault{family(m) + "-0001": fault}})
	return f, f.Devices()[0]
}

func bothFramings(t *testing.T, fault Fault, check func(*testing.T, *Fleet, *Device)) {
	for _, m := range []Model{MXDualRE, ACX} {
		t.Run(string(m), func(t *testing.T) {
			f, d := faultyDevice(t, m, fault)
			check(t, f, d)
		})
	}
}

func TestUnreachable(t *testing.T) {
	f := startFleet(t, Config{Devices: 1, BasePort: freePort(t), Faults: map[string]Fault{"mx-0001": Unreachable}})
	if conn, err := net.DialTimeout("tcp", f.Devices()[0].Addr.String(), time.Second); err == nil {
		conn.Close()
		t.Error("an unreachable device listens")
	}
}

func freePort(t *testing.T) uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func TestRefuseAuth(t *testing.T) {
	_, d := faultyDevice(t, MXDualRE, RefuseAuth)
	cfg := clientConfig(t, d.User, d.Password, d.HostKey)
	if _, err := dialAddr(d.Addr.String(), cfg); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("logging in: %v", err)
	}
	d.SetFault(NoFault)
	c, err := dialAddr(d.Addr.String(), cfg)
	if err != nil {
		t.Fatalf("after the fault: %v", err)
	}
	c.Close()
}

func TestNoNETCONF(t *testing.T) {
	f, d := faultyDevice(t, MXDualRE, NoNETCONF)
	c := logIn(t, f, d)
	if _, err := netconf(t, c); err == nil {
		t.Error("there is a netconf subsystem")
	}
	s, err := c.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if out, err := s.Output("show version | display xml | no-more"); err != nil || !strings.Contains(string(out), d.HostName) {
		t.Errorf("the CLI: %v, %.100s", err, out)
	}
}

func TestGarbage(t *testing.T) {
	bothFramings(t, Garbage, func(t *testing.T, f *Fleet, d *Device) {
		ch, err := netconf(t, logIn(t, f, d))
		if err != nil {
			t.Fatal(err)
		}
		_, err = junos.Open(t.Context(), ch, junos.Options{HelloTimeout: 10 * time.Second})
		var e *junos.Error
		if !errors.As(err, &e) || e.Kind != junos.KindHello {
			t.Errorf("Open: %v, kind %v", err, e)
		}
	})
}

func TestGarbageReply(t *testing.T) {
	bothFramings(t, GarbageReply, func(t *testing.T, f *Fleet, d *Device) {
		ch, err := netconf(t, logIn(t, f, d))
		if err != nil {
			t.Fatal(err)
		}
		readTo(t, ch, eom)
		if _, err := io.WriteString(ch, `<rpc message-id="1"><get-alarm-information/></rpc>]]>]]>`); err != nil {
			t.Fatal(err)
		}
		doc := strings.TrimLeft(strings.TrimSuffix(readTo(t, ch, eom), eom), "\n")
		if doc != string(d.noise()) || len(sentOf(f, d.Name, "show-chassis-alarms")) != 1 {
			t.Errorf("%.100q is not the noise that was logged", doc)
		}
	})
}

func TestStall(t *testing.T) {
	bothFramings(t, Stall, func(t *testing.T, f *Fleet, d *Device) {
		ch, err := netconf(t, logIn(t, f, d))
		if err != nil {
			t.Fatal(err)
		}
		s, err := junos.Open(t.Context(), ch, junos.Options{StallTimeout: 200 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		item, _ := junos.Lookup("show-version")
		if r, err := s.Call(t.Context(), item); err == nil {
			_, err = io.ReadAll(r)
			if err == nil {
				t.Error("a stalled device answers")
			}
		}
		if sent := f.Sent(); slices.ContainsFunc(sent, func(d SentDocument) bool { return d.Item != "" }) {
			t.Errorf("the log has %+v", sent)
		}
	})
}

func TestTruncate(t *testing.T) {
	bothFramings(t, Truncate, func(t *testing.T, f *Fleet, d *Device) {
		s := openSession(t, f, d)
		item, _ := junos.Lookup("show-version")
		r, err := s.Call(t.Context(), item)
		if err != nil {
			t.Fatal(err)
		}
		doc, _ := io.ReadAll(r)
		if got := sentOf(f, d.Name, item.Name); len(got) != 1 || got[0] != r.Result().SHA256 || len(doc) == 0 {
			t.Errorf("%d bytes with hash %s arrived, %v was sent", len(doc), r.Result().SHA256, got)
		}
	})
}
