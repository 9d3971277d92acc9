package main

import "strings"

// linesOf finds the line of each key of a TOML text, by its dotted name. It
// knows tables and plain keys, which is all that the configuration has; the
// decoder tells of a key that is unknown, but not where it stands.
func linesOf(text string) map[string]int {
	out := map[string]int{}
	table, quoted := "", ""
	for i, line := range strings.Split(text, "\n") {
		if quoted != "" {
			quoted = stillQuoted(line, quoted)
			continue
		}
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			if name, ok := tableName(line); ok {
				table = name + "."
				note(out, name, i+1)
			}
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		note(out, table+bareKey(name), i+1)
		for _, q := range []string{`"""`, `'''`} {
			if strings.Count(value, q) == 1 {
				quoted = q
			}
		}
	}
	return out
}

// tableName reads "[a]" and "[[a]]".
func tableName(line string) (string, bool) {
	end := strings.IndexByte(line, ']')
	if end < 0 || strings.Contains(line[:end], "=") || strings.Contains(line[:end], ",") {
		return "", false
	}
	return bareKey(strings.TrimLeft(line[:end], "[")), true
}

// bareKey takes the blanks and quotes off the parts of a dotted key.
func bareKey(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	return strings.Join(parts, ".")
}

func note(out map[string]int, key string, line int) {
	if out[key] == 0 {
		out[key] = line
	}
}

func stillQuoted(line, quote string) string {
	if strings.Contains(line, quote) {
		return ""
	}
	return quote
}
