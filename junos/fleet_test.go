package junos_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/junos"
	"lwc/junos/junostest"
)

// channel is the netconf subsystem of a simulated device.
type channel struct {
	ssh.Channel
	client *ssh.Client
}

func (c channel) Close() error { return c.client.Close() }

func dial(t testing.TB, d *junostest.Device) channel {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(d.HostKey))
	if err != nil {
		t.Fatal(err)
	}
	client, err := ssh.Dial("tcp", d.Addr.String(), &ssh.ClientConfig{User: d.User,
		Auth: []ssh.AuthMethod{ssh.Password(d.Password)}, HostKeyCallback: ssh.FixedHostKey(key)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); client.Wait() })
	ch, requests, err := client.OpenChannel("session", nil)
	if err != nil {
		t.Fatal(err)
	}
	go ssh.DiscardRequests(requests)
	go io.Copy(io.Discard, ch.Stderr())
	if ok, err := ch.SendRequest("subsystem", true, ssh.Marshal(struct{ Name string }{"netconf"})); !ok || err != nil {
		t.Fatalf("no subsystem: %v", err)
	}
	return channel{ch, client}
}

func startFleet(t testing.TB, c junostest.Config) *junostest.Fleet {
	t.Helper()
	f, err := junostest.NewFleet(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Every item of every model comes as the device sent it, byte for byte, and the
// facts in it are those of the device.
func TestFleet(t *testing.T) {
	f := startFleet(t, junostest.Config{Devices: len(junostest.Models()) * 2})
	framings := map[bool]int{}
	for _, d := range f.Devices() {
		s, err := junos.Open(t.Context(), dial(t, d), junos.Options{})
		if err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		framings[s.Base11()]++
		var id junos.Identity
		for _, item := range junos.Catalogue() {
			doc, res := collect(t, s, item)
			checkSent(t, f, d, item, res)
			if !slices.Contains([]junos.Outcome{junos.OK, junos.Empty, junos.Unsupported}, res.Outcome) {
				t.Errorf("%s %s: %+v\n%.500s", d.Name, item.Name, res, doc)
			}
			got, err := junos.ParseIdentity(item.Name, doc)
			if err != nil {
				t.Errorf("%s %s: %v", d.Name, item.Name, err)
			}
			id = id.Merge(got)
		}
		if id.Version != d.Release || id.Model != d.Product || len(id.Serials) == 0 || id.HostName != d.HostName && id.HostName != "" {
			t.Errorf("%s is %q %q %q, identity %+v", d.Name, d.HostName, d.Product, d.Release, id)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: closing: %v", d.Name, err)
		}
	}
	if len(framings) != 2 {
		t.Errorf("the fleet speaks one framing only: %v", framings)
	}
}

func collect(t *testing.T, s *junos.Session, item junos.Item) ([]byte, junos.Result) {
	t.Helper()
	r, err := s.Call(t.Context(), item)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return doc, r.Result()
}

func checkSent(t *testing.T, f *junostest.Fleet, d *junostest.Device, item junos.Item, res junos.Result) {
	t.Helper()
	for _, s := range f.Sent() {
		if s.Device == d.Name && s.Item == item.Name {
			if s.SHA256 != res.SHA256 || int64(s.Bytes) != res.Size {
				t.Errorf("%s %s: sent %d bytes %s, received %d bytes %s", d.Name, item.Name, s.Bytes, s.SHA256, res.Size, res.SHA256)
			}
			return
		}
	}
	t.Errorf("%s %s: nothing was sent", d.Name, item.Name)
}

func TestFaultyDevices(t *testing.T) {
	for fault, kinds := range map[junostest.Fault][]junos.Kind{
		junostest.Garbage:      {junos.KindHello},
		junostest.GarbageReply: nil, // well framed, and no XML: the Result says so
		junostest.Stall:        {junos.KindRPCTimeout},
		junostest.Truncate:     {junos.KindClosed},
	} {
		t.Run(string(fault), func(t *testing.T) {
			f := startFleet(t, junostest.Config{Devices: 6})
			for _, d := range f.Devices() {
				d.SetFault(fault)
				err := attempt(t, dial(t, d))
				var e *junos.Error
				if kinds == nil && err == nil {
					continue
				}
				if !errors.As(err, &e) || !slices.Contains(kinds, e.Kind) {
					t.Errorf("%s: %v, want one of %v", d.Name, err, kinds)
				}
			}
		})
	}
}

func attempt(t *testing.T, c channel) error {
	s, err := junos.Open(t.Context(), c, junos.Options{HelloTimeout: 5 * time.Second, StallTimeout: 300 * time.Millisecond})
	if err != nil {
		return err
	}
	defer s.Close()
	item, _ := junos.Lookup("show-interfaces-terse")
	r, err := s.Call(t.Context(), item)
	if err != nil {
		return err
	}
	_, err = io.ReadAll(r)
	if res := r.Result(); err != nil && res.Outcome != junos.Partial || err == nil && res.Outcome != junos.Malformed {
		t.Errorf("error %v, result %+v", err, res)
	}
	return err
}
