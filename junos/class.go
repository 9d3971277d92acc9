package junos

import (
	"fmt"
	"slices"
	"strings"
)

// LoginClass returns the Junos configuration of a login class, as set commands,
// for an account that may ask for the items and do nothing else. Lines that
// begin with # are remarks, which Junos skips. Items that are not of the
// catalogue are left out. Of the name, letters, digits and . _ - are kept; where
// none are left it is "lwc".
//
// The sources, all in the Junos OS User Access and Authentication
// Administration Guide: "Login Class Permission Flags" (view lets an account
// show current values and nothing else), "Specifying Access Privileges for
// Operational Mode Commands" (allow-commands adds to the flags, deny-commands
// takes from them) and "Regular Expressions for Allowing and Denying Operational
// Mode Commands" (alternatives stand in brackets of their own, ^ and $ bind both
// ends). An operation over NETCONF needs the rights of the command that it is
// the twin of, so one class serves both. allow-commands-regexps would be faster
// but is unknown before 18.1.
func LoginClass(name string, items []Item) string {
	name = plainName(name)
	var b strings.Builder
	fmt.Fprintf(&b, "# Login class %s: %d show commands, no changes, no shell.\n", name, len(twins(items)))
	b.WriteString(`# Paste in configuration mode after "load set terminal", end with Ctrl-D, then commit.
# NETCONF operations need the rights of the commands they are the twins of.
`)
	set := func(format string, args ...any) {
		fmt.Fprintf(&b, "set system login class "+name+" "+format+"\n", args...)
	}
	set("permissions view")
	set("allow-commands \"%s\"", allowCommands(items))
	set("deny-commands \"%s\"", denyCommands())
	set("deny-configuration \".*\"")
	b.WriteString(`# Stricter: leave out the line with permissions. Then only allow-commands is left.
# The account, with a key rather than a password, and NETCONF over SSH:
`)
	fmt.Fprintf(&b, "# set system login user %s class %s authentication ssh-ed25519 \"ssh-ed25519 AAAA...\"\n", name, name)
	b.WriteString("# set system services netconf ssh\n")
	return b.String()
}

// plainName keeps what Junos takes in a name, so that a name cannot smuggle
// another statement into what is pasted.
func plainName(name string) string {
	keep := func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '-', r == '_', r == '.':
			return r
		}
		return -1
	}
	name = strings.TrimLeft(strings.Map(keep, name), "-._")
	if name == "" {
		return "lwc"
	}
	return name[:min(len(name), 64)]
}

// twins returns the commands of the items, and those that the collector asks by
// itself: the version, what the account may do, and the load before a large reply.
func twins(items []Item) []string {
	var commands []string
	for _, i := range items {
		if i.genuine() {
			commands = append(commands, i.CLI)
		}
	}
	for _, own := range []string{"show version", "show cli authorization", "show chassis routing-engine"} {
		if !slices.Contains(commands, own) {
			commands = append(commands, own)
		}
	}
	return commands
}

// allowCommands names each command whole. Most are covered by view already;
// some need more than that on some releases, show system license for one.
// Leaving a session needs no right by Junos' documentation; it is named so that
// nobody has to rely on that.
func allowCommands(items []Item) string {
	terms := []string{"(^quit$)", "(^exit$)"}
	for _, command := range twins(items) {
		terms = append(terms, "(^"+command+"$)")
	}
	return strings.Join(terms, "|")
}

// denyCommands takes away whole families of commands, whatever other flags the
// class may be given later, and the show commands that print configuration,
// logs or keys.
func denyCommands() string {
	families := []string{"clear", "configure", "edit", "file", "help", "load", "monitor", "mtrace", "op", "ping",
		"request", "restart", "save", "set", "ssh", "start", "telnet", "test", "traceroute",
		"show configuration", "show log", "show security macsec", "show snmp v3", "show system commit revision",
		"show system configuration", "show system license keys", "show system rollback"}
	for n, f := range families {
		families[n] = "(^" + f + ")"
	}
	return strings.Join(families, "|")
}
