package uplink

import (
	"errors"
	"testing"

	"lwc/transport/wire"
)

// What the cloud may order is taken: a factory reset once was not.
func TestEveryKindOfJobIsTaken(t *testing.T) {
	r := receiver{u: &Uplink{}}
	for _, kind := range append(wire.JobKinds(), wire.JobFactoryReset) {
		if err := r.usable(wire.Job{ID: "j", Kind: kind}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if err := r.usable(wire.Job{ID: "j", Kind: "brew-coffee"}); !errors.Is(err, errKind) {
		t.Errorf("a kind that does not exist: %v", err)
	}
}
