package wall

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden texts")

// TestGolden compares what nft says of the tables with the texts in testdata.
func TestGolden(t *testing.T) {
	for name, make := range map[string]func(Port) Port{
		"closed":            func(Port) Port { return Port{} },
		"internal":          func(p Port) Port { return internal(p, false) },
		"internal-ipv6":     func(p Port) Port { return internal(p, true) },
		"external":          func(p Port) Port { return external(p, false) },
		"external-ipv6":     func(p Port) Port { return external(p, true) },
		"carrier-ipv6":      func(p Port) Port { p.Carrier, p.IPv6 = true, true; return p },
		"internal-only-dns": func(p Port) Port { p = internal(p, false); p.Ports = nil; return p },
	} {
		t.Run(name, func(t *testing.T) {
			port, _ := wire(t)
			w, p := port.open(), make(port.link("p0"))
			must(t, w.Apply(p))
			got := ruleset(port)
			file := filepath.Join("testdata", name+".nft")
			if *update {
				must(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			must(t, err)
			if got != string(want) {
				t.Errorf("nft list ruleset says\n%s\nwant\n%s", got, want)
			}
			if problems, err := w.Check(p); err != nil || len(problems) > 0 {
				t.Errorf("Check: %q, %v", problems, err)
			}
			if d := w.Degraded(); len(d) > 0 {
				t.Logf("degraded: %q", d)
			}
		})
	}
}

// ruleset is what nft says of all tables, without what depends on the version of
// nft and the kernel: the owner and, where there are any, the doubles.
func ruleset(h *host) string {
	h.t.Helper()
	var lines []string
	for line := range strings.Lines(h.must("nft list ruleset")) {
		if !strings.HasPrefix(line, "\tflags owner") {
			lines = append(lines, ownerName.ReplaceAllString(line, "{\n"))
		}
	}
	text := strings.ReplaceAll(strings.Join(lines, ""), "{\n\n", "{\n") // the line of the flags left one behind
	tables := strings.SplitAfter(text, "\n}\n")
	slices.Sort(tables)
	return withoutDoubles(strings.Join(tables, ""))
}

func withoutDoubles(rules string) string {
	tables := strings.SplitAfter(rules, "\n}\n")
	return strings.Join(slices.DeleteFunc(tables, func(s string) bool { return strings.Contains(s, " "+aliveName+" {") }), "")
}

var (
	ownerName    = regexp.MustCompile(`\{ # progname [^#\n]*(?:# handle \d+)?\n`)
	tableHandles = regexp.MustCompile(`(?:table|chain) [^\n]*# handle \d+`)
	timeouts     = regexp.MustCompile(` (timeout|expires) [0-9a-z]+`)
)
