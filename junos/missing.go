package junos

import (
	"regexp"
	"slices"
	"strings"
)

// Missing returns those of the items that the account may not run the commands
// of, by what the device reports; an operation over NETCONF needs the rights of
// its command. What cannot be judged does not count as missing: where an
// expression is none that this collector can read, it may allow, and need not
// deny. It proves nothing about a device whose rights are given per command by a
// TACACS+ server.
//
// The sources, in the Junos OS User Access and Authentication Administration
// Guide: "Login Class Permission Flags" (view is for the show commands, all for
// every one) and "Specifying Access Privileges for Operational Mode Commands"
// (expressions take precedence over flags; of the same command in both
// statements the allowed one wins, of different variants the longest match).
// Lists of deny-commands-regexps take precedence over those that allow, by the
// page of that statement.
func (p Privileges) Missing(items []Item) []Item {
	allow, ok := readExpression(p.AllowCommands)
	if !ok {
		return nil
	}
	deny, _ := readExpression(p.DenyCommands)
	looks := slices.Contains(p.Permissions, "view") || slices.Contains(p.Permissions, "all")
	lists := strings.Contains(p.AllowCommands+p.DenyCommands, `"`)
	var missing []Item
	for _, i := range items {
		allowed, denied := allow.longest(i.CLI), deny.longest(i.CLI)
		refused := denied != noMatch && (lists || denied > allowed)
		if refused || !looks && allowed == noMatch {
			missing = append(missing, i.own())
		}
	}
	return missing
}

// expression is that of allow-commands or deny-commands: one, or a list.
type expression []*regexp.Regexp

// readExpression is not ok, and returns one that matches nothing, where a part is
// no RE2. Junos reads POSIX 1003.2 without regard to case and finds an expression
// anywhere in a command.
func readExpression(text string) (e expression, ok bool) {
	for _, part := range alternatives(text) {
		re, err := regexp.Compile("(?i)" + part)
		if err != nil {
			return nil, false
		}
		re.Longest()
		e = append(e, re)
	}
	return e, true
}

// noMatch is less than the length of any match, the empty one too.
const noMatch = -1

// longest returns how much of the command the expression matches at most.
func (e expression) longest(command string) int {
	n := noMatch
	for _, re := range e {
		for _, at := range re.FindAllStringIndex(command, -1) {
			n = max(n, at[1]-at[0])
		}
	}
	return n
}
