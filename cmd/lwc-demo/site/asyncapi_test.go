package site

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"lwc/cloud/pki"
	"lwc/testdata/need"
	"lwc/transport/wire"
)

// contract is docs/asyncapi.yaml, with no field allowed that it does not name.
type contract struct {
	page  map[string]any
	rules *jsonschema.Compiler
	key   wire.BootKey // opens what is sealed to the cloud
	parts map[string]*wire.Assembler
}

func openContract(t *testing.T, key wire.BootKey) *contract {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "asyncapi.yaml"))
	must(t, err)
	text, err := yaml.YAMLToJSON(raw)
	must(t, err)
	page, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	must(t, err)
	c := &contract{page: page.(map[string]any), rules: jsonschema.NewCompiler(), key: key, parts: map[string]*wire.Assembler{}}
	for _, schema := range c.at("components", "schemas") {
		if s := schema.(map[string]any); s["properties"] != nil {
			s["additionalProperties"] = false
		}
	}
	c.rules.AssertFormat()
	c.rules.AssertContent()
	must(t, c.rules.AddResource("asyncapi.json", page))
	return c
}

func (c *contract) at(path ...string) map[string]any {
	m := c.page
	for _, p := range path {
		m = m[p].(map[string]any)
	}
	return m
}

// check returns the message's name and what is wrong with it.
func (c *contract) check(topic string, payload []byte) (name string, err error) {
	levels := strings.Split(topic, "/")
	if len(levels) != 5 {
		return "", fmt.Errorf("%s: not a topic of the document", topic)
	}
	levels[2] = "{collector}"
	for _, channel := range c.at("channels") {
		ch := channel.(map[string]any)
		if ch["address"] != strings.Join(levels, "/") {
			continue
		}
		for name := range ch["messages"].(map[string]any) {
			if err := c.checkMessage(name, payload); err != nil {
				return name, fmt.Errorf("%s: %w", name, err)
			}
			return name, nil
		}
	}
	return "", fmt.Errorf("%s: no channel of the document", topic)
}

func (c *contract) checkMessage(name string, payload []byte) error {
	m := c.at("components", "messages", name)
	at := "#/components/messages/" + name
	content, _ := m["x-lwc-content"].(string)
	switch m["x-lwc-form"] {
	case "plain":
		return c.fits(at+"/payload", payload)
	case "signed":
		var e wire.Envelope
		if err := errors.Join(c.fits(at+"/payload", payload), json.Unmarshal(payload, &e)); err != nil {
			return err
		}
		return c.fits(content, e.Payload)
	}
	h, body, err := wire.ParseFrame(payload)
	if err != nil {
		return err
	}
	length := int(payload[4])<<24 | int(payload[5])<<16 | int(payload[6])<<8 | int(payload[7])
	if err := c.fits(at+"/headers", payload[8:8+length]); err != nil {
		return err
	}
	if content == "" {
		return nil
	}
	whole, err := c.assembler(name).Add(time.Now(), h, body)
	if err != nil || whole == nil {
		return err
	}
	return c.fits(content, whole.Plain)
}

// assembler joins the parts of one sort of message.
func (c *contract) assembler(name string) *wire.Assembler {
	if c.parts[name] == nil {
		c.parts[name] = &wire.Assembler{MaxSize: 64 << 20, Key: c.key}
	}
	return c.parts[name]
}

func (c *contract) plain(h wire.Header, body []byte) ([]byte, error) {
	body, err := wire.OpenBody(h, body, c.key)
	if err != nil {
		return nil, err
	}
	r, err := wire.Inflater(h.Enc, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, 64<<20))
}

// fits validates JSON against a schema of the document.
func (c *contract) fits(pointer string, text []byte) error {
	schema, err := c.rules.Compile("asyncapi.json" + pointer)
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(v)
}

// message is one that the broker carried.
type message struct {
	topic   string
	payload []byte
}

// tap listens to all that a mosquitto carries, as a client that only this test has.
type tap struct {
	mu  sync.Mutex // guards all
	all []message
}

func (p *tap) messages() []message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

const tapName = "tap-00000001"

func tapped(ctx context.Context, t *testing.T, s *Site, keys *pki.PKI) *tap {
	t.Helper()
	acl := s.path("broker", "mosquitto.acl")
	text, err := os.ReadFile(acl)
	must(t, err)
	must(t, os.WriteFile(acl, append(text, "\nuser "+tapName+"\ntopic read lwc/v1/#\n"...), 0o600))
	must(t, s.mosquitto.cmd.Process.Signal(syscall.SIGHUP)) // it reads the list anew
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	cert, err := keys.IssueCollector(tapName, key.Public())
	must(t, err)
	conf := &tls.Config{RootCAs: keys.CAPool(), ServerName: cloudAddr,
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw, keys.CA().Raw}, PrivateKey: key}}}
	p := &tap{}
	o := mqtt.NewClientOptions().AddBroker("tcp://tap").SetClientID(tapName).SetProtocolVersion(4).SetAutoReconnect(false).SetOrderMatters(true)
	o.SetCustomOpenConnectionFn(func(*url.URL, mqtt.ClientOptions) (net.Conn, error) {
		raw, err := s.cnet.dial(ctx, net.JoinHostPort(s.cfg.cloudAt(), brokerPort))
		if err != nil {
			return nil, err
		}
		return tls.Client(raw, conf), nil
	})
	client := mqtt.NewClient(o)
	if tok := client.Connect(); !tok.WaitTimeout(20*time.Second) || tok.Error() != nil {
		t.Fatalf("connecting the tap: %v", tok.Error())
	}
	t.Cleanup(func() { client.Disconnect(100) })
	tok := client.Subscribe("lwc/v1/#", 1, func(_ mqtt.Client, m mqtt.Message) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.all = append(p.all, message{m.Topic(), m.Payload()})
	})
	if !tok.WaitTimeout(20*time.Second) || tok.Error() != nil {
		t.Fatalf("subscribing the tap: %v", tok.Error())
	}
	return p
}

