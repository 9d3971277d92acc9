package junos

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const superText = `Current user: 'lab       ' login: 'lab' class 'super-user'
Permissions:
    admin       -- Can view user accounts
    admin-control-- Can modify user accounts
    view        -- Can view current values and statistics
    all-control -- Can modify any configuration
Individual command authorization:
    Allow regular expression: (show version)|(request .*)
    Deny regular expression: none
    Allow configuration regular expression: interfaces
    Deny configuration regular expression: none
`

func rights(inner string) []byte {
	return []byte(replyTo("1", `<authorization-information xmlns="http://xml.juniper.net/junos/23.4R0/junos">`+inner+`</authorization-information>`))
}

func TestParsePrivileges(t *testing.T) {
	super := Privileges{User: "lab", Class: "super-user", Permissions: []string{"admin", "admin-control", "view", "all-control"},
		AllowCommands: "(show version)|(request .*)"}
	entry := func(p string) string {
		return "<user-permission-entry>\n<permission-type>" + p + "</permission-type>\n<permission-type-help>Can do " + p + "</permission-type-help></user-permission-entry>"
	}
	who := "<user-information><user>lwc</user><login-name>l</login-name><user-class>lwc-view</user-class></user-information>"
	for _, c := range []struct {
		name string
		doc  []byte
		want Privileges
	}{
		{"text in output", []byte(replyTo("1", "<output>\n"+superText+"</output>")), super},
		{"text in its element", rights(superText), super},
		{"text in an element of it", rights("<text>" + superText + "</text>"), super},
		{"entries", rights(who + "<user-permission-list>" + entry("view") + entry("clear") + entry("view") + "</user-permission-list>" +
			"<command-authorization><allow-command>show version</allow-command><deny-command>none</deny-command><deny-configuration>.*</deny-configuration></command-authorization>"),
			Privileges{User: "lwc", Class: "lwc-view", Permissions: []string{"view", "clear"}, AllowCommands: "show version"}},
		{"flat", rights("<user-name>a</user-name><class-name>b</class-name><permissions>view -- Can view</permissions>"),
			Privileges{User: "a", Class: "b", Permissions: []string{"view"}}},
		{"commands only", rights(who + "<user-permission-list/><allow-commands>^show</allow-commands>"),
			Privileges{User: "lwc", Class: "lwc-view", AllowCommands: "^show"}},
		{"a list of expressions", rights("<permission>view</permission><allow-commands><regex>^show</regex><regex>^request</regex><regex>none</regex></allow-commands>"),
			Privileges{Permissions: []string{"view"}, AllowCommands: "^show|^request"}},
		{"expressions of two engines", []byte(replyTo("1", engines("<authorization-information><permission>view</permission><allow-command>^show</allow-command></authorization-information>",
			"<authorization-information><permission>view</permission><allow-command>^clear</allow-command></authorization-information>"))),
			Privileges{Permissions: []string{"view"}, AllowCommands: "^show|^clear"}},
		{"other words", rights("Permissions:\n  view -- x\nAllow operational regular expression: ^clear\nAllow configuration regular expression: x\n"),
			Privileges{Permissions: []string{"view"}, AllowCommands: "^clear"}},
		{"a long text", rights(strings.Replace(superText, "(request .*)", strings.Repeat("(show a)|", 1700)+"(request .*)", 1)),
			Privileges{User: "lab", Class: "super-user", Permissions: super.Permissions,
				AllowCommands: "(show version)|" + strings.Repeat("(show a)|", 1700) + "(request .*)"}},
		{"two engines", []byte(replyTo("1", engines("<authorization-information><permission>view</permission></authorization-information>",
			"<authorization-information><permission>reset</permission></authorization-information>"))), Privileges{Permissions: []string{"view", "reset"}}},
	} {
		got, err := ParsePrivileges(c.doc)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}

// What cannot be read whole proves nothing.
func TestParsePrivilegesFailsClosed(t *testing.T) {
	whole := rights("<permission>view</permission><permission>clear</permission>")
	many := strings.Builder{}
	for n := range maxRights + 1 {
		fmt.Fprintf(&many, "<permission>p%d</permission>", n)
	}
	for name, doc := range map[string][]byte{
		"nothing":     nil,
		"cut":         whole[:strings.Index(string(whole), "<permission>clear")],
		"crossed":     rights("<permission>view</authorization-information><permission>"),
		"an error":    []byte(replyTo("1", "<rpc-error><error-message>permission denied</error-message></rpc-error>")),
		"other reply": []byte(replyTo("1", "<software-information><host-name>a</host-name></software-information>")),
		"no rights":   rights("<user>lab</user><class>super-user</class>"),
		"other text":  []byte(replyTo("1", "<output>unknown command</output>")),
		"no flag":     rights("<user-permission-list/>"),
		"too long":    rights("<permission>view</permission><allow-command>" + strings.Repeat("^show|", maxExpression/6) + "^request</allow-command>"),
		"too many":    rights(many.String()),
		"too large":   rights(strings.Repeat(" ", maxIdentity) + "<permission>view</permission>"),
	} {
		if p, err := ParsePrivileges(doc); err == nil || !reflect.DeepEqual(p, Privileges{}) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func TestExcess(t *testing.T) {
	for _, c := range []struct {
		flags, allow string
		want         []string // what each begins with
	}{
		{"view", "", nil},
		{"view view-configuration interface routing system snmp admin", "", nil},
		{"view security", "", []string{"security: can clear"}},
		{"view trace", "", []string{"trace: can read"}},
		{"view clear", "", []string{"clear: can clear"}},
		{"view interface-control", "", []string{"interface-control: can change the configuration of interface"}},
		{"all", "", []string{"all: can do everything"}},
		{"secret network", "", []string{"secret: can read", "network: can reach"}},
		{"view warp-drive", "", []string{"warp-drive: is not known"}},
		{"view", "(^show version$)|(^show system (uptime|commit)$)|(^quit$)", nil},
		{"view", "^(show version|show log)$", nil},
		{"view", "^show", nil},
		{"view", "(^show .*)", nil},
		{"view", `"^show version" "^show system .*"`, nil},
		{"view", `^show interfaces ge-[0-9]/0/0\.0$|^show \(a`, nil},
		{"view", "show", []string{`allow-commands: allows commands that have "show" anywhere`}},
		{"view", "^show version|show.*", []string{`allow-commands: allows commands that have "show" anywhere`}},
		{"view", `"^show version" "show system .*"`, []string{`allow-commands: allows commands that have "show" anywhere`}},
		{"view", `"^show version""request x"`, []string{`allow-commands: allows commands that begin with "request"`}},
		{"view", `^show \(|clear|\)`, []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "^show [(]|^clear [)]?", []string{`allow-commands: allows commands that begin with "clear"`}},
		{"view", "^show [[:alpha:](]|^clear [)]?", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "^show []|(]^clear|[)]", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", `^show \`, []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "^show [", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "^", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "$", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "()", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "^show|", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "(^show version)|(Request system reboot)", []string{`allow-commands: allows commands that begin with "request"`}},
		{"view", "^(show|clear|clear) arp", []string{`allow-commands: allows commands that begin with "clear"`}},
		{"view", "set cli", []string{`allow-commands: allows commands that begin with "set"`}},
		{"view", ".*", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "[r]equest system zeroize", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "show*", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "(show)?request", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "(show|)", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "()clear", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "(show version", []string{"allow-commands: is an expression that cannot be judged"}},
		{"view", "show)|(clear", []string{"allow-commands: is an expression that cannot be judged"}},
	} {
		got := Privileges{Permissions: strings.Fields(c.flags), AllowCommands: c.allow}.Excess()
		if len(got) != len(c.want) {
			t.Errorf("%s %q: %q, want %q", c.flags, c.allow, got, c.want)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(got[i], want) {
				t.Errorf("%s %q: %q, want %q", c.flags, c.allow, got[i], want)
			}
		}
	}
}

// Every flag is either one that looks or one that acts.
func TestFlagsAreToldApart(t *testing.T) {
	for flag := range actingFlags() {
		if slices.Contains(lookingFlags(), flag) {
			t.Errorf("%s is both", flag)
		}
		if acting := (Privileges{Permissions: []string{flag}}).Excess(); len(acting) != 1 {
			t.Errorf("%s counts as looking", flag)
		}
	}
	for _, flag := range lookingFlags() {
		control := Privileges{Permissions: []string{flag + "-control"}}
		if len(control.Excess()) != 1 {
			t.Errorf("%s-control counts as looking", flag)
		}
	}
}

func FuzzParsePrivileges(f *testing.F) {
	f.Add([]byte(replyTo("1", "<output>"+superText+"</output>")))
	f.Add(rights("<user-information><user>a</user><class>b</class></user-information><permission>view</permission><allow-command>show (a|b)</allow-command>"))
	f.Add(rights(superText))
	f.Fuzz(func(t *testing.T, doc []byte) {
		p, err := ParsePrivileges(doc)
		if err != nil && !reflect.DeepEqual(p, Privileges{}) {
			t.Errorf("an error and rights: %+v, %v", p, err)
		}
		if len(p.Permissions) > maxRights || len(p.User) > maxFact || len(p.Class) > maxFact {
			t.Errorf("too much: %+v", p)
		}
		for i, flag := range p.Permissions {
			if flag == "" || len(flag) > maxFact || slices.Contains(p.Permissions[:i], flag) {
				t.Errorf("permission %q", flag)
			}
		}
		if e := p.Excess(); len(e) == 0 && slices.ContainsFunc(p.Permissions, func(f string) bool { return !slices.Contains(lookingFlags(), f) }) {
			t.Errorf("no excess of %+v", p)
		}
	})
}
