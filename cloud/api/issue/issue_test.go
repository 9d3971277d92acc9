package issue

import (
	"path/filepath"
	"strings"
	"testing"

	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// An enrolment token names the broker where that is not at the URL: a collector
// can reach what its token names, and nothing else.
func TestEnrolTokenNamesTheBroker(t *testing.T) {
	store, err := edp.Open(t.Context(), filepath.Join(t.TempDir(), "lwc.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for broker, want := range map[string]string{
		"cloud.example:443":   "cloud.example:443",
		"broker.example:8883": "cloud.example:443 broker.example:8883",
	} {
		i := Issuer{Store: store, URL: "https://cloud.example", Endpoints: []string{broker}}
		given, err := i.EnrolToken(t.Context(), apitype.EnrolTokenRequest{})
		if err != nil {
			t.Fatal(err)
		}
		token, err := wire.ParseToken(wire.EnrolToken, secret.FromString(given.Token))
		if err != nil {
			t.Fatal(err)
		}
		if to, err := token.Reach(); err != nil || strings.Join(to, " ") != want {
			t.Errorf("%s: %q, %v", broker, to, err)
		}
		forAPI, err := i.APIToken(t.Context(), apitype.APITokenRequest{Name: "n", Role: string(edp.RoleStandard)})
		if err != nil {
			t.Fatal(err)
		}
		if token, err := wire.ParseToken(wire.APIToken, secret.FromString(forAPI.Token)); err != nil || token.Endpoints != nil {
			t.Errorf("an API token: %q, %v", token.Endpoints, err)
		}
	}
}
