package junos

import (
	"regexp"
	"strings"
	"testing"
)

// An expression that is taken for harmless allows no command that is not.
func FuzzAllowedExcess(f *testing.F) {
	for _, s := range []string{"(^show version$)|(^quit$)", "^(show (a|b)|show log)$", "show.*", "[r]equest", "(show|)", "show*", "((show))", "^", "^show [(]|clear [)]", "^show \\(|clear|\\)", "^show []|(]clear|[)]", `"show a" "request b"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, expression string) {
		if len(allowedExcess(expression)) > 0 || strings.TrimSpace(expression) == "" {
			return
		}
		match, err := regexp.Compile("(?i)" + expression) // anywhere in the command
		if err != nil || strings.Contains(expression, `"`) {
			return
		}
		for _, command := range append(changing, "clear x show", "clear (", "request y quit") {
			if !strings.HasPrefix(command, "show") && match.MatchString(command) {
				t.Errorf("%q allows %q", expression, command)
			}
		}
	})
}
