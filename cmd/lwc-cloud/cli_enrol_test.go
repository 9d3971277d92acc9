package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/cloud/edp"
	"lwc/image/sitefile"
	"lwc/transport/wire"
)

// site reads a file that the cloud made.
func (s *shell) site(path string) *sitefile.File {
	s.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		s.t.Fatal(err)
	}
	f, err := sitefile.Parse(path, text)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, text)
	}
	return f
}

// Every key of lwc.toml has its flag, and what the flags say is what a box reads.
func TestEnrolFile(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	path := filepath.Join(s.dir, "lwc.toml")
	out := s.ok("enrol-token", "--file", path, "--collector", "site-paris-02",
		"--internal-mac", "02:00:00:00:00:0a", "--internal-address", "10.1.0.2/24", "--internal-address", "10.2.0.2/24", "--internal-gateway", "10.1.0.1",
		"--internal-route", "10.0.0.0/8 via 10.1.0.9", "--internal-dns", "10.1.0.53", "--internal-mtu", "1400", "--device-port", "22", "--device-port", "2200-2299",
		"--external-mac", "02:00:00:00:00:0b", "--external-vlan", "20", "--external-dhcp", "--ntp", "192.0.2.123", "--allow", "cloud.example:443",
		"--proxy", "http://proxy.example:3128", "--proxy-user", "site", "--proxy-password-file", s.file("password", "hush\n"), "--no-cloud-clock")
	if !strings.Contains(out, path+" written with token ") || !strings.Contains(out, "it is complete") || strings.Contains(out, string(wire.EnrolToken)) {
		t.Errorf("it says: %s", out)
	}
	if until := time.Now().Add(7 * 24 * time.Hour).UTC().Format("good until 2006-01-02T"); !strings.Contains(out, until) {
		t.Errorf("not %s: %s", until, out)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v", err, st.Mode())
	}
	f := s.site(path)
	token, err := wire.ParseToken(wire.EnrolToken, f.Token)
	if err != nil || token.URL != f.Endpoint || f.Endpoint != s.cloud.URL {
		t.Errorf("the token is of %s, the file of %s, the cloud %s: %v", token.URL, f.Endpoint, s.cloud.URL, err)
	}
	in, ext := f.Internal, f.External
	if in.MAC != "02:00:00:00:00:0a" || !slices.Equal(in.Addresses, []string{"10.1.0.2/24", "10.2.0.2/24"}) || in.Gateway != "10.1.0.1" || in.DHCP || in.VLAN != 0 || in.MTU != 1400 ||
		!slices.Equal(in.Routes, []string{"10.0.0.0/8 via 10.1.0.9"}) || !slices.Equal(in.DNS, []string{"10.1.0.53"}) || !slices.Equal(in.Ports, []string{"22", "2200-2299"}) {
		t.Errorf("internal: %+v", in)
	}
	if ext.MAC != "02:00:00:00:00:0b" || ext.VLAN != 20 || !ext.DHCP || ext.Addresses != nil || !slices.Equal(ext.NTP, []string{"192.0.2.123"}) || !ext.NoCloudClock ||
		!slices.Equal(ext.Allow, []string{"cloud.example:443"}) || ext.Proxy != "http://proxy.example:3128" || ext.ProxyUser != "site" || string(ext.ProxyPassword.Reveal()) != "hush" {
		t.Errorf("external: %+v", ext)
	}
}

// A box is replaced: the settings stay, the sockets and the token are new.
func TestEnrolFileFromAnother(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	path := filepath.Join(s.dir, "lwc.toml")
	s.ok("enrol-token", "--file", path, "--internal-mac", "02:00:00:00:00:0a", "--internal-address", "10.1.0.2/24", "--internal-gateway", "10.1.0.1",
		"--external-mac", "02:00:00:00:00:0b", "--external-dhcp", "--ntp", "192.0.2.123", "--ntp", "192.0.2.124")
	old := s.site(path)
	id := must(wire.ParseToken(wire.EnrolToken, old.Token)).ID
	out := s.ok("enrol-token", "--from", path, "--file", path, "--external-mac", "02:00:00:00:00:0c", "--ntp", "192.0.2.125", "--internal-dhcp")
	if !strings.Contains(out, "its token before, "+id+", may be good still for who has a copy") || !strings.Contains(out, "--revoke "+id+"\n") {
		t.Errorf("of the token before it says: %s", out)
	}
	f := s.site(path)
	if f.Token.Equal(old.Token) || f.Internal.MAC != "02:00:00:00:00:0a" || f.External.MAC != "02:00:00:00:00:0c" || !f.External.DHCP {
		t.Errorf("the new file: %+v", f)
	}
	if !slices.Equal(f.External.NTP, []string{"192.0.2.125"}) {
		t.Errorf("time servers: %q: those of the command line replace the others", f.External.NTP)
	}
	if !f.Internal.DHCP || f.Internal.Addresses != nil || f.Internal.Gateway != "" {
		t.Errorf("DHCP in place of addresses: %+v", f.Internal)
	}
}

