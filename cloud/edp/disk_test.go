package edp_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"lwc/cloud/edp"
	"lwc/testdata/smalldisk"
	"lwc/transport/wire"
)

// A full disk changes nothing by halves, and what could not be stored can be once
// there is room, without a restart.
func TestAFullDiskLosesNothing(t *testing.T) {
	dir, inside := smalldisk.Dir(t, 16<<20)
	if !inside {
		return
	}
	s := openAt(t, filepath.Join(dir, "edp.db"))
	enrol(t, s, site)
	must[[]edp.Change](t)(s.PutFleet(t.Context(), smallFleet(site, "edge-1")))
	run0 := wire.NewID()
	put(t, s, doc(site, run0, "edge-1", "before"))
	for round := range 3 {
		free := smalldisk.Fill(t, dir)
		var kept []edp.Document
		var err error
		for i := 0; err == nil && i < 5000; i++ {
			d := doc(site, run0, "edge-1", fmt.Sprintf("item-%d-%d", round, i))
			d.Body = append(d.Body, noise(20<<10)...)
			d.SHA256 = wire.Digest(d.Body)
			var st []edp.PutStatus
			if st, err = s.PutDocuments(t.Context(), []edp.Document{d}); err == nil && st[0] == edp.PutStored {
				kept = append(kept, d)
			}
		}
		if !errors.Is(err, edp.ErrUnavailable) {
			t.Fatalf("the disk is full and the error is %v", err)
		}
		for _, d := range kept {
			must[edp.Document](t)(s.Document(t.Context(), d.ID)) // reading still works
		}
		before := run(t, s, run0)
		free()
		d := doc(site, run0, "edge-1", fmt.Sprintf("after-%d", round))
		if st := put(t, s, d); st[0] != edp.PutStored {
			t.Fatalf("with room again: %v", st)
		}
		if r := run(t, s, run0); r.Stored != before.Stored+1 {
			t.Errorf("%d stored, %d before", r.Stored, before.Stored)
		}
		sound(t, s, run0)
	}
}
