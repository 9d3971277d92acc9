package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/junos"
	"lwc/netguard"
	"lwc/transport/device"
	"lwc/transport/proxy"
)

func TestConfigDefaults(t *testing.T) {
	c, err := parseConfig("lwcd.toml", "[guard]\nmode = \"unprotected\"\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.stateDir != "/var/lib/lwcd" || c.tokenFile != "/etc/lwcd/enrol.token" || c.budget != 64<<20 ||
		c.ports.Mode != netguard.Unprotected || c.level != slog.LevelInfo {
		t.Errorf("%+v", c)
	}
}

const twoPorts = `[internal]
interface = "lwcint0"
addresses = ["10.1.0.2/24"]
[external]
mac = "02:00:00:00:00:01"
addresses = ["192.0.2.2/24"]
gateway = "192.0.2.1"
dns = ["192.0.2.53", "192.0.2.54:5353"]
`

func TestConfigPorts(t *testing.T) {
	c, err := parseConfig("lwcd.toml", "state_dir = \"/state/\"\ncollector_id = \"site-0001\"\n"+strings.Replace(twoPorts,
		"[external]", "routes = [\"10.0.0.0/8 via 10.1.0.1\"]\n[external]", 1)+"[collect]\nmemory_mib = 7\n[log]\nlevel = \"debug\"\n")
	if err != nil {
		t.Fatal(err)
	}
	if c.ports.Mode != netguard.Enforce || c.stateDir != "/state" || c.collectorID != "site-0001" || c.budget != 7<<20 || c.level != slog.LevelDebug {
		t.Errorf("%+v", c)
	}
	if r := c.ports.Internal.Routes; len(r) != 1 || r[0].String() != "10.0.0.0/8 via 10.1.0.1" {
		t.Errorf("routes %v", r)
	}
	if d := c.ports.External.DNS; len(d) != 2 || d[0].String() != "192.0.2.53:53" || d[1].Port() != 5353 {
		t.Errorf("dns %v", d)
	}
}

// What leaves beside the cloud, what may be dialled on either side, and who the
// collector half is.
func TestConfigOutside(t *testing.T) {
	c, err := parseConfig("lwcd.toml", `[guard]
user = "nobody"
console = "/dev/tty1"
[internal]
interface = "lwcint0"
vlan = 20
addresses = ["10.1.0.2/24"]
ports = ["22", "2200-2299"]
[external]
interface = "lwcext0"
dhcp = true
allow = ["cloud.example:443", "[2001:db8::1]:8883"]
ntp = ["192.0.2.123", "time.example:1123"]
proxy = "http://proxy.example:3128/"
proxy_user = "site"
proxy_password_file = "/etc/lwcd/proxy.password"
`)
	if err != nil {
		t.Fatal(err)
	}
	if c.user != "nobody" || !c.userGiven || c.console != "/dev/tty1" || c.ports.Internal.VLAN != 20 || !c.ports.External.DHCP {
		t.Errorf("%+v", c)
	}
	if want := []netguard.PortRange{{First: 22, Last: 22}, {First: 2200, Last: 2299}}; !slices.Equal(c.ports.DevicePorts, want) {
		t.Errorf("device ports %v", c.ports.DevicePorts)
	}
	allow := []netguard.Endpoint{{Network: "tcp", Host: "cloud.example", Port: 443}, {Network: "tcp", Host: "2001:db8::1", Port: 8883}}
	if !slices.Equal(c.ports.Allow, allow) {
		t.Errorf("allow %v", c.ports.Allow)
	}
	ntp := []netguard.Endpoint{{Network: "udp", Host: "192.0.2.123", Port: 123}, {Network: "udp", Host: "time.example", Port: 1123}}
	if !slices.Equal(c.outside.ntp, ntp) {
		t.Errorf("ntp %v", c.outside.ntp)
	}
	if want := (way{proxy: proxy.URL{Host: "proxy.example", Port: 3128}, user: "site", passwordFile: "/etc/lwcd/proxy.password"}); c.outside.way != want {
		t.Errorf("proxy %+v", c.outside.way)
	}
}

func TestProxyPassword(t *testing.T) {
	path := filepath.Join(t.TempDir(), "password")
	for text, want := range map[string]string{"secret\r\n": "secret", "two words": "two words", "a\nb\n": "more than one line", strings.Repeat("x", 2<<10): "at most"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := way{passwordFile: path}.password()
		if said := string(got.Reveal()); said != want && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.20q: %q, %v", text, said, err)
		}
	}
	if _, err := (way{passwordFile: path + ".missing"}).password(); !os.IsNotExist(errors.Unwrap(err)) {
		t.Errorf("missing: %v", err)
	}
}

