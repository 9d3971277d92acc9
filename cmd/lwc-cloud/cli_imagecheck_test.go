package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lwc/cloud/edp"
	"lwc/cloud/shelf/shelftest"
	"lwc/image/sums"
)

// release puts a list of checksums beside a file, signed by the key that is called so.
func (s *shell) release(file, list string, key byte) {
	s.t.Helper()
	l := must(sums.Of(s.t.Context(), []string{file}))
	s.file(list, string(l.Text()))
	s.file(list+".sig", string(must(sums.Sign(l.Text(), shelftest.Key(key)))))
}

// An image that was downloaded is checked before it is flashed, and before a token is
// written into it.
func TestImageOrigin(t *testing.T) {
	s := newShell(t, edp.RoleAdmin)
	config, volume := filepath.Join(s.dir, "lwc.toml"), filepath.Join(s.dir, "conf.img")
	s.ok("enrol-token", "--file", config, "--internal-mac", "02:00:00:00:00:0a", "--internal-address", "10.1.0.2/24", "--external-mac", "02:00:00:00:00:0b", "--external-dhcp")
	t.Setenv("LWC_API_TOKEN", "")
	s.ok("image", "volume", "--config", config, "--out", volume)
	image := s.file("lwc_1.2.3.img.zst", string(must(os.ReadFile(volume))))
	keys, others := filepath.Join(s.dir, "release.pub.pem"), filepath.Join(s.dir, "others.pem")
	shelftest.Trust(t, keys, shelftest.Key(1))
	shelftest.Trust(t, others, shelftest.Key(2))
	s.release(image, "lwc_1.2.3.SHA256SUMS", 1)
	contains(t, "check", s.ok("image", "check", image, "--release-keys", keys), image+": as lwc_1.2.3.SHA256SUMS says\n  SHA-256  ", "by the release key ")
	contains(t, "check without keys", s.ok("image", "check", image), "signed   not checked: give --release-keys")
	contains(t, "check of both", s.ok("image", "check", image, "--release-keys", keys, "--config", config), "SHA-256", ": good\n")
	contains(t, "check of another list", s.ok("image", "check", image, "--sums", filepath.Join(s.dir, "lwc_1.2.3.SHA256SUMS")), "SHA-256")
	for name, c := range map[string]struct {
		args []string
		want string
		code int
	}{
		"another key":       {[]string{"check", image, "--release-keys", others}, "no key that is trusted has signed", exitFailed},
		"prepare":           {[]string{"prepare", image, "--config", config, "--release-keys", others}, "nothing was written: no key that is trusted", exitFailed},
		"no keys":           {[]string{"check", image, "--release-keys", config}, config + ": reading release keys", exitFailed},
		"a disk":            {[]string{"check", "/dev/null"}, "check what it was flashed from", exitFailed},
		"no image":          {[]string{"check", "--release-keys", keys}, "give one image", exitUsage},
		"keys for a config": {[]string{"check", "--config", config, "--release-keys", keys}, "name the image", exitUsage},
		"a config as image": {[]string{"check", config}, "give it as --config " + config, exitUsage},
		"two images":        {[]string{"check", image, volume}, "give one image", exitUsage},
		"not there":         {[]string{"check", image + "x"}, "checking the image", exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, code := s.run(append([]string{"image"}, c.args...)...)
			if code != c.code || !strings.Contains(errs, c.want) || out != "" {
				t.Errorf("exit code %d\n%s%s\nwant %d, %s", code, out, errs, c.code, c.want)
			}
		})
	}
	before := must(os.ReadFile(image))
	s.file("lwc_1.2.3.img.zst", string(before)+"x")
	if _, errs, code := s.run("image", "prepare", image, "--config", config, "--release-keys", keys); code != exitFailed || !strings.Contains(errs, "nothing was written: checking "+image+": it is not the file that was released") {
		t.Errorf("a changed image: %d %s", code, errs)
	}
	s.file("lwc_1.2.3.img.zst", string(before))
	// It is what was released, though no image of an appliance: that comes next.
	if out, errs, code := s.run("image", "prepare", image, "--config", config, "--release-keys", keys); code != exitFailed || !strings.Contains(errs, "no partition LWCCONF") || !strings.Contains(out, "by the release key") {
		t.Errorf("a good one: %d %s%s", code, out, errs)
	}
}
