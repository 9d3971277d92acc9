package junos_test

import (
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"lwc/junos"
	"lwc/junos/junostest"
)

// Over real SSH, in both framings, replies to requests under way together are what
// the device sent, each its own.
func TestFleetAhead(t *testing.T) {
	f := startFleet(t, junostest.Config{Devices: len(junostest.Models())})
	framings := map[bool]int{}
	items := junos.Catalogue()
	for _, d := range f.Devices() {
		s, err := junos.Open(t.Context(), dial(t, d), junos.Options{Depth: 8})
		if err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		framings[s.Base11()]++
		if err := s.Ahead(t.Context(), items...); err != nil {
			t.Fatal(err)
		}
		for _, item := range items {
			_, res := collect(t, s, item)
			checkSent(t, f, d, item, res)
		}
		if !s.Pipelined() {
			t.Errorf("%s: one request at a time", d.Name)
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: closing: %v", d.Name, err)
		}
	}
	if len(framings) != 2 {
		t.Errorf("the fleet speaks one framing only: %v", framings)
	}
}

// What a device does wrong has its kind, one request at a time and several.
func TestFaultKinds(t *testing.T) {
	f := startFleet(t, junostest.Config{Devices: 6})
	for fault, kinds := range map[junostest.Fault][]junos.Kind{
		junostest.StallHello:             {junos.KindHello},
		junostest.Garbage:                {junos.KindHello},
		junostest.ErrorHello:             nil,
		junostest.ErrorHello + ":only":   {junos.KindHello},
		junostest.Stall:                  {junos.KindRPCTimeout},
		junostest.StallMid:               {junos.KindStalled},
		junostest.Drip:                   {junos.KindStalled},
		junostest.Truncate:               {junos.KindClosed},
		junostest.Disconnect:             {junos.KindClosed},
		junostest.WrongFraming:           {junos.KindFraming, junos.KindStalled},
		junostest.WrongFraming + ":size": {junos.KindFraming, junos.KindStalled, junos.KindClosed},
		junostest.WrongID:                {junos.KindMessageID},
		junostest.Splits:                 nil,
		junostest.BOM:                    nil,
		junostest.BadUTF8:                nil,
		junostest.Huge + ":3000000":      {junos.KindTooLarge},
	} {
		for _, depth := range []int{1, 4} {
			t.Run(string(fault), func(t *testing.T) {
				for _, d := range f.Devices()[:2] {
					d.SetFault(fault)
					err := askAll(t, dial(t, d), depth)
					d.SetFault(junostest.NoFault)
					var e *junos.Error
					if len(kinds) == 0 && err == nil {
						continue
					}
					if !errors.As(err, &e) || !slices.Contains(kinds, e.Kind) {
						t.Errorf("%s, depth %d: %v, want one of %v", d.Name, depth, err, kinds)
					}
				}
			})
		}
	}
}

// A device that objects to several requests is collected one at a time.
func TestNoPipeline(t *testing.T) {
	f := startFleet(t, junostest.Config{Devices: 6})
	for _, d := range f.Devices() {
		d.SetFault(junostest.NoPipeline)
		var e *junos.Error
		if err := askAll(t, dial(t, d), 4); !errors.As(err, &e) || !e.Pipelined {
			t.Errorf("%s: four at a time: %v", d.Name, err)
		}
		if err := askAll(t, dial(t, d), 1); err != nil {
			t.Errorf("%s: one at a time: %v", d.Name, err)
		}
	}
}

// askAll asks for a few items and returns the first error.
func askAll(t *testing.T, c channel, depth int) error {
	s, err := junos.Open(t.Context(), c, junos.Options{HelloTimeout: time.Second, StallTimeout: 500 * time.Millisecond,
		MaxReply: 2_000_000, Depth: depth})
	if err != nil {
		return err
	}
	defer s.Close()
	items, _ := junos.Profile("minimal")
	if err := s.Ahead(t.Context(), items...); err != nil {
		return err
	}
	for _, item := range items {
		r, err := s.Call(t.Context(), item)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
