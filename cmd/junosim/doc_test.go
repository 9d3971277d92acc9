package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"lwc/junos/junostest"
)

// TestDocumentedFaults holds docs/junosim.md against the faults that there are.
// LWC_UPDATE=1 writes the table anew.
func TestDocumentedFaults(t *testing.T) {
	const path, head = "../../docs/junosim.md", "| fault | at | what the host does |\n|---|---|---|\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, table, ok := strings.Cut(string(text), head)
	if !ok {
		t.Fatal("the page has no table of faults")
	}
	want := faultTable()
	if os.Getenv("LWC_UPDATE") != "" {
		if err := os.WriteFile(path, []byte(before+head+want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("the table of faults is out of date: LWC_UPDATE=1 go test ./cmd/junosim writes it. Want\n%s", want)
	}
}

func faultTable() string {
	var b strings.Builder
	for _, k := range junostest.FaultKinds() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", strings.ReplaceAll(string(k.Name)+k.Arg, "|", "\\|"), places(k), k.Text)
	}
	return b.String()
}