// The flags supply what a file leaves to fill in, and put right what is wrong in it;
// what neither has stands there to be filled in again.
func TestEnrolFileFromOneToFillIn(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	old, path := filepath.Join(s.dir, "old.toml"), filepath.Join(s.dir, "lwc.toml")
	s.ok("enrol-token", "--file", old, "--ntp", "192.0.2.123")
	args := []string{"enrol-token", "--from", old, "--file", path, "--internal-mac", "02:00:00:00:00:0a", "--internal-address", "10.1.0.2/24"}
	if out := s.ok(args...); !strings.Contains(out, "fill in what is marked FILL IN") {
		t.Errorf("it says: %s", out)
	}
	s.ok("enrol-token", "--from", path, "--file", path, "--external-mac", "02:00:00:00:00:0b")
	if f := s.site(path); f.Internal.MAC != "02:00:00:00:00:0a" || f.External.MAC != "02:00:00:00:00:0b" || !f.External.DHCP || !slices.Equal(f.External.NTP, []string{"192.0.2.123"}) {
		t.Errorf("the file: %+v", f)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wrong := s.file("wrong.toml", strings.Replace(string(text), "02:00:00:00:00:0b", "02:00", 1))
	if out, errs, code := s.run("enrol-token", "--from", wrong, "--file", path+".2"); code != exitFailed || out != "" || !strings.Contains(errs, wrong+" is wrong:\nline ") || !strings.Contains(errs, "external.mac") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	s.ok("enrol-token", "--from", wrong, "--file", path+".2", "--external-mac", "02:00:00:00:00:0c")
	if f := s.site(path + ".2"); f.External.MAC != "02:00:00:00:00:0c" {
		t.Errorf("the file: %+v", f)
	}
}

// What is not known stands there to be filled in, and the box would say so.
func TestEnrolFileToFillIn(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	path := filepath.Join(s.dir, "lwc.toml")
	if out := s.ok("enrol-token", "--file", path); !strings.Contains(out, "fill in what is marked FILL IN, then check it: lwc-cloud image check --config "+path) {
		t.Errorf("it says: %s", out)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = sitefile.Parse(path, text)
	for _, want := range []string{"internal.mac", "internal.addresses", "external.mac"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("nothing asks for %s: %v", want, err)
		}
	}
	if strings.Count(string(text), "   # FILL IN") != 3 {
		t.Errorf("the file:\n%s", text)
	}
}

// Nothing wrong costs a token: a standard user, who may make none, is told the same.
func TestEnrolFileErrors(t *testing.T) {
	s := newShell(t, edp.RoleStandard)
	there := s.file("there.toml", "mine")
	path := filepath.Join(s.dir, "lwc.toml")
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"a bad address":    {[]string{"--file", path, "--internal-address", "10.1.0.2"}, "internal.addresses: \"10.1.0.2\" is not an address with", exitFailed},
		"one network":      {[]string{"--file", path, "--internal-address", "10.1.0.2/16", "--external-address", "10.1.9.2/24"}, "is in the same network", exitFailed},
		"a bad MAC":        {[]string{"--file", path, "--external-mac", "x"}, "external.mac", exitFailed},
		"no name server":   {[]string{"--file", path, "--external-address", "192.0.2.2/24", "--proxy", "http://proxy.example:1"}, "external.dns", exitFailed},
		"not a number":     {[]string{"--file", path, "--internal-vlan", "0"}, "is not a number from 1 on", exitUsage},
		"it exists":        {[]string{"--file", there}, "exists: name another file, or add --from " + there, exitFailed},
		"a wrong old file": {[]string{"--file", path, "--from", there}, there + " is wrong:\nline 1", exitFailed},
		"no old file":      {[]string{"--file", path, "--from", path}, "reading the settings", exitFailed},
		"without --file":   {[]string{"--internal-dhcp"}, "give --file too", exitUsage},
		"--from alone":     {[]string{"--from", there}, "give --file too", exitUsage},
		"--out and --file": {[]string{"--file", path, "--out", path}, "give one of them", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := s.run(append([]string{"enrol-token"}, c.args...)...)
			if code != c.code || !strings.Contains(errs, c.want) || out != "" {
				t.Errorf("exit code %d\n%s%s\nwant %d, %s", code, out, errs, c.code, c.want)
			}
		})
	}
	if b, _ := os.ReadFile(there); string(b) != "mine" {
		t.Errorf("the file is %q", b)
	}
	if _, errs, _ := s.run("enrol-token", "--file", path); !strings.Contains(errs, "needs the role admin") {
		t.Errorf("a good file: %s", errs)
	}
}

func TestImageCommands(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	config, volume := filepath.Join(s.dir, "lwc.toml"), filepath.Join(s.dir, "conf.img")
	s.ok("enrol-token", "--file", config, "--internal-mac", "02:00:00:00:00:0a", "--internal-address", "10.1.0.2/24", "--external-mac", "02:00:00:00:00:0b", "--external-dhcp")
	t.Setenv("LWC_API_TOKEN", "") // they need no cloud
	if out := s.ok("image", "volume", "--config", config, "--out", volume); out != volume+" holds "+config+": a disk of 4 MiB called LWCCONF\n" {
		t.Errorf("it says: %s", out)
	}
	bad := s.file("bad.toml", "token = \"x\"\n")
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"no config":    {[]string{"prepare", volume}, "give --config lwc.toml", exitUsage},
		"no image":     {[]string{"prepare", "--config", config}, "usage: lwc-cloud image prepare [flags] IMG", exitUsage},
		"no such file": {[]string{"volume", "--config", filepath.Join(s.dir, "x")}, "reading the file of the site", exitFailed},
		"too large":    {[]string{"volume", "--config", volume}, "is no file of at most 65536 bytes", exitFailed},
		"a wrong file": {[]string{"prepare", volume, "--config", bad}, "nothing was written; " + bad + " is wrong:\n", exitFailed},
		"no partition": {[]string{"prepare", volume, "--config", config}, "it has no partition LWCCONF", exitFailed},
		"it exists":    {[]string{"volume", "--config", config, "--out", volume}, "it exists: remove it", exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := s.run(append([]string{"image"}, c.args...)...)
			if code != c.code || !strings.Contains(errs, c.want) || out != "" {
				t.Errorf("exit code %d\n%s%s\nwant %d, %s", code, out, errs, c.code, c.want)
			}
		})
	}
}
