package uplink

import (
	"fmt"
	"testing"

	"lwc/testdata/badline"
	"lwc/transport/wire"
	"lwc/transport/wss"
)

// mosquitto serves WebSocket too, from a library of its own, under the same
// certificates and access list.
func TestWebSocketToMosquitto(t *testing.T) {
	s := &site{ca: newAuthority(t, "test authority")}
	s.config, s.pub = configSigner(t)
	port := freePort(t)
	s.broker = startMosquittoWith(t, s.ca, func(dir string) string {
		return fmt.Sprintf("listener %d 127.0.0.1\nprotocol websockets\ncafile %[2]s/ca.pem\ncertfile %[2]s/server.pem\nkeyfile %[2]s/server.key\n"+
			"require_certificate true\nuse_identity_as_username true\nuse_username_as_clientid true\ntls_version tlsv1.3\n", port, dir)
	})
	s.cloud = newCloud(t, s)
	line, rec := badline.Start(t, fmt.Sprintf("127.0.0.1:%d", port)), newRecorder()
	id := identityOf(s.ca, s.pub)
	id.Bootstrap.Endpoints = []wire.Endpoint{{Kind: wire.EndpointWSS, Host: line.Addr(), Path: wss.Path}}
	u := newUplink(t, id, rec)
	start(t, u)
	wait(t, rec.welcomed, "the welcome")
	u.SendEvent(wire.Event{Kind: wire.EventClockStep, Text: "over WebSocket"})
	if e := wait(t, s.cloud.events, "the event"); e.Text != "over WebSocket" {
		t.Errorf("the event says %+v", e)
	}
	line.Cut()
	wait(t, rec.welcomed, "the welcome after a cut")
}
