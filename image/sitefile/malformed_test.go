package sitefile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestEachMalformedFileHasItsMessage reads the files that the boot tests also give
// to a box: each has its whole message beside it.
func TestEachMalformedFileHasItsMessage(t *testing.T) {
	files, err := filepath.Glob("testdata/malformed/*.toml")
	if err != nil || len(files) < 30 {
		t.Fatalf("there are %d files (%v)", len(files), err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			f, err := Parse(Name, read(t, path))
			want := strings.TrimSpace(string(read(t, strings.TrimSuffix(path, ".toml")+".txt")))
			if f != nil || err == nil || err.Error() != want {
				t.Errorf("error is\n%v\nwant\n%s", err, want)
			}
			checkProblems(t, err)
		})
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkProblems is what holds for every message: it has a kind of the closed set, it
// says what to do, it fits on a screen of plain characters, and it repeats no token.
func checkProblems(t *testing.T, err error) {
	t.Helper()
	var found Problems
	if !errors.As(err, &found) || len(found) == 0 || len(found) > maxProblems+1 {
		t.Fatalf("error is %v, want 1 to %d problems", err, maxProblems+1)
	}
	for _, p := range found {
		if !slices.Contains(Kinds(), p.Kind) || p.Text == "" || p.Do == "" || p.Line == 0 && p.Column != 0 {
			t.Errorf("the problem is not whole: %+v", p)
		}
		if s := p.String(); strings.Contains(s, "lwce1_eyJ") || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) && !strings.ContainsAny(s, `\`) && p.Kind != KindUnknownKey {
			t.Errorf("the message cannot be shown: %q", s)
		}
	}
}

// Each row changes the good file in one way, and has the whole message.
func TestMessages(t *testing.T) {
	good := string(read(t, "testdata/good.toml"))
	for _, tt := range []struct{ name, from, to, want string }{
		{"two brackets", "[internal]", "[[internal]]", "line 10, column 1: there are two brackets: write [internal] or [external], with one"},
		{"section open", "[internal]", "[internal", "line 10, column 10: the name of the section does not end with a bracket: write [internal] or [external] on a line of its own"},
		{"section again", "dhcp = true", "[internal]\ndhcp = true", "line 23, column 1: the section [internal] stands here a second time, first on line 10: put its keys together under one"},
		{"section unknown", "[internal]", "[interna]", "line 11, column 1: [interna] is not a section of this file: write it as [internal]"},
		{"no value", `mac = "52:54:00:12:34:56"`, "mac =", `line 11, column 6: there is no value after the =: write one, a text in quotes: "like this"`},
		{"no equals", `mac = "52:54:00:12:34:56"`, "mac 52:54:00:12:34:56", `line 11, column 1: this line has no = after its key: write it as key = "value", or put # before it if it is a remark`},
		{"rest", `mac = "52:54:00:12:34:56"`, `mac = "52:54:00:12:34:56" vlan = 3`, "line 11, column 27: there is more on this line after the value: put each key on a line of its own, and # before a remark"},
		{"blank of the web", `mac = "52:54:00:12:34:56"`, "mac =\u00a0\"52:54:00:12:34:56\"", "line 11, column 6: there is an invisible character (U+00A0) here, a copy from a web page or a letter: delete it and put in a plain blank"},
		{"dotted", `mac = "52:54:00:12:34:56"`, `port.mac = "52:54:00:12:34:56"`, "line 11, column 1: there is a dot in the key: write the section, like [internal], on a line of its own and the key under it"},
		{"braces", `routes = ["10.0.0.0/8 via 10.1.0.1"]`, `routes = {a = 1}`, "line 15, column 10: there is a { here, which no value of this file has: write each key on a line of its own"},
		{"token of another sort", string(testToken().Reveal()), "lwca1_abc", "line 6, column 9: token: is one for programs (lwca1_), which enrols nothing: put in the token of lwc-cloud enrol-token"},
		{"token of something else", string(testToken().Reveal()), "secret", "line 6, column 9: token: does not begin with lwce1_: copy the whole token of lwc-cloud enrol-token"},
		{"token with a blank", "lwce1_", "lwce1_ ", "line 6, column 9: token: has blanks or line ends in it, which it got while it was copied: copy it again, whole, on one line"},
		{"short pin", "collector_id = ", "ca_pin = \"abc\"\ncollector_id = ", "line 7, column 10: ca_pin: is not 64 hexadecimal digits, but 3 characters: copy it again, or remove the line: the token holds it too"},
		{"id", `"site-0001"`, `"Site 1"`, `line 7, column 16: collector_id: "Site 1" is not an id of a collector: use 8 to 63 of a-z, 0-9 and -, like site-0001`},
		{"vlan", "# vlan = 20", "vlan = 4095 #", "line 12, column 8: internal.vlan: is not a VLAN: write a number from 1 to 4094, or remove the line"},
		{"interface", "# vlan = 20", `interface = "eth0" #`, "line 12, column 1: internal.interface: is not a key of this file: a box knows its sockets by their hardware address: write mac instead"},
		{"token under external", "# allow = ", "token = \"x\"\n# allow = ", "line 32, column 1: external.token: does not belong here: move the line to the top of the file, before [internal] and [external]"},
		{"proxy with a log-in", "# proxy = ", "proxy = \"http://u:hunter2@proxy.example:3128\"\n# proxy = ", "line 29, column 9: external.proxy: has a log-in in it: write that as proxy_user and proxy_password: write it as http://proxy.example:3128"},
		{"password without proxy", "# proxy_password = ", "proxy_password = \"hunter2\" # ", "line 31, column 18: external.proxy_password: stands here without external.proxy: give the proxy, or remove this"},
		{"backslash", `"site-0001"`, `"site\0001"`, `line 7, column 21: there is a backslash that means nothing here: write it twice (\\)`},
		{"route", "10.0.0.0/8 via 10.1.0.1", "10.0.0.0/8 10.1.0.1", `line 15, column 11: internal.routes: "10.0.0.0/8 10.1.0.1" is not a route: write it as "10.0.0.0/8 via 10.1.0.1"`},
		{"name server by name", "# dns = [\"192.0.2.53\"]", "dns = [\"dns.example\"] #", `line 27, column 8: external.dns: "dns.example" is not the address of a name server: write it as 192.0.2.53`},
		{"long list", `["10.0.0.0/8 via 10.1.0.1"]`, "[" + strings.Repeat(`"10.0.0.0/8 via 10.1.0.1",`, 65) + "]", "line 15, column 10: internal.routes: has 65 entries: give 64 at most"},
		{"rich text", "# lwc.toml", `{\rtf1 lwc.toml`, "line 1, column 1: the file is a document of a word processor: save it as plain text"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(good, tt.from) {
				t.Fatalf("the good file has no %q", tt.from)
			}
			_, err := Parse(Name, []byte(strings.Replace(good, tt.from, tt.to, 1)))
			if err == nil || err.Error() != tt.want {
				t.Errorf("error is\n%v\nwant\n%s", err, tt.want)
			}
			checkProblems(t, err)
		})
	}
}

func TestManyProblemsAreToldAtOnce(t *testing.T) {
	_, err := Parse(Name, []byte(strings.Repeat("this is no key\n[internal]\n", 500)))
	checkProblems(t, err)
	_, err = Parse(Name, []byte("token = \"x\"\nsite = 3\n[internal]\nmac = 5\nvlan = 9999\n[external]\ndhcp = \"yes\"\n"))
	var keys []string
	for _, p := range err.(Problems) {
		keys = append(keys, p.Key)
	}
	want := "internal.addresses external.mac token site internal.mac internal.vlan external.dhcp"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("problems are of %s, want %s:\n%v", got, want, err)
	}
}
