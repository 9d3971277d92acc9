package fleet

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"lwc/transport/secret"
	"lwc/transport/wire"
)

const canary = "c4nary-pa55"

// source is one environment and one folder.
func source() Source {
	env := map[string]string{"LAB": canary + "-env\n", "EMPTY": "", "HOME": "/home/x", "PHRASE": "opensesame"}
	files := map[string]string{"/f/pw": canary + "-file\r\n", "/home/x/key": newKey(""), "/f/locked": lockedKey(),
		"/f/signed": signed().key, "/f/signed-cert.pub": signed().user, "/f/host-cert.pub": signed().host,
		"/f/old-cert.pub": signed().old, "/f/other-cert.pub": signed().other, "/f/root-cert.pub": signed().root, "/f/jump-cert.pub": signed().jump}
	return Source{
		Getenv: func(k string) (string, bool) { v, ok := env[k]; return v, ok },
		ReadFile: func(n string) ([]byte, error) {
			if s, ok := files[n]; ok {
				return []byte(s), nil
			}
			return nil, &fs.PathError{Op: "open", Path: n, Err: fs.ErrNotExist}
		},
		Dir: "/f",
	}
}

// lockedKey is made once: deriving its key is slow on purpose.
var lockedKey = sync.OnceValue(func() string { return newKey("opensesame") })

func newKey(passphrase string) string {
	_, k, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err)
	}
	block, err := ssh.MarshalPrivateKey(k, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(k, "", []byte(passphrase))
	}
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(block))
}

