package junostest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"lwc/junos"
)

// TestCatalogueOverSSH asks every device everything, the last ones through
// bastions, and holds the log of what was sent against what arrived.
func TestCatalogueOverSSH(t *testing.T) {
	var log bytes.Buffer
	f := startFleet(t, Config{Devices: 12, Bastions: 2, Behind: 6, Log: &log})
	for _, d := range f.Devices() {
		s := openSession(t, f, d)
		if s.Base11() != d.plat.rfc {
			t.Errorf("%s: base:1.1 is %v", d.Name, s.Base11())
		}
		for _, item := range junos.Catalogue() {
			doc, res := call(t, s, item)
			checkOutcome(t, d, item, res)
			sum := sha256.Sum256(doc)
			if got := sentOf(f, d.Name, item.Name); !slices.Equal(got, []string{hex.EncodeToString(sum[:])}) || res.SHA256 != got[0] {
				t.Errorf("%s %s: sent %v, read %x, result %s", d.Name, item.Name, got, sum, res.SHA256)
			}
		}
		if err := s.Close(); err != nil {
			t.Errorf("%s: closing: %v", d.Name, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	checkLog(t, &log, f.Sent())
}

func checkOutcome(t *testing.T, d *Device, item junos.Item, res junos.Result) {
	t.Helper()
	want := junos.OK
	c, _, _ := d.byCLI(item.CLI)
	switch d.lacking(c) {
	case saysNone:
		want = junos.Empty
	case notValid, syntax, notEnabled, notRunning:
		want = junos.Unsupported
	case saysText: // a sentence may count as the answer that it is
		if res.Outcome == junos.Unsupported {
			want = junos.Unsupported
		}
	}
	if res.Outcome != want {
		t.Errorf("%s %s: outcome %s, want %s: %+v", d.Name, item.Name, res.Outcome, want, res.Errors)
	}
}

func checkLog(t *testing.T, log io.Reader, sent []SentDocument) {
	t.Helper()
	dec := json.NewDecoder(log)
	for i, want := range sent {
		var got SentDocument
		if err := dec.Decode(&got); err != nil || got != want {
			t.Fatalf("line %d is %+v, want %+v: %v", i, got, want, err)
		}
	}
	if err := dec.Decode(new(SentDocument)); !errors.Is(err, io.EOF) {
		t.Errorf("the log goes on: %v", err)
	}
}

// TestLateOldAndOddClients talks by hand, as clients do that the product's is not.
func TestLateOldAndOddClients(t *testing.T) {
	f := startFleet(t, Config{Devices: 1, Models: []Model{ACX}})
	ch, err := netconf(t, logIn(t, f, f.Devices()[0]))
	if err != nil {
		t.Fatal(err)
	}
	readTo(t, ch, eom)
	say := func(s string) {
		if _, err := io.WriteString(ch, s); err != nil {
			t.Fatal(err)
		}
	}
	say(`<rpc message-id="early"><get-alarm-information/></rpc>]]>]]>`)
	if doc := readTo(t, ch, eom); !strings.Contains(doc, `message-id="early"`) {
		t.Errorf("a request before the hello: %.300s", doc)
	}
	say(`<hello><capabilities><capability>urn:ietf:params:netconf:base:1.0</capability></capabilities></hello>]]>]]>`)
	for _, part := range []string{"\n<rpc message-id", `="split">`, "<get-alarm-information/></rpc>]]", ">]]>"} {
		say(part)
	}
	if doc := readTo(t, ch, eom); !strings.Contains(doc, `message-id="split"`) {
		t.Errorf("a split request: %.300s", doc)
	}
	say("<rpc><get-alarm-information></rpc>]]>]]>")
	if doc := readTo(t, ch, eom); !strings.Contains(doc, "XML syntax error") {
		t.Errorf("a broken request: %.300s", doc)
	}
	if rest, err := io.ReadAll(ch); err != nil || strings.TrimSpace(string(rest)) != "" {
		t.Errorf("after a broken request: %q, %v", rest, err)
	}
}

func TestLogIns(t *testing.T) {
	f := startFleet(t, Config{Devices: 2, Bastions: 1})
	key, err := ssh.ParsePrivateKey([]byte(f.clientPEM))
	if err != nil {
		t.Fatal(err)
	}
	other, err := hostSigner(99, "other", false)
	if err != nil {
		t.Fatal(err)
	}
	answer := func(text string) ssh.AuthMethod {
		return ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
			if len(questions) != 1 || echos[0] {
				return nil, errors.New("want one question without echo")
			}
			return []string{text}, nil
		})
	}
	d, b := f.Devices()[0], f.Bastions()[0]
	for _, to := range []struct{ addr, password, hostKey string }{{d.Addr.String(), d.Password, d.HostKey}, {b.Addr.String(), b.Password, b.HostKey}} {
		for name, tt := range map[string]struct {
			method ssh.AuthMethod
			good   bool
		}{
			"password":                   {ssh.Password(to.password), true},
			"keyboard-interactive":       {answer(to.password), true},
			"publickey":                  {ssh.PublicKeys(key), true},
			"wrong password":             {ssh.Password(to.password + "x"), false},
			"wrong keyboard-interactive": {answer(""), false},
			"wrong publickey":            {ssh.PublicKeys(other), false},
		} {
			cfg := clientConfig(t, "lwc", "", to.hostKey)
			cfg.Auth = []ssh.AuthMethod{tt.method}
			c, err := dialAddr(to.addr, cfg)
			if (err == nil) != tt.good {
				t.Errorf("%s at %s: %v", name, to.addr, err)
			}
			if err == nil {
				c.Close()
			}
			cfg.User = "root"
			if _, err := dialAddr(to.addr, cfg); err == nil {
				t.Errorf("%s lets root in", name)
			}
		}
	}
}

func TestOnlyTheConfiguredLogIn(t *testing.T) {
	f := startFleet(t, Config{Devices: 1, Auth: []string{"keyboard-interactive"}})
	d := f.Devices()[0]
	if _, err := dialAddr(d.Addr.String(), clientConfig(t, d.User, d.Password, d.HostKey)); err == nil {
		t.Error("password is taken though only keyboard-interactive is on")
	}
}

func TestBastionForwardsToTheFleetOnly(t *testing.T) {
	outside, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	f := startFleet(t, Config{Devices: 3, Bastions: 2, Behind: 2, Faults: map[string]Fault{"srx-0003": Unreachable}})
	c := logInBastion(t, f, "bastion-1")
	reason := func(addr string) ssh.RejectionReason {
		conn, err := c.Dial("tcp", addr)
		var refused *ssh.OpenChannelError
		if err == nil {
			conn.Close()
		} else if !errors.As(err, &refused) {
			t.Fatalf("%s: %v", addr, err)
		} else {
			return refused.Reason
		}
		return 0
	}
	for addr, want := range map[string]ssh.RejectionReason{
		outside.Addr().String():                         ssh.Prohibited,
		"example.net:22":                                ssh.Prohibited,
		f.Device("srx-0003").Addr.String():              ssh.ConnectionFailed,
		f.Device("mx-0001").Addr.String():               0, // not behind it, and yet of the fleet
		f.Device("ex-0002").Addr.String():               0,
		f.Device("ex-0002").HostName + ":830":           0,
		f.Bastions()[1].Addr.String():                   0,
		f.Device("ex-0002").Addr.Addr().String() + ":1": ssh.Prohibited,
	} {
		if got := reason(addr); got != want {
			t.Errorf("%s: reason %v, want %v", addr, got, want)
		}
	}
	if _, err := c.NewSession(); err == nil {
		t.Error("the bastion gives a session")
	}
	if conn, err := net.DialTimeout("tcp", f.Device("ex-0002").Addr.String(), time.Second); err == nil {
		conn.Close()
		t.Error("a device behind a bastion is reached directly")
	}
}

// TestChain goes through two bastions.
func TestChain(t *testing.T) {
	f := startFleet(t, Config{Devices: 1, Bastions: 2, Behind: 1})
	first, b, d := logInBastion(t, f, "bastion-2"), f.Bastions()[0], f.Devices()[0]
	conn, err := first.Dial("tcp", b.Addr.String())
	if err != nil {
		t.Fatal(err)
	}
	second, err := dial(noDeadline{conn}, clientConfig(t, b.User, b.Password, b.HostKey))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if conn, err = second.Dial("tcp", d.Addr.String()); err != nil {
		t.Fatal(err)
	}
	third, err := dial(noDeadline{conn}, clientConfig(t, d.User, d.Password, d.HostKey))
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	ch, err := netconf(t, third)
	if err != nil {
		t.Fatal(err)
	}
	readTo(t, ch, eom)
}

func TestReplacements(t *testing.T) {
	dir := t.TempDir()
	for path, text := range map[string]string{
		"show-version.xml":                "<software-information><host-name>all</host-name></software-information>\n",
		"mx-dual-re/show-version.xml":     "<?xml version=\"1.0\"?>\n<rpc-reply a='1' message-id='old'>\n<software-information/> <unclosed>",
		"acx-0006/show-system-alarms.xml": "<rpc-reply/>",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f := newFleet(t, Config{Devices: 6, Replies: dir})
	for device, want := range map[string]string{
		"mx-0001": "<rpc-reply a=\"1\" message-id=\"7\">\n<software-information/> <unclosed>",
		"ex-0002": "<host-name>all</host-name></software-information>\n</rpc-reply>\n",
	} {
		if doc := ask(t, f.Device(device), "<get-software-information/>"); !strings.HasSuffix(doc, want) {
			t.Errorf("%s: %q, want %q", device, doc, want)
		}
	}
	if doc := ask(t, f.Device("acx-0006"), "<get-system-alarm-information/>"); doc != `<rpc-reply message-id="7"></rpc-reply>` {
		t.Errorf("an empty element became %q", doc)
	}
	if doc := ask(t, f.Device("mx-0001"), "<get-alarm-information/>"); !strings.Contains(doc, "alarm-summary") {
		t.Errorf("without a file: %q", doc)
	}
	if _, err := NewFleet(Config{Replies: filepath.Join(dir, "none")}); err == nil {
		t.Error("a folder that is not there is taken")
	}
}

// TestManyAtOnce has every device answer at the same time over one bastion.
func TestManyAtOnce(t *testing.T) {
	f := startFleet(t, Config{Devices: 24, Bastions: 1, Behind: 24})
	var wg sync.WaitGroup
	sessions := make([]*junos.Session, 24)
	for i, d := range f.Devices() {
		sessions[i] = openSession(t, f, d)
	}
	item, _ := junos.Lookup("show-interfaces-terse")
	for i, s := range sessions {
		wg.Go(func() {
			r, err := s.Call(t.Context(), item)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			if err != nil {
				t.Errorf("device %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if n := len(f.Sent()); n != 24 {
		t.Errorf("%d documents were sent", n)
	}
}

func TestBadConfigurations(t *testing.T) {
	for want, c := range map[string]Config{
		"from 0 to 65000":         {Devices: 70000},
		"-1 devices":              {Devices: -1},
		"there are 2 devices":     {Devices: 2, Behind: 3, Bastions: 1},
		"there is no bastion":     {Devices: 2, Behind: 1},
		"model \"vax\"":           {Devices: 1, Models: []Model{"vax"}},
		"fault \"tired\"":         {Devices: 1, Faults: map[string]Fault{"mx-0001": "tired"}},
		"no such device":          {Devices: 1, Faults: map[string]Fault{"mx-0002": Stall}},
		"log-in method \"smile\"": {Devices: 1, Auth: []string{"smile"}},
		"not so many":             {Devices: 100, BasePort: 65500},
		"too few addresses":       {Devices: 100, Bind: prefix("192.0.2.0/28")},
	} {
		if _, err := NewFleet(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c, err, want)
		}
	}
}

// TestForwardsEnd opens more forwards on one connection, one after the other,
// than a bastion lets be open at once.
func TestForwardsEnd(t *testing.T) {
	f := startFleet(t, Config{Devices: 1, Bastions: 1, Behind: 1})
	c, addr := logInBastion(t, f, "bastion-1"), f.Devices()[0].Addr.String()
	for i := range maxForwards + 50 {
		conn, err := c.Dial("tcp", addr)
		if err != nil {
			t.Fatalf("forward %d: %v", i, err)
		}
		readTo(t, conn, "\n")
		if err := conn.Close(); err != nil {
			t.Fatalf("forward %d: %v", i, err)
		}
	}
}
