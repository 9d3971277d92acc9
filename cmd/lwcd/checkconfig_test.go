package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lwc/image/sitefile"
)

const goodSite = "../../image/sitefile/testdata/good.toml"

// checkedConfig runs lwcd check-config on a text.
func checkedConfig(t *testing.T, name, text string, args ...string) (code int, out, errs string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append(append([]string{"check-config"}, args...), path), &stdout, &stderr)
	return code, strings.ReplaceAll(stdout.String(), path, name), strings.ReplaceAll(stderr.String(), path, name)
}

func good(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(goodSite)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestCheckConfigOfAGoodFile(t *testing.T) {
	code, out, errs := checkedConfig(t, "lwc.toml", good(t))
	want := `lwc.toml: good
  cloud            https://cloud.example:8443
  proposed id      site-0001
  internal port    52:54:00:12:34:56 10.1.0.2/24
  external port    52:54:00:12:34:57 dhcp
  token            t1; the file does not say until when it is good (lwc-cloud enrol-token --list does)
`
	if code != exitStopped || out != want || errs != "" {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	over := string(sitefile.About("t1", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))) + good(t)
	if code, out, _ = checkedConfig(t, "lwc.toml", over); code != exitStopped || !strings.Contains(out, "t1, ran out at 2026-01-02T03:04:05Z\nThe token has run out") {
		t.Errorf("exit code %d of a token that has run out\n%s", code, out)
	}
	_, out, _ = checkedConfig(t, "site-a.toml", good(t))
	if !strings.HasSuffix(out, "The box looks for lwc.toml: call the file so on the volume, not site-a.toml.\n") {
		t.Errorf("of another name it says\n%s", out)
	}
}

// What the file itself is wrong in, and what lwcd would object to, stand at lines.
func TestCheckConfigOfAFileThatIsWrong(t *testing.T) {
	for _, tt := range []struct{ name, from, to, want string }{
		{"the file", "mac = \"52:54:00:12:34:56\"", "mac = 52:54:00:12:34:56",
			`lwc.toml:11:7: the value has no quotes: put a text in straight quotes, "like this"; numbers, true and false stand without`},
		{"lwcd's ports", `"10.0.0.0/8 via 10.1.0.1"`, `"10.0.0.0/8 via 10.9.0.1"`,
			`lwc.toml:15:10: internal.routes: "10.0.0.0/8 via 10.9.0.1" is in no subnet of this port: give the router's address inside a subnet of this port`},
		{"two networks", "dhcp = true", "addresses = [\"10.200.0.2/24\"]\ndns = [\"10.200.0.53\"]",
			`lwc.toml:15:10: internal.routes: route 10.0.0.0/8 covers address 10.200.0.2/24 of the external port: the two ports need networks of their own: change one of them`},
	} {
		text := good(t)
		if !strings.Contains(text, tt.from) {
			t.Fatalf("the good file has no %q", tt.from)
		}
		code, out, errs := checkedConfig(t, "lwc.toml", strings.Replace(text, tt.from, tt.to, 1))
		if code != exitUsage || out != "" || !strings.Contains(errs, tt.want) {
			t.Errorf("%s: exit code %d\n%s%swant\n%s", tt.name, code, out, errs, tt.want)
		}
	}
}

func TestCheckConfigWithoutAToken(t *testing.T) {
	lines := strings.Split(good(t), "\n")
	text := strings.Join(append(lines[:5:5], lines[6:]...), "\n")
	if code, _, errs := checkedConfig(t, "lwc.toml", text); code != exitUsage || !strings.Contains(errs, "lwc.toml: token: is missing: get a new file from the cloud") {
		t.Errorf("exit code %d\n%s", code, errs)
	} else if !strings.Contains(errs, "\nFor a new box that is so. For a box that has enrolled the file is good as it is") {
		t.Errorf("nothing says whom the file is good for:\n%s", errs)
	}
	if code, out, errs := checkedConfig(t, "lwc.toml", "endpoint = \"https://localhost\"\n"+text, "--enrolled"); code != exitStopped || !strings.Contains(out, "The cloud at localhost:443 is the computer itself: a box never reaches it.\n") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
	if code, out, errs := checkedConfig(t, "lwc.toml", text, "--enrolled"); code != exitStopped || !strings.Contains(out, "none: only a box that has enrolled takes this file") {
		t.Errorf("exit code %d\n%s%s", code, out, errs)
	}
}

func TestCheckConfigOfWhatIsNoFile(t *testing.T) {
	for _, args := range [][]string{{}, {"a", "b"}, {"--what"}, {t.TempDir()}, {"/nowhere/lwc.toml"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), append([]string{"check-config"}, args...), &stdout, &stderr); code != exitUsage || stderr.Len() == 0 {
			t.Errorf("%v: exit code %d, %s", args, code, &stderr)
		}
	}
}

// Whatever the file's own checks let pass, lwcd takes, or says why at a key.
func FuzzASiteFileIsGoodForLwcd(f *testing.F) {
	text, err := os.ReadFile(goodSite)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	_, sections, _ := strings.Cut(string(text), "[internal]")
	for _, more := range []string{"dns = [\"192.0.2.53:0\"]", "mtu = 576\naddresses = [\"2001:db8::2/64\"]", "proxy = \"https://proxy.example:1\"", "allow = [\"a:1\"]\nntp = [\"a:1\"]", "gateway = \"fe80::1\""} {
		f.Add("[internal]" + sections + more)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file, err := sitefile.ParseSettings(sitefile.Name, []byte(text))
		if err != nil {
			return
		}
		for _, p := range daemonProblems(file) {
			if p.Key == "" || p.Text == "" || p.Do == "" {
				t.Errorf("the problem has no place: %+v\n%s", p, file.Daemon())
			}
		}
	})
}
