package sitefile

import (
	"errors"
	"strings"
	"testing"

	"lwc/transport/secret"
	"lwc/transport/wire"
)

// testToken is a whole token of a cloud that does not exist.
func testToken() secret.Text {
	return wire.Token{Sort: wire.EnrolToken, URL: "https://cloud.example:8443", CAPin: [32]byte{1, 2, 3}, ID: "t1",
		Secret: secret.FromString("0123456789abcdef")}.Encode()
}

// filled is a template with what an engineer fills in.
func filled() File {
	f := File{Token: testToken(), CollectorID: "site-0001"}
	f.Internal.Port = Port{MAC: "52:54:00:12:34:56", Addresses: []string{"10.1.0.2/24"}, Routes: []string{"10.0.0.0/8 via 10.1.0.1"}}
	f.External.Port = Port{MAC: "52:54:00:12:34:57", DHCP: true}
	return f
}

func TestTemplateOfAFilledFileIsGood(t *testing.T) {
	f, err := Parse(Name, Template(filled()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Endpoint != "https://cloud.example:8443" || !strings.HasPrefix(f.CAPin, "010203") || f.Internal.MAC != "52:54:00:12:34:56" {
		t.Errorf("file is %+v", f)
	}
}

func TestAnEmptyTemplateNamesWhatIsToBeFilledIn(t *testing.T) {
	_, err := Parse(Name, Template(File{}))
	var found Problems
	if !errors.As(err, &found) {
		t.Fatalf("error is %v", err)
	}
	var keys []string
	for _, p := range found {
		if p.Line == 0 {
			t.Errorf("%s has no line", p)
		}
		keys = append(keys, p.Key)
	}
	if got := strings.Join(keys, " "); got != "token internal.mac internal.addresses external.mac" {
		t.Errorf("problems are of %s:\n%v", got, err)
	}
}
