package edp_test

import (
	"testing"

	"lwc/cloud/edp"
	"lwc/cloud/rollout"
	"lwc/transport/wire"
)

// Who changes a policy, shuts a collector out or takes a token back is told, with what
// was there before; what changes nothing tells nothing.
func TestDecisionsAreTold(t *testing.T) {
	s := open(t)
	ctx := t.Context()
	enrol(t, s, site)
	ok(t, s.SetUpdatePolicy(ctx, rollout.Policy{Mode: rollout.Automatic}, "ada"))
	says(t, s, "", edp.EventPolicyChanged, "by ada: as soon as there is a release; it was: daily at 02:00 UTC within 3h, 7 days")
	events := func() int { return len(must[[]wire.Event](t)(s.Events(ctx, "", 1000))) }
	n := events()
	ok(t, s.SetUpdatePolicy(ctx, rollout.Policy{Mode: rollout.Automatic}, "ada"))
	if events() != n {
		t.Error("the same policy again is told")
	}
	ok(t, s.SetUpdatePolicy(ctx, rollout.Policy{}, "bob"))
	says(t, s, "", edp.EventPolicyChanged, "by bob: daily at 02:00 UTC", "it was: as soon as there is a release")
	f := smallFleet(site, "edge-1")
	ok(t, second(s.PutFleet(ctx, f)))
	n = events()
	f.By, f.Devices = "ada", append(f.Devices, device("edge-2"))
	ok(t, second(s.PutFleet(ctx, f)))
	if events() != n {
		t.Error("another device is told as a policy")
	}
	f.Updates = rollout.Policy{Mode: rollout.Approval}
	ok(t, second(s.PutFleet(ctx, f)))
	says(t, s, site, edp.EventPolicyChanged, "by ada: after an approval", "it was: the cloud's default")
	id, _, err := s.NewAPIToken(ctx, "laptop", edp.RoleAdmin, 0)
	ok(t, err)
	ok(t, s.DeleteAPIToken(ctx, id, "ada"))
	says(t, s, "", edp.EventAPITokenRevoked, "API token "+id+" of laptop (admin) was revoked by ada")
	token := func() string {
		id, _, err := s.NewEnrolToken(ctx, edp.EnrolTokenSpec{Collector: site})
		ok(t, err)
		return id
	}
	id = token()
	ok(t, s.RevokeEnrolToken(ctx, id, "ada"))
	says(t, s, site, edp.EventEnrolTokenRevoked, "enrolment token "+id+" was revoked by ada")
	token()
	token()
	ok(t, s.Revoke(ctx, site, "bob"))
	says(t, s, site, edp.EventRevoked, "the collector was revoked by bob; the 2 enrolment tokens that were bound to it are void")
	n = events()
	ok(t, s.Revoke(ctx, site, "bob"))
	if events() != n {
		t.Error("it was shut out already, and is told again")
	}
	again := newToken(t, s, edp.EnrolTokenSpec{Collector: site})
	if _, err := admit(t, s, again, site, "key 2"); err != nil {
		t.Fatal(err)
	}
	ok(t, s.Revoke(ctx, site, "bob"))
	if e := must[[]wire.Event](t)(s.Events(ctx, site, 1))[0]; e.Text != "the collector was revoked by bob" {
		t.Errorf("its token was used: %q", e.Text)
	}
}