func TestParseYAML(t *testing.T) {
	text, err := os.ReadFile("testdata/fleet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseYAML("fleet.yaml", text, source())
	if err != nil {
		t.Fatal(err)
	}
	if f.Collector != "site-berlin-01" || f.Spec.Schedules[0].Start != "02:00" || f.Spec.Limits.Concurrency != 64 {
		t.Errorf("collector, schedule or limits: %+v", f)
	}
	creds := map[string]Credential{}
	for _, c := range f.Spec.Credentials {
		creds[c.ID] = c
	}
	for id, want := range map[string]string{"lab": canary + "-env", "file": canary + "-file", "inline": "0123", "spaced": " two  words "} {
		if got := creds[id].Password; !got.Equal(secret.FromString(want)) {
			t.Errorf("credential %s: password %q, want %q", id, got.Reveal(), want)
		}
	}
	if creds["key"].Kind() != "private-key" || creds["locked"].Passphrase.Empty() {
		t.Error("private keys were not read")
	}
	checkNewer(t, f.Spec, creds["signed"])
	d := f.Spec.Devices[1]
	if d.ID != "edge-2" || d.Port != 2222 || d.Bastions[0] != "jump" || !d.TrustFirst || d.Profile != "tiny" || !d.Legacy || d.Pipeline != 4 {
		t.Errorf("second device: %+v", d)
	}
	checkEgress(t, f.Spec)
	if b := f.Spec.Bastions[1]; b.MaxSessions != 8 || b.Via[0] != "outer" {
		t.Errorf("bastion: %+v", b)
	}
}

func checkEgress(t *testing.T, s Spec) {
	t.Helper()
	if len(s.Schedules) != 2 || s.Schedules[0].Name != "daily" || s.Schedules[1].Name != "weekly-full" || s.Schedules[1].Collect != "full" ||
		!slices.Equal(s.Schedules[1].Days, []string{"sat", "sun"}) || !slices.Equal(s.Schedules[1].Profiles, []string{"tiny", "daily"}) {
		t.Errorf("schedules: %+v", s.Schedules)
	}
	if s.Egress.Mode != wire.EgressHold || !slices.Equal(s.Egress.Hold, []string{"show-arp-no-resolve"}) || s.Egress.Wait != "30m" || s.Limits.BudgetBytes != 134217728 {
		t.Errorf("egress or budget: %+v, %+v", s.Egress, s.Limits)
	}
	if !slices.Equal(s.Devices[1].Groups, []string{"core", "west"}) {
		t.Errorf("groups: %q", s.Devices[1].Groups)
	}
}

// A file with one schedule is what it was before there were several.
func TestOneSchedule(t *testing.T) {
	f, err := ParseYAML("f.yaml", []byte("schedule: {start: \"02:00\", window: 2h}\n"), source())
	if err != nil || len(f.Spec.Schedules) != 1 || f.Spec.Schedules[0].Name != wire.DefaultProfile || f.Spec.Schedules[0].Window != "2h" {
		t.Errorf("%+v, %v", f.Spec.Schedules, err)
	}
	if f, err := ParseYAML("f.yaml", []byte("schedule: {}\n"), source()); err != nil || len(f.Spec.Schedules) != 0 {
		t.Errorf("an empty one: %+v, %v", f.Spec.Schedules, err)
	}
}

func checkNewer(t *testing.T, s Spec, signed Credential) {
	t.Helper()
	if l := s.Limits; l.PerBastion != 32 || l.LoginsPerSecond != 2.5 || l.MaxCPU != 70 || !s.AllowCLI || !s.Bastions[0].Legacy {
		t.Errorf("limits, fallback or legacy algorithms: %+v", s)
	}
	want := []wire.MaskRule{{Class: "site-code", Item: "show-interfaces-descriptions", Path: "logical-interface/description", Pattern: "SITE-[0-9]+"},
		{Class: "customer", Path: "description"}}
	if !slices.Equal(s.Masking.Rules, want) || !s.Masking.Classes["mac-addresses"] || len(s.Masking.Classes) != 2 {
		t.Errorf("masking: %+v", s.Masking)
	}
	if signed.Kind() != wire.KindPrivateKey || !strings.HasPrefix(string(signed.Certificate.Reveal()), "ssh-ed25519-cert-v01@openssh.com ") {
		t.Errorf("the certificate was not read: %q", signed.Certificate.Reveal())
	}
}

// The example of the documentation is a fleet that can be applied.
func TestExample(t *testing.T) {
	text, err := os.ReadFile("../../docs/examples/fleet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	src := source()
	read := src.ReadFile
	src.Getenv = func(string) (string, bool) { return "x", true }
	src.ReadFile = func(name string) ([]byte, error) {
		return read(map[string]string{"/f/jump.key": "/f/signed", "/f/jump.key-cert.pub": "/f/jump-cert.pub"}[name])
	}
	f, err := ParseYAML("fleet.yaml", text, src)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Spec.Devices) != 3 || len(f.Spec.Masking.Rules) != 1 || f.Spec.Limits.PerBastion != 64 {
		t.Errorf("%+v", f.Spec)
	}
}

// good is a fleet that each case below spoils.
const good = `credentials:
  - {id: lab, username: lwc, password_env: LAB}
devices:
  - id: edge-1
    address: 192.0.2.1
    credential: lab
    trust_first: true
`

func TestParseYAMLErrors(t *testing.T) {
	for name, c := range map[string]struct{ yaml, want string }{
		"unknown key":          {good + "    adress: x\n", "f.yaml:8:5: devices[0].adress: unknown key \"adress\", did you mean \"address\"?\n        adress: x\n        ^"},
		"unknown top":          {"devises: []\n", `f.yaml:1:1: devises: unknown key "devises", did you mean "devices"?`},
		"wild key":             {good + "    colour: x\n", "unknown key \"colour\": known here are address, bastions"},
		"unknown credential":   {strings.Replace(good, "credential: lab", "credential: lap", 1), `f.yaml:6:5: devices[0].credential: no credential "lap" is defined, did you mean "lab"?`},
		"unknown bastion":      {good + "    bastions: [x]\n", `devices[0].bastions[0]: no bastion "x" is defined`},
		"unknown item":         {good + "profiles:\n  p: [show-version, show-chasis-alarms]\n", `f.yaml:9:21: profiles.p[1]: "show-chasis-alarms" is not an item of the catalogue, did you mean "show-chassis-alarms"?`},
		"unknown profile":      {good + "    profile: dayly\n", `no profile "dayly" is defined, did you mean "daily"?`},
		"duplicate id":         {good + "  - {id: edge-1, address: a, credential: lab, trust_first: true}\n", `f.yaml:8:6: devices[1].id: the id "edge-1" is taken by devices[0]`},
		"duplicate key":        {good + "    address: y\n", "f.yaml:8:5: this is not YAML: mapping key \"address\" already defined"},
		"no host key":          {strings.Replace(good, "    trust_first: true\n", "", 1), "f.yaml:4:5: devices[0]: no host key: give host_keys, or trust_first"},
		"bad host key":         {good + "    host_keys: [ssh-ed25519 AAAA]\n", `f.yaml:8:17: devices[0].host_keys[0]: not a host key`},
		"known_hosts":          {good + "    host_keys: [\"h1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJVZqXvF3cHfdE3bq0fD0G8R6n4d6n5T1qz1B1b6cT0k\"]\n", "leave out its first word"},
		"bad fingerprint":      {good + "    host_keys: [\"SHA256:abc\"]\n", "43 characters"},
		"port range":           {good + "    port: 70000\n", "f.yaml:8:11: devices[0].port: the number 70000 where a whole number from 0 to 65535"},
		"port words":           {good + "    port: ssh\n", "devices[0].port: a text where a whole number"},
		"address with port":    {strings.Replace(good, "192.0.2.1", "192.0.2.1:830", 1), "has a port: put it into port:"},
		"mistyped address":     {strings.Replace(good, "192.0.2.1", "192.0.2.331", 1), "neither an IP address nor a host name"},
		"env missing":          {strings.Replace(good, "LAB", "NOPE", 1), `f.yaml:2:44: credentials[0].password_env: the environment variable "NOPE" is not set`},
		"env empty":            {strings.Replace(good, "LAB", "EMPTY", 1), "is not set, or empty"},
		"file missing":         {strings.Replace(good, "password_env: LAB", "password_file: nope", 1), `reading the file "/f/nope": file does not exist`},
		"no secret":            {strings.Replace(good, ", password_env: LAB", "", 1), "f.yaml:2:5: credentials[0]: the secret is missing: give one of password, password_env"},
		"two secrets":          {strings.Replace(good, "LAB}", "LAB, password: x}", 1), "both"},
		"password and key":     {strings.Replace(good, "LAB}", "LAB, private_key_file: ~/key}", 1), "both a password and a private key"},
		"wrong passphrase":     {strings.Replace(good, "password_env: LAB", "private_key_file: locked, passphrase: no", 1), "the passphrase does not open"},
		"needs a passphrase":   {strings.Replace(good, "password_env: LAB", "private_key_file: locked", 1), "give it with passphrase_env"},
		"bad start":            {good + "schedule: {start: 24:00}\n", `f.yaml:8:12: schedule.start: "24:00" is not a time of day`},
		"bad window":           {good + "schedule: {start: 02:00, window: 2 hours}\n", `schedule.window: "2 hours" is not a length of time`},
		"bad zone":             {good + "schedule: {start: 02:00, timezone: Mars/Olympus}\n", "give its IANA name"},
		"both forms":           {good + "schedule: {start: 02:00}\nschedules: [{start: 03:00}]\n", "both schedule and schedules are given: put all of them into the list"},
		"two of one name":      {good + "schedules:\n  - {start: 02:00}\n  - {name: daily, start: 03:00}\n", `f.yaml:10:6: schedules[1].name: the name "daily" is taken by schedules[0]`},
		"no start":             {good + "schedules: [{name: x}]\n", "schedules[0]: no start: give the time of day"},
		"bad day":              {good + "schedules: [{start: 02:00, days: [sunday]}]\n", `schedules[0].days[0]: "sunday" is not a day`},
		"bad collect":          {good + "schedules: [{start: 02:00, collect: fulll}]\n", `no profile "fulll" is defined, did you mean "full"?`},
		"a short window":       {good + "schedule: {start: 02:00, window: 30s}\n", `"30s" is not a length of time from 1m to 23h`},
		"bad mode":             {good + "egress: {mode: dryrun}\n", `f.yaml:8:10: egress.mode: "dryrun" is not a mode, did you mean "dry-run"?`},
		"hold of nothing":      {good + "egress: {mode: hold}\n", "name some in hold, as hold: [show-arp-no-resolve]"},
		"hold without mode":    {good + "egress: {hold: [show-version]}\n", "items are held only in mode hold"},
		"unknown held item":    {good + "egress: {mode: hold, hold: [show-arp-no-resolv]}\n", `did you mean "show-arp-no-resolve"?`},
		"short wait":           {good + "egress: {mode: hold, hold: [show-version], wait: 59s}\n", `"59s" is not a length of time from 1m to 24h`},
		"long wait":            {good + "egress: {mode: hold, hold: [show-version], wait: 25h}\n", `"25h" is not a length of time from 1m to 24h`},
		"bad wait":             {good + "egress: {mode: hold, hold: [show-version], wait: 3d}\n", `"3d" is not a length of time from 1m to 24h`},
		"small budget":         {good + "limits: {budget_bytes: 1000}\n", "1000 is not from 8388608 (8 MiB) to 1073741824 (1 GiB)"},
		"window without start": {good + "schedule: {window: 2h}\n", "add start"},
		"a list is wanted":     {"devices: {id: x}\n", "f.yaml:1:10: devices: a mapping where a list is wanted"},
		"a mapping is wanted":  {"credentials: [x]\n", "f.yaml:1:15: credentials[0]: a text where a mapping"},
		"wrong kind":           {strings.Replace(good, "LAB}", "LAB, kind: private-key}", 1), "f.yaml:2:55: credentials[0].kind: kind \"private-key\", and the secret is of kind password"},
		"credential twice":     {strings.Replace(good, "devices:", "  - {id: lab, username: x, password: x}\ndevices:", 1), `f.yaml:3:6: credentials[1].id: the id "lab" is taken by credentials[0]`},
		"anchors":              {strings.Replace(good, "credential: lab", "credential: &c lab", 1), "not supported: write it out"},
		"collector id":         {"collector: X\n" + good, "f.yaml:1:12: collector: \"X\": a collector id has"},
		"two documents":        {good + "---\n" + good, "f.yaml:9:1: the file has more than one YAML document"},
		"empty":                {"# nothing\n", "the file is empty"},
		"not yaml":             {"devices: [\n", "f.yaml:1:10: this is not YAML: "},
		"not text":             {"\xff\xfe", "not a text file in UTF-8"},
		"limit of log-ins":     {good + "limits: {logins_per_second: fast}\n", "f.yaml:8:29: limits.logins_per_second: a text where a number from 0 to 10000 is wanted"},
		"limit of the load":    {good + "limits: {max_cpu: 101}\n", "f.yaml:8:19: limits.max_cpu: the number 101 where a whole number from 0 to 100"},
		"pipeline":             {good + "    pipeline: 65\n", "devices[0].pipeline: the number 65 where a whole number from 0 to 64"},
		"legacy of words":      {good + "    legacy_algorithms: maybe\n", "f.yaml:8:24: devices[0].legacy_algorithms: a text where true or false is wanted"},
		"mask class":           {good + "masking: {classes: {mac-adresses: true}}\n", `f.yaml:8:21: masking.classes.mac-adresses: no class "mac-adresses" is known, did you mean "mac-addresses"?`},
		"mask class value":     {good + "masking: {classes: {secrets: no way}}\n", "masking.classes.secrets: a text where true or false"},
		"mask rule item":       {good + "masking:\n  rules:\n    - {class: x, item: show-versoin, path: a}\n", `f.yaml:10:18: masking.rules[0].item: "show-versoin" is not an item of the catalogue, did you mean "show-version"?`},
		"mask rule of all":     {good + "masking:\n  rules:\n    - {class: x}\n", "f.yaml:10:7: masking.rules[0]: it would mask every text"},
		"mask rule class":      {good + "masking:\n  rules:\n    - {class: Site_Code, path: a}\n", `masking.rules[0].class: "Site_Code" is not a word`},
		"mask rule pattern":    {good + "masking:\n  rules:\n    - {class: x, pattern: \"a(\"}\n", "f.yaml:10:18: masking.rules[0].pattern: not a regular expression of RE2"},
		"mask rule of nothing": {good + "masking:\n  rules:\n    - {class: x, pattern: \"a*\"}\n", "matches nothing at all as well"},
		"mask rule path":       {good + "masking:\n  rules:\n    - {class: x, path: /a/b}\n", `masking.rules[0].path: "/a/b" is not a path of element names`},
		"authority by hash":    {good + "    host_keys: [\"@cert-authority SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU\"]\n", "an authority needs its whole public key"},
		"authority with hosts": {good + "    host_keys: [\"@cert-authority *.example.net " + aKey + "\"]\n", "leave out the host names (*.example.net)"},
		"another mark":         {good + "    host_keys: [\"@revoked " + aKey + "\"]\n", `the only word that may stand here is "@cert-authority"`},
		"certificate alone":    {strings.Replace(good, "LAB}", "LAB, certificate_file: signed-cert.pub}", 1), "credentials[0].certificate: a certificate without its private key"},
		"certificate of words": {signedBy("certificate: nonsense"), "f.yaml:2:56: credentials[0].certificate: not an SSH certificate"},
		"certificate missing":  {signedBy("certificate_file: nope-cert.pub"), `reading the file "/f/nope-cert.pub"`},
		"host certificate":     {signedBy("certificate_file: host-cert.pub"), "this is a certificate for a host"},
		"old certificate":      {signedBy("certificate_file: old-cert.pub"), "it expired on 2001-09-09: have the key signed again"},
		"other's certificate":  {signedBy("certificate_file: other-cert.pub"), "it is the certificate of another key than private_key"},
		"another principal":    {signedBy("certificate_file: root-cert.pub"), `it is for root and not for the user name "lwc"`},
		"bastion loop":         {good + loop, "bastions[0].via: the bastions before \"a\" lead back to it"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := ParseYAML("f.yaml", []byte(c.yaml), source())
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v\nwant %s", err, c.want)
			}
			if f.Spec.Devices != nil || f.Spec.Credentials != nil {
				t.Error("a value was returned with an error")
			}
		})
	}
}

const aKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJVZqXvF3cHfdE3bq0fD0G8R6n4d6n5T1qz1B1b6cT0k"

// signedBy is good with a private key that has a certificate.
func signedBy(certificate string) string {
	return strings.Replace(good, "password_env: LAB", "private_key_file: signed, "+certificate, 1)
}

const loop = `bastions:
  - {id: a, address: a, credential: lab, trust_first: true, via: [b]}
  - {id: b, address: b, credential: lab, trust_first: true, via: [a]}
`

func TestAllProblemsAtOnce(t *testing.T) {
	bad := strings.NewReplacer("192.0.2.1", "1.2.3", "credential: lab", "credential: lap", "username", "user").Replace(good)
	_, err := ParseYAML("f.yaml", []byte(bad), source())
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 4 {
		t.Fatalf("want 4 problems (user, username, address, credential):\n%v", err)
	}
}

func TestErrorsHideSecrets(t *testing.T) {
	for name, yaml := range map[string]string{
		"same line":     "credentials:\n  - {id: lab, username: x, password: " + canary + ", colour: x}\n",
		"quote":         "credentials:\n  - id: lab\n    password: \"" + canary + "\n",
		"list":          "credentials:\n  - id: lab\n    password: [" + canary + "]\n",
		"next line":     "credentials:\n  - id: lab\n    password:\n      - " + canary + "\n",
		"block":         "credentials:\n  - id: lab\n    private_key: |\n      " + canary + "\n\t  " + canary + "\n",
		"tag":           "credentials:\n  - id: lab\n    password: !x " + canary + "\n",
		"bad key":       "credentials:\n  - id: lab\n    private_key: " + canary + "\n",
		"broken indent": "credentials:\n  - id: lab\n    password: " + canary + "\n   user: x\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseYAML("f.yaml", []byte(yaml), source())
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the secret stands in the error:\n%v", err)
			}
		})
	}
}