func TestProxyAuthorities(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (way{caFile: path}).authorities(); err == nil || !strings.Contains(err.Error(), "no certificate in PEM form") {
		t.Errorf("a file of something else: %v", err)
	}
	if conf := proxyTLS(nil); conf != nil {
		t.Error("without authorities of its own the system's are the default of who dials")
	}
}

// Each phase has its own time-out; what is not set has the default of who waits.
func TestConfigTimeouts(t *testing.T) {
	const open = "[guard]\nmode = \"unprotected\"\n"
	c, err := parseConfig("lwcd.toml", open)
	if err != nil || c.patience != (patience{}) {
		t.Errorf("unset: %+v, %v", c.patience, err)
	}
	c, err = parseConfig("lwcd.toml", open+`[timeouts]
connect = "1s"
key_exchange = "2s"
auth = "1m30s"
channel = "4s"
hello = "2m"
stall = "6s"
device = "24h"
`)
	want := patience{dial: device.Timeouts{Connect: time.Second, KeyExchange: 2 * time.Second, Auth: 90 * time.Second, Channel: 4 * time.Second},
		session: junos.Options{HelloTimeout: 2 * time.Minute, StallTimeout: 6 * time.Second}, device: 24 * time.Hour}
	if err != nil || c.patience != want {
		t.Errorf("%+v, %v", c.patience, err)
	}
}

