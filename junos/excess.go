package junos

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Excess names every right by which the account could do more than look, in
// words for the operator: "clear: can clear what the device has learned". It is
// nil for an account that can only look. Rights that show configuration without
// secrets count as looking. What it does not know counts as too much, and
// commands denied are not held against rights given, since Junos lets an
// allowed expression win over a denied one.
func (p Privileges) Excess() []string {
	var found []string
	for _, flag := range p.Permissions {
		if words := p.excess(flag); words != "" {
			found = append(found, flag+": "+words)
		}
	}
	return append(found, allowedExcess(p.AllowCommands)...)
}

func (p Privileges) excess(flag string) string {
	if slices.Contains(lookingFlags(), flag) {
		return ""
	}
	if words, ok := actingFlags()[flag]; ok {
		return words
	}
	if what, ok := strings.CutSuffix(flag, "-control"); ok {
		return "can change the configuration of " + what
	}
	return "is not known to this collector"
}

// lookingFlags are the permission flags that let an account look only ("Login
// Class Permission Flags", Junos OS User Access and Authentication Guide). Each
// but view and the -operation ones shows one part of the configuration, with
// secrets left out.
func lookingFlags() []string {
	return []string{"view", "view-configuration", "access", "admin", "firewall", "flow-tap", "interface",
		"pgcp-session-mirroring", "routing", "security", "snmp", "storage", "system", "trace", "unified-edge"}
}

// actingFlags are the others, by the words of the same table. A flag that ends
// in -control and is not named here changes the part it is named after.
func actingFlags() map[string]string {
	return map[string]string{
		"all":                    "can do everything",
		"all-control":            "can change any configuration",
		"admin-control":          "can change user accounts",
		"clear":                  "can clear what the device has learned: sessions, neighbours, counters",
		"configure":              "can enter configuration mode and commit",
		"control":                "can change any configuration",
		"edit":                   "can edit whole files",
		"field":                  "can use debug commands meant for the vendor",
		"floppy":                 "can read and write removable media",
		"flow-tap-operation":     "can tap traffic",
		"idp-profiler-operation": "can profile traffic",
		"maintenance":            "can become the super-user, halt and reboot, and manage files and software",
		"network":                "can reach other systems from the device: ping, ssh, telnet, traceroute",
		"reset":                  "can restart interfaces and processes",
		"rollback":               "can return to an older configuration",
		"secret":                 "can read passwords and keys in the configuration",
		"secret-control":         "can read and change passwords and keys in the configuration",
		"shell":                  "can start a shell",
	}
}

// allowedExcess judges an allow-commands expression: each of its alternatives has
// to begin with the word of a command that only looks. Junos reads POSIX 1003.2
// without regard to case; lists of allow-commands-regexps come in quotes.
func allowedExcess(expression string) []string {
	var found []string
	for part := range strings.SplitSeq(strings.ToLower(expression), `"`) {
		words, ok := firstWords(part, maxNesting)
		if !ok {
			return []string{"allow-commands: is an expression that cannot be judged"}
		}
		for _, w := range words {
			if !slices.Contains([]string{"show", "quit", "exit"}, w) {
				found = append(found, fmt.Sprintf("allow-commands: allows commands that begin with %q", w))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

var plainWord = regexp.MustCompile(`^([a-z][a-z-]*)(?:[ $.]|$)`)

// maxNesting of brackets is beyond what anybody writes by hand.
const maxNesting = 16

// firstWords returns the word that each alternative of an expression begins
// with. ok is false where one begins with anything but a plain word: a class of
// characters, a wildcard, a bracket that is not closed.
func firstWords(expression string, depth int) (words []string, ok bool) {
	e := strings.TrimLeft(expression, "^ ")
	if strings.Trim(e, "$ ") == "" {
		return nil, true
	}
	split, ok := splitTop(e)
	switch {
	case !ok || depth == 0:
		return nil, false
	case len(split) > 1:
		for _, part := range split {
			w, ok := firstWords(part, depth-1)
			if !ok || len(w) == 0 {
				return nil, false
			}
			words = append(words, w...)
		}
		return words, true
	case e[0] == '(':
		inner := e[1:closing(e)]
		rest := e[closing(e)+1:]
		if rest != "" && !strings.ContainsRune(" $", rune(rest[0])) {
			return nil, false // a count, or a word that goes on behind the bracket
		}
		words, ok = firstWords(inner, depth-1)
		return words, ok && len(words) > 0
	}
	m := plainWord.FindStringSubmatch(e)
	if m == nil {
		return nil, false
	}
	return m[1:], true
}

// splitTop splits at the bars outside of brackets. ok is false where the
// brackets do not match.
func splitTop(e string) (parts []string, ok bool) {
	depth, from := 0, 0
	for i, c := range e {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == '|' && depth == 0:
			parts, from = append(parts, e[from:i]), i+1
		}
		if depth < 0 {
			return nil, false
		}
	}
	return append(parts, e[from:]), depth == 0
}

// closing finds the bracket that closes the first one.
func closing(e string) int {
	depth := 0
	for i, c := range e {
		switch c {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 {
			return i
		}
	}
	return len(e) - 1
}
