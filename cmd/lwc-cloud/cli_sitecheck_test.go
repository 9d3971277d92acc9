package main

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"lwc/cloud/api/apitype"
	"lwc/cloud/edp"
	"lwc/image/sitefile"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// tokenOf is a whole token of the cloud at url.
func tokenOf(url string) secret.Text {
	return wire.Token{Sort: wire.EnrolToken, URL: url, ID: "4711", Secret: secret.FromString("0123456789abcdef")}.Encode()
}

// siteOf is a file whose token is of the cloud at url, good for so long; zero: it does
// not say.
func siteOf(cloud string, lives time.Duration) string {
	f := sitefile.File{Token: tokenOf(cloud)}
	f.Internal.Port = sitefile.Port{MAC: "02:00:00:00:00:0a", Addresses: []string{"10.1.0.2/24"}}
	f.External.Port = sitefile.Port{MAC: "02:00:00:00:00:0b", DHCP: true, VLAN: 20}
	text := string(sitefile.Template(f))
	if lives != 0 {
		text = string(sitefile.About("4711", time.Now().Add(lives))) + text
	}
	return text
}

// A file is checked where an engineer sits, without a cloud: which cloud it names, and
// until when its token is good, never the token itself.
func TestImageCheck(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	t.Setenv("LWC_API_TOKEN", "")
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	const ports = "  internal port  02:00:00:00:00:0a 10.1.0.2/24\n  external port  02:00:00:00:00:0b DHCP VLAN 20\n"
	good := siteOf("https://cloud.example:8443", time.Hour)
	for name, c := range map[string]struct {
		text, want string
		args       []string
	}{
		"a token":         {good, ": good\n  cloud          cloud.example, port 8443\n" + ports + "  token          4711, good until " + until + "\n", nil},
		"no end":          {siteOf("https://cloud.example", 0), "  cloud          cloud.example, port 443\n" + ports + "  token          4711; the file does not say until when it is good (lwc-cloud enrol-token --list does)\n", nil},
		"it has run out":  {siteOf("https://cloud.example", -time.Hour), "The token has run out: the cloud refuses it. Get a new file.\n", nil},
		"this computer":   {siteOf("https://localhost:8443", time.Hour), "The cloud at localhost:8443 is the computer itself: a box never reaches it. Start the cloud with --public-url", nil},
		"a proxy":         {strings.Replace(good, "# proxy = ", "proxy = ", 1), "  proxy          http://proxy.example:3128\n", nil},
		"settings":        {withoutToken(good), "  cloud          the one that the box has enrolled with\n" + ports + "  token          none: only a box that has enrolled takes this file\n", []string{"--enrolled"}},
		"a used token":    {strings.Replace(good, string(tokenOf("https://cloud.example:8443").Reveal()), "used", 1), "  token          used: only a box that has enrolled", []string{"--enrolled"}},
		"for no new box":  {good, "A box that has enrolled refuses a token that it has not used: for new settings remove the line token.\n", []string{"--enrolled"}},
		"with its cloud":  {"endpoint = \"https://192.0.2.9\"\n" + withoutToken(good), "  cloud          192.0.2.9, port 443\n", []string{"--enrolled"}},
		"a gateway":       {strings.Replace(good, "# gateway = ", "gateway = ", 1), "  internal port  02:00:00:00:00:0a 10.1.0.2/24 via 10.1.0.1\n", nil},
		"by another name": {good, "The box looks for lwc.toml: call the file so on the volume, not berlin.toml.\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := s.file("berlin.toml", c.text)
			if out := s.ok(append([]string{"image", "check", "--config", file}, c.args...)...); !strings.Contains(out, c.want) || strings.Contains(out, "lwce1_") {
				t.Errorf("it says: %s\nwant %s", out, c.want)
			}
		})
	}
}

func withoutToken(text string) string {
	return regexp.MustCompile(`(?m)^token = .*\n`).ReplaceAllString(text, "")
}

