package issue

import (
	"path/filepath"
	"strings"
	"testing"

	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/image/sitefile"
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
		given, err := i.EnrolToken(t.Context(), "ada", apitype.EnrolTokenRequest{})
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

// The file of a token that is bound to a collector proposes no other id, whatever the
// settings that it was made from say.
func TestTheFileNamesNoOtherCollector(t *testing.T) {
	store, err := edp.Open(t.Context(), filepath.Join(t.TempDir(), "lwc.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	i := Issuer{Store: store, URL: "https://cloud.example"}
	for bound, want := range map[string]string{"site-0002": "", "": "site-0001"} {
		token, err := i.EnrolToken(t.Context(), "ada", apitype.EnrolTokenRequest{Collector: bound})
		if err != nil {
			t.Fatal(err)
		}
		old := sitefile.File{CollectorID: "site-0001", Token: secret.FromString("old"),
			Internal: sitefile.Internal{Port: sitefile.Port{MAC: innerStandIn, DHCP: true}}, External: sitefile.External{Port: sitefile.Port{MAC: outerStandIn, DHCP: true}}}
		text, complete, err := SiteFile(token, old)
		if err != nil || !complete {
			t.Fatalf("%v, %v: %s", complete, err, text)
		}
		f, err := sitefile.Parse(sitefile.Name, text)
		if err != nil || f.CollectorID != want || string(f.Token.Reveal()) != token.Token {
			t.Errorf("bound to %q: it proposes %q, %v", bound, f.CollectorID, err)
		}
	}
}
