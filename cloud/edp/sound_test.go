package edp_test

import (
	"testing"

	"lwc/cloud/edp"
)

// sound checks that the counters of a run are those of its rows.
func sound(t testing.TB, s *edp.Store, id string) {
	t.Helper()
	told, counted, err := s.Recount(t.Context(), id)
	ok(t, err)
	if told != counted {
		t.Errorf("run %s says %+v, its rows say %+v", id, told, counted)
	}
}