// Who wants new settings for a box that has enrolled is not sent for a new token, which
// that box refuses.
func TestImageCheckOfAWrongFile(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	t.Setenv("LWC_API_TOKEN", "")
	good := siteOf("https://cloud.example", time.Hour)
	used, _ := sitefile.Scrub([]byte(good))
	const hint = "\nFor a new box that is so. For a box that has enrolled the file is good as it is: it needs no token for new settings. Check it with --enrolled"
	for name, c := range map[string]struct {
		text, want string
		hint       bool
	}{
		"a typing error": {strings.Replace(good, `"10.1.0.2/24"`, `"10.1.0.2"`, 1), "internal.addresses: ", false},
		"no token":       {withoutToken(good), "token: is missing", true},
		"a used token":   {string(used), "token: was used already", true},
		"both":           {strings.Replace(withoutToken(good), `"10.1.0.2/24"`, `"10.1.0.2"`, 1), "internal.addresses: ", false},
	} {
		t.Run(name, func(t *testing.T) {
			file := s.file("lwc.toml", c.text)
			for _, args := range [][]string{{"check"}, {"prepare", file}} {
				out, errs, code := s.run(append(append([]string{"image"}, args...), "--config", file)...)
				if code != exitFailed || out != "" || !strings.Contains(errs, file+" is wrong:\n") || !strings.Contains(errs, c.want) || strings.Contains(errs, hint) != c.hint {
					t.Errorf("%v: exit code %d\n%s%s\nwant %s, a hint %v", args, code, out, errs, c.want, c.hint)
				}
			}
		})
	}
}

// A file with which a box gets nowhere is made, for a trial on one machine, and says so.
func TestEnrolFileOfACloudThatIsThisComputer(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	out, errs, code := s.run("enrol-token", "--file", filepath.Join(s.dir, "lwc.toml"))
	host := must(url.Parse(s.cloud.URL)).Host
	if code != 0 || !strings.Contains(out, "written with token") || !strings.Contains(errs, "warning: the file says that the cloud is at "+host+", which is the computer itself: a box never reaches it.\nStart the cloud with --public-url https://NAME:PORT") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	s.cloud.Issuer.URL = "https://192.0.2.9"
	var quiet strings.Builder
	warnOfLoopback(&call{stderr: &quiet}, must(s.cloud.Issuer.EnrolToken(t.Context(), "ada", apitype.EnrolTokenRequest{})))
	if quiet.Len() != 0 {
		t.Errorf("of another one it says: %s", &quiet)
	}
}

