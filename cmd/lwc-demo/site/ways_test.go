package site

import (
	"net"
	"os"
	"strings"
	"testing"
)

// The same by WebSocket, the one way that this cloud has, and by the second port
// after a way that nobody serves.
func TestMainJobByOtherWays(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"wss": {[]string{"--endpoint", "wss://" + net.JoinHostPort(cloudAddr, cloudPort)}, `"msg":"connected","half":"collector","task":"uplink","kind":"wss"`},
		"second port": {[]string{"--mqtt-listen", net.JoinHostPort(cloudAddr, "8883"), "--endpoint", "mqtts://" + net.JoinHostPort(cloudAddr, "8444") + "?alpn=mqtt",
			"--endpoint", "mqtts://" + net.JoinHostPort(cloudAddr, "8883")}, `"kind":"mqtt","endpoint":"192.0.2.1:8883"`},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, s := running(t, Config{Behind: 6, CloudArgs: c.args})
			collect(ctx, t, s)
			checkStored(ctx, t, s)
			log, err := os.ReadFile(s.Log("lwcd"))
			must(t, err)
			if !strings.Contains(string(log), c.says) {
				t.Errorf("lwcd did not say %s", c.says)
			}
		})
	}
}
