package portal_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"lwc/cloud/api/apitest"
	"lwc/cloud/edp"
	"lwc/transport/secret"
)

// Whoever stole a session loses it when the password is reset, the role changes
// or the user is made anew; on pages as on the API.
func TestSessionsEnd(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, c *apitest.Cloud){
		"password": func(t *testing.T, c *apitest.Cloud) {
			must(t, c.Store.SetPassword(t.Context(), "the-standard", secret.FromString("another horse")))
		},
		"link": func(t *testing.T, c *apitest.Cloud) {
			link, err := c.Store.NewLink(t.Context(), edp.RoleAdmin, time.Hour)
			must(t, err)
			_, err = c.Store.UseLink(t.Context(), link, "the-standard", secret.FromString(password))
			must(t, err)
		},
		"made anew": func(t *testing.T, c *apitest.Cloud) {
			must(t, c.Store.DeleteUser(t.Context(), "the-standard"))
			must(t, c.Store.CreateUser(t.Context(), "the-standard", edp.RoleStandard, secret.FromString(password)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := apitest.Start(t)
			stolen := user(t, c, edp.RoleStandard)
			stolen.page("/runs")
			stolen.page("/api/v1/runs")
			change(t, c)
			if resp, _ := stolen.get("/api/v1/runs"); resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("the API: %s", resp.Status)
			}
			if resp, _ := stolen.get("/runs"); resp.StatusCode != http.StatusSeeOther {
				t.Errorf("a page: %s", resp.Status)
			}
		})
	}
}

func TestAccess(t *testing.T) {
	c := apitest.Start(t)
	v := user(t, c, edp.RoleAdmin)
	_, body := v.post("/access/link", url.Values{"role": {"standard"}})
	_, link, found := strings.Cut(body, `id="link-text">`)
	link, _, _ = strings.Cut(link, "<")
	if !found || !strings.HasPrefix(link, c.URL+"/link/") {
		t.Fatalf("no link in %s", body)
	}
	guest := newVisitor(t, c)
	guest.post(strings.TrimPrefix(link, c.URL), url.Values{"name": {"guest"}, "password": {password}, "again": {password}})
	if body := guest.page("/"); !strings.Contains(body, "guest") || !strings.Contains(body, "standard") {
		t.Error("the guest is not in")
	}
	v.post("/access/delete", url.Values{"name": {"the-admin"}})
	v.page("/access") // one cannot delete oneself
	v.post("/access/delete", url.Values{"name": {"guest"}})
	if resp, _ := guest.get("/"); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("the deleted guest gets %s", resp.Status)
	}
}

func TestRevoke(t *testing.T) {
	c := apitest.Start(t)
	c.Fill()
	v := user(t, c, edp.RoleAdmin)
	at := "/collectors/" + apitest.Collector
	if resp, _ := v.post(at+"/revoke", nil); resp.Header.Get("Location") != at {
		t.Errorf("revoking: %s to %q", resp.Status, resp.Header.Get("Location"))
	}
	if told := c.Hub.Told(); told[len(told)-1] != "revoked "+apitest.Collector {
		t.Errorf("the hub was told %v", told)
	}
	if body := v.page(at); !strings.Contains(body, `<span class="badge bad">revoked</span>`) || strings.Contains(body, at+"/revoke") {
		t.Error("the page does not say that the collector is revoked")
	}
	if resp, _ := v.post("/collectors/site-none-001/revoke", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown one: %s", resp.Status)
	}
}