// collectHeld gives the site a configuration of several parts, in which an item waits
// for an approval, collects, and approves.
func collectHeld(ctx context.Context, t *testing.T, s *Site) {
	t.Helper()
	path, err := s.FleetFile()
	must(t, err)
	file, err := os.ReadFile(path)
	must(t, err)
	var more strings.Builder
	more.WriteString("credentials:\n")
	for i := range 150 { // sealed, each takes more than 1 KiB which nothing makes smaller
		fmt.Fprintf(&more, "  - {id: spare-%d, kind: password, username: spare, password: %q}\n", i, rand.Text())
	}
	text := strings.Replace(string(file), "credentials:\n", more.String(), 1)
	must(t, os.WriteFile(path, []byte(text+"\negress: {mode: hold, hold: [show-version], wait: 1m}\n"), 0o600))
	_, err = s.Cloud(ctx, "apply", "-f", path)
	must(t, err)
	must(t, s.WaitApplied(ctx))
	_, err = s.Cloud(ctx, "collect", "--collector", Collector)
	must(t, err)
	must(t, s.lwcd.waitFor(ctx, "the run to be complete", func() bool {
		var list []struct{ State string }
		asJSON(ctx, t, s, &list, "held", "list", "--json")
		if slices.ContainsFunc(list, func(h struct{ State string }) bool { return h.State == "waiting" }) {
			_, err := s.Cloud(ctx, "held", "approve", "--all")
			must(t, err)
		}
		all := runs(ctx, t, s)
		return len(all) > 0 && all[0].State == "complete"
	}))
}

// Every message of a run, both ways, is as docs/asyncapi.yaml says: no field is
// missing and none is there that it does not name.
func TestTrafficFitsAsyncAPI(t *testing.T) {
	ctx, s := running(t, Config{Behind: 6, Faulty: true, Mosquitto: need.Program(t, "mosquitto")})
	keys, err := pki.Open(filepath.Join(s.CloudData(), "pki"))
	must(t, err)
	c, p := openContract(t, keys.IngestKey()), tapped(ctx, t, s, keys)
	s.KillCollector() // its will is part of it
	must(t, s.StartCollector(ctx))
	must(t, s.WaitApplied(ctx))
	collectHeld(ctx, t, s)
	good, _, err := s.Expected()
	must(t, err)
	_, err = s.Cloud(ctx, "probe", good[0], "--collector", Collector, "--wait")
	must(t, err)
	seen, parts := map[string]int{}, map[string]int{}
	for _, m := range p.messages() {
		name, err := c.check(m.topic, m.payload)
		if seen[name]++; err != nil {
			t.Errorf("%s: %v", m.topic, err)
		}
		if h, _, err := wire.ParseFrame(m.payload); err == nil {
			parts[name] = max(parts[name], h.Parts)
		}
	}
	t.Logf("%d messages: %v, of so many parts: %v", len(p.messages()), seen, parts)
	for name := range c.at("components", "messages") {
		if seen[name] == 0 {
			t.Errorf("no %s was seen", name)
		}
	}
	if parts["desired"] < 2 {
		t.Error("the configuration went in one part")
	}
	checkContractCanFail(t, c, p.messages())
}

// checkContractCanFail changes messages: each field of a plain one away, and one
// more in each.
func checkContractCanFail(t *testing.T, c *contract, all []message) {
	t.Helper()
	for _, m := range all {
		if !strings.HasSuffix(m.topic, "/up/health") {
			continue
		}
		var fields map[string]json.RawMessage
		must(t, json.Unmarshal(m.payload, &fields))
		for _, name := range []string{"v", "collector", "boot", "time", "uptime", "config"} {
			kept := fields[name]
			delete(fields, name)
			text, err := json.Marshal(fields)
			must(t, err)
			if _, err := c.check(m.topic, text); kept == nil || err == nil {
				t.Errorf("a heartbeat without %s passes", name)
			}
			fields[name] = kept
		}
		fields["surprise"] = json.RawMessage("1")
		text, err := json.Marshal(fields)
		must(t, err)
		if _, err := c.check(m.topic, text); err == nil {
			t.Error("a heartbeat with a field that nobody knows passes")
		}
		return
	}
	t.Error("no heartbeat to try")
}