// Who works on the cloud's own computer reaches it by another address than boxes do: the
// file is judged by the address that stands in it, before a token is made.
func TestEnrolFileIsJudgedByTheAddressOfBoxes(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr()
	startServe(t, dir, "--listen", addr, "--public-url", "https://192.0.2.9", "--public-url", "https://"+addr)
	token, errs, code := command(t, "api-token", "--data", dir, "--name", "me", "--role", "admin", "--url", "https://"+addr)
	if code != 0 {
		t.Fatal(errs)
	}
	t.Setenv("LWC_API_TOKEN", strings.TrimSpace(token))
	path := filepath.Join(t.TempDir(), "lwc.toml")
	site := []string{"enrol-token", "--file", path, "--internal-mac", "02:00:00:00:00:0a", "--internal-dhcp", "--external-mac", "02:00:00:00:00:0b", "--external-address"}
	if out, errs, code := command(t, append(site, "198.51.100.2/24")...); code != exitFailed || !strings.Contains(errs, "no token was made; the settings are wrong:\nexternal.addresses: the cloud at 192.0.2.9 is outside") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if out, _, _ := command(t, "enrol-token", "--list"); out != "no token is open\n" {
		t.Errorf("open: %s", out)
	}
	if out, errs, code := command(t, append(site, "192.0.2.2/24")...); code != 0 || !strings.Contains(out, "it is complete") || errs != "" {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

// A broker to which nothing leads is known only with the token.
func TestAFileWhoseBrokerIsOutOfReach(t *testing.T) {
	f := sitefile.File{Token: wire.Token{Sort: wire.EnrolToken, URL: "https://192.0.2.9", ID: "4711", Secret: secret.FromString("0123456789abcdef"), Endpoints: []string{"203.0.113.9:8883"}}.Encode()}
	f.External.Port = sitefile.Port{Addresses: []string{"192.0.2.10/24"}}
	const check = "fill in what is marked FILL IN, then check it: lwc-cloud image check --config x"
	step := nextStep("x", sitefile.Template(f), false)
	if !strings.HasPrefix(step, "it does not work as it is:\nline ") || !strings.Contains(step, "the cloud at 203.0.113.9 is outside") || !strings.HasSuffix(step, "\n"+check) {
		t.Errorf("it says: %s", step)
	}
	f.External.Gateway = "192.0.2.1"
	if step := nextStep("x", sitefile.Template(f), false); step != check {
		t.Errorf("with a gateway it says: %s", step)
	}
}

// Who has forgotten which tokens are about asks, and sees none of them.
func TestEnrolTokenList(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	if out := s.ok("enrol-token", "--list"); out != "no token is open\n" {
		t.Errorf("it says: %s", out)
	}
	s.ok("enrol-token", "--file", filepath.Join(s.dir, "lwc.toml"), "--collector", "site-paris-02", "--label", "Paris, rack 3", "--ttl", "14d")
	token := must(wire.ParseToken(wire.EnrolToken, secret.FromString(s.ok("enrol-token", "--uses", "3"))))
	out := s.ok("enrol-token", "--list")
	now := time.Now().UTC()
	for _, want := range []string{"TOKEN", token.ID, "any id, 3 times", "site-paris-02", "Paris, rack 3", "test-admin", now.Format("2006-01-02T"), now.Add(14 * day).Format("2006-01-02T")} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	var list []apitype.OpenEnrolToken
	text := s.ok("enrol-token", "--list", "--json")
	if err := json.Unmarshal([]byte(text), &list); err != nil || len(list) != 2 || list[0].ID != token.ID || list[1].Label != "Paris, rack 3" || strings.Contains(out+text, "lwce1_") {
		t.Errorf("%v: %s", err, text)
	}
	s.ok("enrol-token", "--revoke", token.ID)
	if _, errs, code := s.run("enrol-token", "--revoke", token.ID); code != exitFailed || !strings.Contains(errs, "no token "+token.ID+" is known: lwc-cloud enrol-token --list shows those that are open") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	for _, args := range [][]string{{"--list", "--uses", "2"}, {"--list", "--revoke", token.ID}, {"--list", "--file", "x"}, {"--json"}} {
		if out, errs, code := s.run(append([]string{"enrol-token"}, args...)...); code != exitUsage || out != "" {
			t.Errorf("%v: exit code %d\n%s%s", args, code, out, errs)
		}
	}
	if _, errs, code := s.run("enrol-token", "--ttl", "2w"); code != exitUsage || !strings.Contains(errs, "write it as 14d (days), 36h (hours) or 90m (minutes)") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// The folder of a result has to be there.
func TestImageOutFolder(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	t.Setenv("LWC_API_TOKEN", "")
	config, volume := s.file("lwc.toml", siteOf("https://cloud.example", 0)), filepath.Join(s.dir, "conf.img")
	s.ok("image", "volume", "--config", config, "--out", volume)
	none := filepath.Join(s.dir, "none")
	for _, args := range [][]string{{"volume"}, {"prepare", volume}} {
		_, errs, code := s.run(append(append([]string{"image"}, args...), "--config", config, "--out", filepath.Join(none, "box.img"))...)
		if code != exitFailed || !strings.Contains(errs, "the folder "+none+" does not exist: make it first, or name another with --out") {
			t.Errorf("%v: exit code %d: %s", args, code, errs)
		}
	}
	if _, err := os.Stat(none); err == nil {
		t.Error("the folder is there")
	}
}
