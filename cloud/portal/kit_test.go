package portal_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
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

// covered makes sure that the walk above visits every operation of the API that
// reads.
func covered(t *testing.T, v *visitor, pages []string) {
	t.Helper()
	skip := []string{"/api/v1/users", "/api/v1/api-tokens", "/api/v1/enrol-tokens"} // admins only; tested with the API
	for path := range maps.Keys(getPaths(t, v)) {
		want := strings.Split(path, "/")
		ok := slices.Contains(skip, path) || slices.ContainsFunc(pages, func(p string) bool {
			p, _, _ = strings.Cut(p, "?")
			got := strings.Split(p, "/")
			return len(got) == len(want) && !slices.ContainsFunc(indices(want), func(i int) bool {
				return !strings.HasPrefix(want[i], "{") && want[i] != got[i]
			})
		})
		if !ok {
			t.Errorf("the walk does not visit %s", path)
		}
	}
}

func indices(s []string) []int {
	out := make([]int, len(s))
	for i := range s {
		out[i] = i
	}
	return out
}