// Each bad line gives one error with file, line and key, and says what to do.
func TestConfigErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"state_dir = \"x\n", `f:1: state_dir: strings cannot contain newlines: correct this line`},
		{"\n\n= 3", `f:3: `},
		{"state_dir = 3", `f:1: state_dir: the value is of the wrong type: write a text in quotes`},
		{"[internal]\naddresses = \"a\"", `f:2: internal.addresses: the value is of the wrong type: write a list of texts`},
		{"[internal]\nmtu = \"a\"", `f:2: internal.mtu: the value is of the wrong type: write a number`},
		{"[guard]\ndedicated = 1", `f:2: guard.dedicated: the value is of the wrong type: write true or false`},
		{"guard = 1", `f:1: guard: the value is of the wrong type: write a table`},
		{"state_dir = \"/a\"\nstate_dir = \"/b\"", `f:2: state_dir: Key 'state_dir' has already been defined: correct this line`},
		{"sate_dir = \"/a\"", `f:1: sate_dir: is not a key of this configuration`},
		{"[internal]\n# adress = 1\n adress = 1", `f:3: internal.adress: is not a key`},
		{"[guards]\nmode = \"enforce\"\nmore = 1", `f:1: guards: is not a key`},
		{"state_dir = \"a\"", `f:1: state_dir: "a" is not an absolute path: begin it with /`},
		{"enrolment_token_file = \"a\"", `f:1: enrolment_token_file: "a" is not an absolute path`},
		{"collector_id = \"lwc/+/#\"", `f:1: collector_id: "lwc/+/#": a collector id has 8 to 63 characters`},
		{"[guard]\nmode = \"off\"", `f:2: guard.mode: "off" is not a mode: use enforce, userns or unprotected`},
		{"[internal]\naddresses = [\"10.1.0.2\"]", `f:2: internal.addresses: "10.1.0.2" is not an address with its prefix length: write it as 10.1.0.2/24`},
		{"[internal]\ngateway = \"gw\"", `f:2: internal.gateway: "gw" is not an IP address`},
		{"[internal]\nroutes = [\"10.0.0.0\"]", `f:2: internal.routes: "10.0.0.0" is not a route: write it as "10.0.0.0/8 via 10.1.0.1"`},
		{"[external]\ndns = [\n \"ns1\"\n]", `f:2: external.dns: "ns1" is not the address of a name server`},
		{"[collect]\nmemory_mib = 99999999", `f:2: collect.memory_mib: 99999999 is not between 1 and 16384`},
		{"[timeouts]\nauth = 30", `f:2: timeouts.auth: the value is of the wrong type: write a text in quotes`},
		{"[timeouts]\nauth = \"30\"", `f:2: timeouts.auth: "30" is not a duration: write it as 10s or 2m30s`},
		{"[timeouts]\nkey_exchange = \"0s\"", `f:2: timeouts.key_exchange: 0s is not between 1s and 2m0s`},
		{"[timeouts]\nhello = \"-3s\"", `f:2: timeouts.hello: -3s is not between 1s and 2m0s`},
		{"[timeouts]\nchannel = \"2m1s\"", `f:2: timeouts.channel: 2m1s is not between 1s and 2m0s`},
		{"[timeouts]\nstall = \"4s\"", `f:2: timeouts.stall: 4s is not between 5s and 30m0s`},
		{"[timeouts]\ndevice = \"25h\"", `f:2: timeouts.device: 25h0m0s is not between 1m0s and 24h0m0s`},
		{"[timeouts]\nstall = \"5m\"\ndevice = \"2m\"", `f:3: timeouts.device: 2m0s for a whole device is shorter than the 5m0s that one answer may take`},
		{"[timeouts]\nstall = \"20m\"", `timeouts.device: 15m0s for a whole device is shorter than the 20m0s`},
		{"[timeouts]\nconect = \"1s\"", `f:2: timeouts.conect: is not a key of this configuration`},
		{"[internal]\nvlan = 4095", `f:2: internal.vlan: 4095 is not a VLAN: use a number from 1 to 4094`},
		{"[external]\nvlan = -1", `f:2: external.vlan: -1 is not a VLAN`},
		{"[internal]\ndhcp = \"yes\"", `f:2: internal.dhcp: the value is of the wrong type: write true or false`},
		{"[internal]\nports = [\"22\", \"ssh\"]", `f:2: internal.ports: "ssh" is not a TCP port or a range of them: write "830" or "2200-2299"`},
		{"[internal]\nports = [\"0\"]", `f:2: internal.ports: "0" is not a TCP port`},
		{"[internal]\nports = [\"30-20\"]", `f:2: internal.ports: "30-20" is not a TCP port`},
		{"[external]\nports = [\"22\"]", `f:2: external.ports: is not a key`},
		{"[internal]\nallow = [\"a:1\"]", `f:2: internal.allow: is not a key`},
		{"[external]\nallow = [\"cloud.example\"]", `f:2: external.allow: "cloud.example" is not a destination: write it as cloud.example:443`},
		{"[external]\nallow = [\"https://cloud.example:443\"]", `f:2: external.allow: `},
		{"[external]\nntp = [\"time server\"]", `f:2: external.ntp: "time server" is not a time server`},
		{"[external]\nproxy = \"proxy.example:3128\"", `write it as http://proxy.example:3128`},
		{"[external]\nproxy = \"socks5://proxy.example:3128\"", `f:2: external.proxy: `},
		{"[external]\nproxy = \"http://u:p@proxy.example:3128\"", `and the log-in as proxy_user and proxy_password_file`},
		{"[external]\nproxy_ca_file = \"/c\"", `external.proxy_ca_file: there is no external.proxy`},
		{"[external]\nproxy = \"http://p.example:1\"\nproxy_ca_file = \"/c\"", `external.proxy_ca_file: the proxy is reached without TLS`},
		{"[external]\nproxy_user = \"u\"", `f:2: external.proxy_user: there is no external.proxy`},
		{"[external]\nproxy = \"http://p.example:1\"\nproxy_password_file = \"/p\"", `f:3: external.proxy_password_file: there is no external.proxy_user`},
		{"[external]\nproxy = \"http://p.example:1\"\nproxy_user = \"u\"\nproxy_password_file = \"p\"", `f:4: external.proxy_password_file: "p" is not an absolute path`},
		{"[guard]\nconsole = \"console\"", `f:2: guard.console: "console" is not an absolute path`},
		{"[log]\nlevel = \"loud\"", `f:2: log.level: "loud" is not a level: use debug, info, warn or error`},
		{strings.Replace(twoPorts, "192.0.2.1\"", "198.51.100.1\"", 1), `f:7: external.gateway: `},
		{strings.Replace(twoPorts, "10.1.0.2/24", "192.0.2.3/24", 1), `need separate subnets`},
		{strings.Replace(twoPorts, "interface = \"lwcint0\"\n", "", 1), `internal.interface: `},
		{"", `internal.interface: `},
	} {
		_, err := parseConfig("f", c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestConfigErrorsAreAllToldInOrder(t *testing.T) {
	_, err := parseConfig("f", "state_dir = \"a\"\nx = 1\n[guard]\nmode = \"off\"\n[guards]\nmode = 1\n")
	want := []string{"f:1: state_dir", "f:2: x", "f:4: guard.mode", "f:5: guards"}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%v", err)
	}
	for i, w := range want {
		if !strings.HasPrefix(lines[i], w) {
			t.Errorf("line %d is %q, want %q", i+1, lines[i], w)
		}
	}
}

// The example that is shipped is good.
func TestExampleConfig(t *testing.T) {
	if _, err := loadConfig("../../docs/examples/lwcd.toml"); err != nil {
		t.Error(err)
	}
}

func TestCommandLine(t *testing.T) {
	good := filepath.Join(t.TempDir(), "lwcd.toml")
	if err := os.WriteFile(good, []byte(twoPorts), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{[]string{"--help"}, 0, "exit codes:", ""},
		{[]string{"--version"}, 0, "lwcd ", ""},
		{[]string{"check", "--config", good}, 0, "internal port    lwcint0 10.1.0.2/24", ""},
		{[]string{"check", "--config", good + ".missing"}, 2, "", "no such file"},
		{[]string{"check", "--config", os.DevNull}, 2, "", "is not a file"},
		{[]string{"--confg", good}, 2, "", "lwcd --help tells the usage"},
		{[]string{"chek"}, 2, "", `unexpected argument "chek"`},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), c.args, &stdout, &stderr)
		if code != c.code || !strings.Contains(stdout.String(), c.stdout) || !strings.Contains(stderr.String(), c.stderr) {
			t.Errorf("%v: code %d\n%s%s", c.args, code, stdout.String(), stderr.String())
		}
	}
}

// FuzzConfig: no text makes the parser panic, every error names the file, and
// what is accepted can be told.
func FuzzConfig(f *testing.F) {
	f.Add(twoPorts)
	f.Add("[guard]\nmode = 'unprotected'\n")
	f.Add("a = \"\"\"\n[x]\n\"\"\"\n[[b.c]]\n'd' . \"e\" = {f = 1}\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseConfig("file.toml", text)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if line != "\n" && !strings.Contains(err.Error(), "file.toml") {
					t.Errorf("%q", line)
				}
			}
			return
		}
		if !strings.HasPrefix(c.summary("file.toml"), "file.toml: good") {
			t.Error(c.summary("file.toml"))
		}
	})
}
