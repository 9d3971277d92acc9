package sitefile

import (
	"bytes"
	"errors"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/BurntSushi/toml"

	"lwc/transport/secret"
	"lwc/transport/wire"
)

// testToken is a whole token of a cloud that does not exist.
func testToken() secret.Text {
	return wire.Token{Sort: wire.EnrolToken, URL: "https://cloud.example:8443", CAPin: [32]byte{1, 2, 3}, ID: "t1",
		Secret: secret.FromString("0123456789abcdef")}.Encode()
}

// filled is a template with what an engineer fills in.
func filled() File {
	f := File{Token: testToken(), CollectorID: "site-0001"}
	f.Internal.Port = Port{MAC: "52:54:00:12:34:56", Addresses: []string{"10.1.0.2/24"}, Routes: []string{"10.0.0.0/8 via 10.1.0.1"}}
	f.External.Port = Port{MAC: "52:54:00:12:34:57", DHCP: true}
	return f
}

func TestTemplateOfAFilledFileIsGood(t *testing.T) {
	f, err := Parse(Name, Template(filled()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Endpoint != "https://cloud.example:8443" || !strings.HasPrefix(f.CAPin, "010203") || f.Internal.MAC != "52:54:00:12:34:56" {
		t.Errorf("file is %+v", f)
	}
}

func TestAnEmptyTemplateNamesWhatIsToBeFilledIn(t *testing.T) {
	_, err := Parse(Name, Template(File{}))
	var found Problems
	if !errors.As(err, &found) {
		t.Fatalf("error is %v", err)
	}
	var keys []string
	for _, p := range found {
		if p.Line == 0 {
			t.Errorf("%s has no line", p)
		}
		keys = append(keys, p.Key)
	}
	if got := strings.Join(keys, " "); got != "token internal.mac internal.addresses external.mac" {
		t.Errorf("problems are of %s:\n%v", got, err)
	}
}

// example is a setting behind # in a template.
var example = regexp.MustCompile(`(?m)^# ([a-z_]+ = )`)

// Who does what the template says, in any way that it says, has a good file: fills in,
// and takes the # away from one setting or from all.
func TestDoingWhatTheTemplateSays(t *testing.T) {
	fill := strings.NewReplacer(`token = ""`, "token = "+quote(string(testToken().Reveal())), "addresses = []", `addresses = ["10.1.0.2/24"]`)
	text := fill.Replace(string(Template(File{})))
	text = strings.Replace(text, `mac = ""`, `mac = "52:54:00:12:34:56"`, 1)
	text = strings.Replace(text, `mac = ""`, `mac = "52:54:00:12:34:57"`, 1)
	inner, outer, _ := strings.Cut(text, "[external]\n")
	static := regexp.MustCompile(`(?m)^dhcp = true .*\n`).ReplaceAllString(outer, "")
	all := func(s string) string { return example.ReplaceAllString(s, "$1") }
	for name, s := range map[string]string{
		"filled in":                    text,
		"all of the internal port":     all(inner) + "[external]\n" + outer,
		"all, and no dhcp outside":     all(inner) + "[external]\n" + all(static),
		"dhcp inside and no addresses": strings.Replace(strings.Replace(text, `addresses = ["10.1.0.2/24"]`, "addresses = []", 1), "# dhcp = true", "dhcp = true", 1),
	} {
		if _, err := Parse(Name, []byte(s)); err != nil {
			t.Errorf("%s: %v\n%s", name, err, s)
		}
	}
	// One alone is good, unless it makes no sense alone, which its own line says.
	depends := regexp.MustCompile(`external\.gateway: .*\(dhcp = true\)|external\.proxy_(user|password): stands here without`)
	for _, at := range example.FindAllStringIndex(text, -1) {
		s := text[:at[0]] + text[at[0]+2:]
		if _, err := Parse(Name, []byte(s)); err != nil && !depends.MatchString(err.Error()) {
			t.Errorf("%s: %v", s[at[0]:at[0]+20], err)
		}
	}
	for _, want := range []string{"lwc-cloud image check --config lwc.toml", "lwcd check-config lwc.toml"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q", want)
		}
	}
}

// whole is a file with every key.
func whole() File {
	f := filled()
	f.Internal.VLAN, f.Internal.Gateway, f.Internal.DNS, f.Internal.MTU = 20, "10.1.0.1", []string{"10.1.0.53"}, 1500
	f.Internal.Ports = []string{"22", "2200-2299"}
	f.External = External{Port: Port{MAC: "52:54:00:12:34:57", VLAN: 30, Addresses: []string{"192.0.2.10/24", "2001:db8::10/64"}, Gateway: "192.0.2.1",
		Routes: []string{"default via 2001:db8::1"}, DNS: []string{"192.0.2.53", "192.0.2.54:5353"}, MTU: 1400},
		Allow: []string{"cloud.example:8443", "[2001:db8::1]:443"}, NTP: []string{"ntp.example", "192.0.2.123:1123"},
		Proxy: "http://proxy.example:3128", ProxyUser: "site", ProxyPassword: secret.FromString(`a"b\c # d`), NoCloudClock: true}
	return f
}

// What the box keeps has all values, and no token.
func TestSettingsAreTheFileWithoutItsToken(t *testing.T) {
	one := whole()
	f, err := Parse(Name, Template(one))
	if err != nil {
		t.Fatal(err)
	}
	settings := f.Settings()
	if bytes.Contains(settings, []byte("lwce1_")) || !bytes.Contains(settings, []byte("cloud.example")) {
		t.Errorf("settings are\n%s", settings)
	}
	again, err := ParseSettings(Name, settings)
	if err != nil {
		t.Fatalf("%v in\n%s", err, settings)
	}
	if !bytes.Equal(again.Settings(), settings) || !bytes.Equal(again.Daemon(), f.Daemon()) {
		t.Errorf("settings are\n%s, then\n%s", settings, again.Settings())
	}
	f.Token, f.at, again.at = secret.Text{}, nil, nil
	if !f.External.ProxyPassword.Equal(again.External.ProxyPassword) {
		t.Error("the password is another one")
	}
	f.External.ProxyPassword = again.External.ProxyPassword
	if !reflect.DeepEqual(f, again) {
		t.Errorf("file is %+v, want %+v", again, f)
	}
	if _, err := Parse(Name, settings); err == nil || err.Error() != "token: is missing: get a new file from the cloud" {
		t.Errorf("a new box says %v", err)
	}
}

func TestTheDaemonsConfigurationHoldsNoSecret(t *testing.T) {
	one := whole()
	daemon := one.Daemon()
	var any map[string]any
	if _, err := toml.Decode(string(daemon), &any); err != nil {
		t.Fatalf("%v in\n%s", err, daemon)
	}
	for _, secret := range []string{"lwce1_", `a\"b`} {
		if bytes.Contains(daemon, []byte(secret)) {
			t.Errorf("it holds %s:\n%s", secret, daemon)
		}
	}
	for _, path := range []string{DaemonPath, TokenPath, ProxyPasswordPath, StateDir} {
		if path != DaemonPath && !bytes.Contains(daemon, []byte(path)) {
			t.Errorf("it does not name %s:\n%s", path, daemon)
		}
	}
}

// inForms is a text as different systems save it.
func inForms(s string) map[string][]byte {
	wide := func(mark string, s string, big bool) []byte {
		out := []byte(mark)
		for _, u := range utf16.Encode([]rune(s)) {
			if big {
				out = append(out, byte(u>>8), byte(u))
			} else {
				out = append(out, byte(u), byte(u>>8))
			}
		}
		return out
	}
	windows := strings.ReplaceAll(s, "\n", "\r\n")
	return map[string][]byte{
		"plain": []byte(s), "windows": []byte(windows), "old line ends": []byte(strings.ReplaceAll(s, "\n", "\r")),
		"utf-8 with a mark": []byte("\xef\xbb\xbf" + windows), "utf-16": wide("\xff\xfe", windows, false), "utf-16, big end first": wide("\xfe\xff", windows, true),
		"no line end at the end": []byte(strings.TrimSpace(s)),
	}
}

func TestAFileMaySavedByAnySystem(t *testing.T) {
	text := "# Büro 🙂\n" + string(Template(whole()))
	want, err := Parse(Name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range inForms(text) {
		f, err := Parse(Name, raw)
		if err != nil || !bytes.Equal(f.Settings(), want.Settings()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, raw := range inForms(strings.Replace(text, "vlan = 20", "vlan = 5000", 1)) {
		_, err := Parse(Name, raw)
		var found Problems
		if !errors.As(err, &found) || found[0].Line != 15 || found[0].Column != 8 {
			t.Errorf("%s: error is %v, want line 15, column 8", name, err)
		}
	}
}

func TestScrubLeavesNothingOfTheToken(t *testing.T) {
	token := string(testToken().Reveal())
	text := "# Büro 🙂: the token is " + token + "\n" + string(Template(whole())) + "# " + token + "\n"
	for name, raw := range inForms(text) {
		before := bytes.Clone(raw)
		out, ok := Scrub(raw)
		if !ok || len(out) != len(raw) || !bytes.Equal(raw, before) {
			t.Errorf("%s: scrubbed is %v, %d bytes of %d", name, ok, len(out), len(raw))
		}
		s, _, p := decode(out)
		if p != nil || strings.Contains(s, token[:20]) || strings.Contains(s, token[len(token)-20:]) {
			t.Errorf("%s: the token is still there (%v):\n%s", name, p, s)
		}
		f, err := ParseSettings(Name, out)
		if err != nil || !f.TokenUsed || !f.Token.Empty() || f.External.NTP[0] != "ntp.example" {
			t.Errorf("%s: a scrubbed file is %+v (%v)", name, f, err)
		}
		if _, again := Scrub(out); again {
			t.Errorf("%s: it is scrubbed twice", name)
		}
	}
}

func TestScrubFindsATokenHoweverItIsWritten(t *testing.T) {
	token := string(testToken().Reveal())
	for _, written := range []string{`'` + token + `'`, `"""` + token + `"""`, "'''\n" + token + "\n'''", `" ` + token + ` "`, `"\u006c` + token[1:] + `"`} {
		out, ok := Scrub([]byte("token = " + written + "\n[internal]\n"))
		if !ok || bytes.Contains(out, []byte(token[10:40])) || !bytes.HasSuffix(out, []byte("\n[internal]\n")) {
			t.Errorf("%.12s: scrubbed is %v:\n%s", written, ok, out)
		}
	}
}

// A token that was pasted into the wrong place is in no message: they stand on the
// screen of the box, and in photos of it.
func TestNoMessageRepeatsAToken(t *testing.T) {
	token := string(testToken().Reveal())
	short := token[:20] // a part is none either
	for _, pasted := range []string{token, short} {
		var files []string
		for table, keys := range schema {
			for key, k := range keys {
				value := quote(pasted)
				if k.kind == listValue {
					value = "[" + value + "]"
				}
				head := ""
				if table != "" {
					head = "[" + table + "]\n"
				}
				files = append(files, head+key+" = "+value+"\n", head+key+" = "+pasted+"\n", head+pasted+" = 1\n")
			}
		}
		files = append(files, "["+pasted+"]\nmac = \"x\"\n", "["+pasted+"]\n["+pasted+"]\n", pasted+": 1\n", pasted, "token "+pasted, "x = [[\""+pasted+"\"]]\n")
		for _, text := range files {
			_, err := Parse("lwc.toml", []byte(text))
			if err == nil || strings.Contains(err.Error(), short) {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
}

func TestTheBoxIsNotItsOwnGateway(t *testing.T) {
	f := filled()
	f.Internal.Gateway = "10.1.0.2"
	if _, err := Parse(Name, Template(f)); err == nil || !strings.Contains(err.Error(), `internal.gateway: "10.1.0.2" is the address of the box itself: write the address of the router`) {
		t.Errorf("%v", err)
	}
}
