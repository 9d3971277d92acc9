package control

import (
	"bytes"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/cloud/broker"
	"lwc/cloud/pki"
	"lwc/testdata/need"
	"lwc/transport/wire"
)

// dialMosquitto runs mosquitto with the shipped configuration and certificates
// of the cloud's own CA.
func dialMosquitto(t testing.TB, p *pki.PKI, dir string) (broker.Bus, string) {
	t.Helper()
	program := need.Program(t, "mosquitto")
	server, _, err := p.IssueBroker([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	conf := strings.NewReplacer("/etc/mosquitto/lwc", dir,
		"listener 8883", "listener "+addr[strings.LastIndex(addr, ":")+1:]+" 127.0.0.1").Replace(shipped(t, "mosquitto.conf"))
	if os.Geteuid() == 0 {
		conf = "user root\n" + conf // the files are of the one who runs the test
	}
	for name, b := range map[string][]byte{"ca.pem": p.CAPEM(), "broker.pem": server.Certificate, "broker.key": server.Key,
		"mosquitto.acl": []byte(shipped(t, "mosquitto.acl")), "mosquitto.conf": []byte(conf)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, exec.Command(program, "-c", filepath.Join(dir, "mosquitto.conf")))
	return dial(t, p, addr), addr
}

func shipped(t testing.TB, name string) string {
	t.Helper()
	b, err := fs.ReadFile(broker.Deploy(), name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func run(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	var out bytes.Buffer
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		cmd.Wait() //nolint:errcheck // it was killed
		if t.Failed() {
			t.Logf("mosquitto said:\n%s", &out)
		}
	})
}

func dial(t testing.TB, p *pki.PKI, addr string) broker.Bus {
	t.Helper()
	cert, err := p.ClientCertificate()
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "mosquitto listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	x, err := broker.DialExternal(t.Context(), broker.ExternalConfig{URL: "mqtts://" + addr, ClientID: "lwc-cloud",
		TLS: clientTLS(p, *cert)})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// The same way through a broker that is trusted for nothing: documents are
// sealed.
func TestRunThroughMosquitto(t *testing.T) {
	c := startCloud(t, setup{foreign: true, seal: true})
	b := c.enrol(t, alpha)
	c.fleet(t, alpha, "edge-1", "edge-2")
	b.connect()
	w := b.hello()
	if len(w.IngestKey) == 0 {
		t.Fatal("no ingest key")
	}
	b.sealTo = w.IngestKey
	checkSealed(t, b, b.desired())
	b.applied()
	c.collect(t, alpha, time.Hour)
	j := b.job()
	b.status(j, wire.JobAccepted, nil)
	collectAll(t, c, b, j)
	b.plain(wire.KindBye, wire.Bye{V: wire.Version, Collector: alpha, Boot: b.boot, Conn: b.conn, Clean: true})
	eventually(t, "offline", func() bool { return !c.hub.Online(alpha) })
}
