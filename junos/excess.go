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
// but view shows one part of the configuration, with secrets left out, and has no
// command of its own that changes anything.
func lookingFlags() []string {
	return []string{"view", "view-configuration", "access", "admin", "firewall", "flow-tap", "interface",
		"pgcp-session-mirroring", "routing", "snmp", "storage", "system", "unified-edge"}
}

// actingFlags are the others, by the words of the same table and by the commands
// that the guide lists for each. Two of them sound as if they only looked: security
// has the clear security commands, those for keys and certificates among them. A
// flag that ends in -control and is not named here changes the part it is named
// after.
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
		"security":               "can clear security alarms, logs, keys and certificates",
		"shell":                  "can start a shell",
		"trace":                  "can read and follow every log and trace file, capture traffic and, on some releases, clear logs",
	}
}

// allowedExcess judges an allow-commands expression: each of its alternatives has
// to be bound to the beginning of the command by ^ and to begin with the word of a
// command that only looks. Junos reads POSIX 1003.2 without regard to case and
// finds an expression anywhere in a command, so that "show" alone allows "file
// show" too. Lists of allow-commands-regexps come in quotes.
func allowedExcess(expression string) []string {
	var found []string
	for _, part := range alternatives(strings.ToLower(expression)) {
		begins, ok := beginnings(part, false, maxNesting)
		if !ok {
			return []string{"allow-commands: is an expression that cannot be judged"}
		}
		for _, b := range begins {
			switch {
			case !slices.Contains([]string{"show", "quit", "exit"}, b.word):
				found = append(found, fmt.Sprintf("allow-commands: allows commands that begin with %q", b.word))
			case !b.bound:
				found = append(found, fmt.Sprintf("allow-commands: allows commands that have %q anywhere in them, since no ^ stands before it", b.word))
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// alternatives takes a list in quotes apart.
func alternatives(expression string) []string {
	if strings.TrimSpace(expression) == "" {
		return nil
	}
	if !strings.Contains(expression, `"`) {
		return []string{expression}
	}
	return slices.DeleteFunc(strings.Split(expression, `"`), func(part string) bool { return strings.Trim(part, " |") == "" })
}

var plainWord = regexp.MustCompile(`^([a-z][a-z-]*)(?:[ $.]|$)`)

// maxNesting of brackets is beyond what anybody writes by hand.
const maxNesting = 16

// beginning is what an alternative begins with.
type beginning struct {
	word  string
	bound bool // by ^ to where the command begins
}

// beginnings returns what each alternative of an expression begins with. ok is
// false where one begins with anything but a plain word: a class of characters, a
// wildcard, nothing at all, a bracket that is not closed.
func beginnings(expression string, bound bool, depth int) (all []beginning, ok bool) {
	parts, ok := splitTop(expression)
	if !ok || depth == 0 {
		return nil, false
	}
	for _, part := range parts {
		begins, ok := beginningsOfOne(part, bound, depth)
		if !ok {
			return nil, false
		}
		all = append(all, begins...)
	}
	return all, true
}

func beginningsOfOne(part string, bound bool, depth int) ([]beginning, bool) {
	e := strings.TrimLeft(part, "^ ")
	bound = bound || strings.HasPrefix(part, "^")
	if strings.HasPrefix(e, "(") {
		inner, rest := e[1:closing(e)], e[closing(e)+1:]
		if rest != "" && !strings.ContainsRune(" $", rune(rest[0])) {
			return nil, false // a count, or a word that goes on behind the bracket
		}
		return beginnings(inner, bound, depth-1)
	}
	m := plainWord.FindStringSubmatch(e)
	if m == nil {
		return nil, false
	}
	return []beginning{{m[1], bound}}, true
}

// splitTop splits at the bars outside of brackets. ok is false where the
// brackets do not match. What stands for itself, behind a backslash or in square
// brackets, becomes NUL, which begins no word.
func splitTop(e string) (parts []string, ok bool) {
	e, ok = withoutLiterals(e)
	if !ok {
		return nil, false
	}
	depth, from := 0, 0
	for i, c := range []byte(e) {
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

// withoutLiterals is not ok where a literal does not end, or holds what releases
// may read differently.
func withoutLiterals(e string) (string, bool) {
	b := []byte(e)
	for i := 0; i < len(b); i++ {
		n := 1
		switch b[i] {
		case '\\':
			n = 2
		case '[':
			n = classLength(e[i:])
		default:
			continue
		}
		if n < 2 || i+n > len(b) {
			return "", false
		}
		clear(b[i : i+n])
		i += n - 1
	}
	return string(b), true
}

// classLength is that of the class of characters at the beginning, 0 when it has
// no end or holds another bracket or a backslash. A bracket that comes first, as
// it may, is one of these.
func classLength(e string) int {
	n := strings.IndexByte(e, ']') + 1
	if inside := strings.TrimPrefix(e[1:max(1, n-1)], "^"); inside == "" || strings.ContainsAny(inside, `[\`) {
		return 0
	}
	return n
}

// closing finds the bracket that closes the first one.
func closing(e string) int {
	depth := 0
	for i, c := range []byte(e) {
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
