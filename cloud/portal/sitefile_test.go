package portal_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/image/sitefile"
	"lwc/transport/wire"
)

func siteOfForm() url.Values {
	return url.Values{
		"collector": {"site-paris-02"}, "ttl": {"24h"},
		"internal_mac": {"02:00:00:00:00:0a"}, "internal_how": {"static"}, "internal_addresses": {"10.1.0.2/24, 10.2.0.2/24"}, "internal_gateway": {"10.1.0.1"},
		"internal_dns": {"10.1.0.53"}, "internal_vlan": {"20"}, "internal_routes": {"10.8.0.0/16 via 10.1.0.9\r\n\r\n10.9.0.0/16 via 10.1.0.9\r\n"}, "internal_ports": {"22 830"},
		"external_mac": {"02:00:00:00:00:0b"}, "external_how": {"dhcp"}, "external_addresses": {"192.0.2.7/24"}, "external_gateway": {"192.0.2.1"},
		"external_ntp": {"192.0.2.123"}, "external_proxy": {"http://proxy.example:3128"}, "external_proxy_user": {"site"}, "external_proxy_password": {apitest.Canary},
	}
}

// The form becomes the file that a box reads, in the browser's folder for downloads.
func TestSiteFile(t *testing.T) {
	c := apitest.Start(t)
	v := user(t, c, edp.RoleAdmin)
	resp, body := v.post("/enrol/lwc.toml", siteOfForm())
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Disposition") != `attachment; filename="lwc.toml"` || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%s %v\n%s", resp.Status, resp.Header, body)
	}
	f, err := sitefile.Parse("lwc.toml", []byte(body))
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	token, err := wire.ParseToken(wire.EnrolToken, f.Token)
	if err != nil || token.URL != c.URL {
		t.Errorf("the token is of %q: %v", token.URL, err)
	}
	if !strings.Contains(body, "--revoke "+token.ID+"\n") {
		t.Errorf("nothing tells how the token is revoked:\n%s", body)
	}
	in, ext := f.Internal, f.External
	if in.MAC != "02:00:00:00:00:0a" || in.VLAN != 20 || in.Gateway != "10.1.0.1" || !slices.Equal(in.Addresses, []string{"10.1.0.2/24", "10.2.0.2/24"}) || !slices.Equal(in.DNS, []string{"10.1.0.53"}) ||
		!slices.Equal(in.Routes, []string{"10.8.0.0/16 via 10.1.0.9", "10.9.0.0/16 via 10.1.0.9"}) || !slices.Equal(in.Ports, []string{"22", "830"}) {
		t.Errorf("internal: %+v", in)
	}
	if !ext.DHCP || ext.Addresses != nil || ext.Gateway != "" || !slices.Equal(ext.NTP, []string{"192.0.2.123"}) || ext.ProxyUser != "site" || string(ext.ProxyPassword.Reveal()) != apitest.Canary {
		t.Errorf("external: %+v", ext)
	}
}

// A form with nothing in it gives a file to fill in.
func TestSiteFileToFillIn(t *testing.T) {
	v := user(t, apitest.Start(t), edp.RoleAdmin)
	resp, body := v.post("/enrol/lwc.toml", url.Values{})
	if resp.StatusCode != http.StatusOK || !strings.Contains(body, "FILL IN") || !strings.Contains(body, string(wire.EnrolToken)) {
		t.Errorf("%s\n%s", resp.Status, body)
	}
}

