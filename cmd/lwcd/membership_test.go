package main

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// A port may be missing for hours: who waits for it is alive.
func TestWaitingForThePortsIsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := slog.New(slog.DiscardHandler)
		m := newMembership(config{}, &part{name: "ports", ready: make(chan struct{})}, nil, nil, log)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		time.Sleep(time.Hour)
		if err := m.Alive(t.Context()); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