func FuzzParseYAML(f *testing.F) {
	text, err := os.ReadFile("testdata/fleet.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(good + loop))
	key := []byte(newKey("")) // without a passphrase, which is slow to try
	src := Source{
		Getenv:   func(string) (string, bool) { return "x", true },
		ReadFile: func(string) ([]byte, error) { return bytes.Clone(key), nil },
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseYAML("f.yaml", b, src)
		if err == nil && got.Spec.Check() != nil {
			t.Error("a fleet was accepted that breaks the rules")
		}
		if err != nil && (err.Error() == "" || got.Spec.Devices != nil) {
			t.Errorf("error %q with a value", err)
		}
	})
}

// A mistyped key is the likeliest mistake next to a secret.
func TestLinesOfMistypedSecrets(t *testing.T) {
	for _, key := range []string{"pasword", "passwd", "Password", "passwrod", "pass", "pwd", "privat_key", "private-key", "pass_phrase", "secret"} {
		text := "collector: site-a-0001\ncredentials:\n  - {id: lab, username: lwc, " + key + ": " + canary + "}\n"
		_, err := ParseYAML("fleet.yaml", []byte(text), source())
		if err == nil || strings.Contains(err.Error(), canary) || !strings.Contains(err.Error(), "username: lwc") {
			t.Errorf("%s: %v", key, err)
		}
	}
}