// What is wrong is said at its field, everything but the password stands there again,
// and no token is shown.
func TestSiteFileErrors(t *testing.T) {
	v := user(t, apitest.Start(t), edp.RoleAdmin)
	for name, c := range map[string]struct{ field, value, at, want string }{
		"address":   {"internal_addresses", "10.1.0.2", "Internal Port, addresses", "is not an address with the length of its subnet"},
		"MAC":       {"external_mac", "x", "External Port, hardware address", "write the hardware address"},
		"same MAC":  {"external_mac", "02:00:00:00:00:0A", "External Port, hardware address", "is the socket of the internal port too"},
		"VLAN":      {"internal_vlan", "9999", "Internal Port, VLAN", "is not a VLAN"},
		"no number": {"internal_vlan", "x", "Internal Port, VLAN", "give a number"},
		"route":     {"internal_routes", "10.0.0.0/8", "Internal Port, routes", "is not a route"},
		"proxy":     {"external_proxy", "proxy", "Proxy", "begins neither with"},
		"collector": {"collector", "X", "", "a collector id has"},
	} {
		t.Run(name, func(t *testing.T) {
			form := siteOfForm()
			form.Set(c.field, c.value)
			if name == "same MAC" {
				form.Del("internal_vlan")
			}
			resp, body := v.post("/enrol/lwc.toml", form)
			if resp.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(body, c.want) || !strings.Contains(body, c.at) {
				t.Errorf("%s, no %q or %q in\n%s", resp.Status, c.at, c.want, body)
			}
			if strings.Contains(body, string(wire.EnrolToken)) || strings.Contains(body, apitest.Canary) {
				t.Error("the page holds a secret")
			}
			if !strings.Contains(body, `value="10.1.0.1"`) || !strings.Contains(body, "10.9.0.0/16 via 10.1.0.9") && c.field != "internal_routes" {
				t.Error("the form is empty again")
			}
			if c.at != "" && !strings.Contains(body, `class="wrong"`) {
				t.Error("nothing stands at the field")
			}
		})
	}
}

func TestSiteFileIsForAdmins(t *testing.T) {
	v := user(t, apitest.Start(t), edp.RoleStandard)
	if resp, body := v.post("/enrol/lwc.toml", siteOfForm()); resp.StatusCode != http.StatusForbidden || strings.Contains(body, string(wire.EnrolToken)) {
		t.Errorf("a standard user: %s", resp.Status)
	}
}

// The open tokens stand on the page, with who made them and what for, and can be
// revoked there; what they say themselves does not.
func TestOpenTokensOfThePortal(t *testing.T) {
	c := apitest.Start(t)
	v := user(t, c, edp.RoleAdmin)
	if page := v.page("/enrol"); !strings.Contains(page, "None: nobody can enrol") || !strings.Contains(page, "<code>"+strings.TrimPrefix(c.URL, "https://")+"</code>, which is the computer itself") {
		t.Errorf("without any:\n%s", page)
	}
	form := siteOfForm()
	form.Set("label", "Paris, <rack> 3")
	resp, file := v.post("/enrol/lwc.toml", form)
	f, err := sitefile.Parse("lwc.toml", []byte(file))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v", resp.Status, err)
	}
	text := string(f.Token.Reveal())
	token, err := wire.ParseToken(wire.EnrolToken, f.Token)
	must(t, err)
	id := token.ID
	page := v.page("/enrol")
	_, list, _ := strings.Cut(page, `id="open"`)
	for _, want := range []string{id, "Paris, &lt;rack&gt; 3", "site-paris-02", "<td>the-admin</td>"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in\n%s", want, list)
		}
	}
	if strings.Contains(page, text) {
		t.Error("the page shows the token")
	}
	if _, page := v.post("/enrol", url.Values{"uses": {"0"}}); !strings.Contains(page, id) {
		t.Error("a form with a fault shows no open token")
	}
	v.post("/enrol/revoke", url.Values{"id": {id}})
	if page := v.page("/enrol"); !strings.Contains(page, "None: nobody can enrol") {
		t.Errorf("it is revoked:\n%s", page)
	}
}

// Who has a box forget all reads before what goes, what stays, and what to do next.
func TestTheFactoryResetIsExplained(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	page := user(t, c, edp.RoleAdmin).page("/collectors/" + apitest.Collector + "/reset")
	for _, want := range []string{"What is erased on the box", "the proxy and its password", "What stays", "all facts, runs and events",
		"What comes next", "WAITING FOR SETTINGS", `href="/enrol?collector=` + apitest.Collector + `"`, "revoke " + apitest.Collector} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}
