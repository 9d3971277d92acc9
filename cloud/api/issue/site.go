package issue

import (
	"encoding/hex"
	"errors"
	"fmt"

	"lwc/cloud/api/apitype"
	"lwc/image/sitefile"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// Hardware addresses that stand in, while a file is checked, for those that are
// not known yet: locally administered (IEEE 802, section 8.2.2).
const innerStandIn, outerStandIn = "02:6c:77:63:00:01", "02:6c:77:63:00:02"

// CheckSite says what is wrong with what is known of a site, before a token is made
// for it: url is that of the cloud. What is missing is no fault, it is filled in at
// the site. The error is sitefile.Problems, without lines.
func CheckSite(url string, f sitefile.File) error {
	f.Endpoint = url
	if f.Internal.MAC == "" {
		f.Internal.MAC = innerStandIn
	}
	if f.External.MAC == "" {
		f.External.MAC = outerStandIn
	}
	for _, p := range []*sitefile.Port{&f.Internal.Port, &f.External.Port} {
		p.DHCP = p.DHCP || len(p.Addresses) == 0
	}
	_, err := sitefile.ParseSettings(sitefile.Name, f.Settings())
	var problems sitefile.Problems
	if !errors.As(err, &problems) {
		return err
	}
	for i := range problems {
		problems[i].Line, problems[i].Column = 0, 0 // of a text that nobody sees
	}
	return problems
}

// SiteFile is lwc.toml for one box: the token, and what is known of the site; the
// rest is explained in it. Complete says that nothing has to be filled in.
func SiteFile(t apitype.EnrolToken, f sitefile.File) (text []byte, complete bool, err error) {
	token, err := wire.ParseToken(wire.EnrolToken, secret.FromString(t.Token))
	if err != nil {
		return nil, false, fmt.Errorf("making a file of a site: %w", err)
	}
	f.Token, f.TokenUsed = secret.FromString(t.Token), false
	f.Endpoint, f.CAPin = token.URL, hex.EncodeToString(token.CAPin[:])
	if t.Collector != "" {
		f.CollectorID = "" // the token says it
	}
	text = append(sitefile.About(t.ID, t.Expires), sitefile.Template(f)...)
	_, wrong := sitefile.Parse(sitefile.Name, text)
	return text, wrong == nil, nil
}
