package junos

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// statement returns the value of one set command of a class.
func statement(t *testing.T, class, name, word string) string {
	t.Helper()
	for line := range strings.Lines(class) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "set system login class "+name+" "+word+" "); ok {
			return strings.Trim(v, `"`)
		}
	}
	t.Fatalf("no %s in\n%s", word, class)
	return ""
}

// What the class allows and denies is judged by the expressions themselves.
func TestLoginClass(t *testing.T) {
	for _, profile := range Profiles() {
		items, _ := Profile(profile)
		class := LoginClass("lwc-view", items)
		if got := statement(t, class, "lwc-view", "permissions"); got != "view" {
			t.Errorf("%s: permissions %s", profile, got)
		}
		allow := regexp.MustCompile("(?i)" + statement(t, class, "lwc-view", "allow-commands"))
		deny := regexp.MustCompile("(?i)" + statement(t, class, "lwc-view", "deny-commands"))
		for _, i := range Catalogue() {
			in := slices.ContainsFunc(items, func(o Item) bool { return o.Name == i.Name })
			in = in || slices.Contains([]string{"show-cli-authorization", "show-chassis-routing-engine"}, i.Name)
			if allow.MatchString(i.CLI) != in || deny.MatchString(i.CLI) {
				t.Errorf("%s: %q is allowed: %v, denied: %v", profile, i.CLI, allow.MatchString(i.CLI), deny.MatchString(i.CLI))
			}
		}
		for _, command := range changing {
			if allow.MatchString(command) || !deny.MatchString(command) {
				t.Errorf("%s: %q is allowed: %v, denied: %v", profile, command, allow.MatchString(command), deny.MatchString(command))
			}
		}
	}
}

var changing = []string{"clear bgp neighbor", "configure", "configure exclusive", "edit", "file delete /x", "file show /x", "load override x",
	"monitor start messages", "op x", "op url http://192.0.2.1/x", "ping 192.0.2.1", "request system reboot", "request system zeroize",
	"request support information", "restart routing", "save x", "set date 202601010000", "set cli timestamp", "ssh 192.0.2.1", "start shell",
	"telnet 192.0.2.1", "test policy x 0/0", "traceroute 192.0.2.1", "show configuration", "show log messages",
	"show system license keys", "show system rollback 1", "show snmp v3 community"}

// The rights that the class gives are rights to look, by our own judgement.
func TestLoginClassIsNotTooMuch(t *testing.T) {
	all := Catalogue()
	class := LoginClass("lwc", all)
	p := Privileges{Permissions: []string{"view"}, AllowCommands: statement(t, class, "lwc", "allow-commands")}
	if e := p.Excess(); e != nil {
		t.Errorf("the class of the whole catalogue is too much: %q", e)
	}
}

func TestLoginClassSmugglesNothing(t *testing.T) {
	forged := Item{Name: "show-version", CLI: `show version$)|(request .*`, rpc: "<get-software-information/>"}
	class := LoginClass("x permissions all\nset system login class y", []Item{forged, {}, {Name: "request-system-reboot", CLI: "request system reboot", rpc: "<request-reboot/>"}})
	for line := range strings.Lines(class) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "set system login class xpermissionsallsetsystemloginclassy ") {
			t.Errorf("line %q", line)
		}
	}
	if strings.Contains(statement(t, class, "xpermissionsallsetsystemloginclassy", "allow-commands"), "request") {
		t.Errorf("a forged item is allowed:\n%s", class)
	}
	for name, want := range map[string]string{"": "lwc", "--": "lwc", "näc": "nc", "a.b_c-1": "a.b_c-1", strings.Repeat("x", 99): strings.Repeat("x", 64)} {
		if got := plainName(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

// Every line is one that Junos takes: a set command or a remark, in ASCII.
func TestLoginClassIsPlain(t *testing.T) {
	for line := range strings.Lines(LoginClass("lwc", Catalogue())) {
		if !regexp.MustCompile(`^(#|set system login class lwc (permissions view|(allow-commands|deny-commands|deny-configuration) "[^"]+")$)`).MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("line %q", line)
		}
		if strings.ContainsFunc(line, func(r rune) bool { return r > '~' }) {
			t.Errorf("not ASCII: %q", line)
		}
	}
}
