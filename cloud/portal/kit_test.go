package portal_test

import (
	"encoding/json"
	"testing"
)

// getPaths returns the paths of the API that can be read.
func getPaths(t *testing.T, v *visitor) map[string]bool {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	must(t, json.Unmarshal([]byte(v.page("/api/openapi.json")), &doc))
	out := map[string]bool{}
	for path, ops := range doc.Paths {
		if ops["get"] != nil {
			out[path] = true
		}
	}
	return out
}
