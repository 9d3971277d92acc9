package sitefile

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"lwc/transport/secret"
)

// A token does not say when it runs out; the file that was made with it does, however it
// was saved, and not of another token.
func TestAFileSaysUntilWhenItsTokenIsGood(t *testing.T) {
	until := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	text := string(About("t1", until)) + string(Template(filled()))
	for name, raw := range inForms(text) {
		if got := goodUntil(raw, "t1"); !got.Equal(until) {
			t.Errorf("%s: %v", name, got)
		}
		if got := goodUntil(raw, "t2"); !got.IsZero() {
			t.Errorf("%s: another token: %v", name, got)
		}
	}
	for _, odd := range []string{"", "# With the token t1, good until tomorrow. \n", "\x00\x00", string(Template(filled()))} {
		if got := goodUntil([]byte(odd), "t1"); !got.IsZero() {
			t.Errorf("%q: %v", odd, got)
		}
	}
	if _, err := Parse(Name, []byte(text)); err != nil {
		t.Error(err)
	}
}

func TestWhichFilesAreForEnrolledBoxesAlone(t *testing.T) {
	good := Template(filled())
	scrubbed, _ := Scrub(good)
	f := filled()
	none := f.Settings()
	for name, tt := range map[string]struct {
		text []byte
		want bool
	}{
		"a token":           {good, false},
		"a used token":      {scrubbed, true},
		"no token":          {none, true},
		"an empty token":    {append([]byte("token = \"\"\n"), none...), true},
		"a damaged token":   {append([]byte("token = \"lwce1_x\"\n"), none...), false},
		"wrong besides too": {bytes.ReplaceAll(none, []byte("52:54:00:12:34:56"), []byte("52:54")), false},
	} {
		if got := EnrolledOnly(Name, tt.text); (got != "") != tt.want || tt.want && !strings.Contains(got, "--enrolled") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestLoopback(t *testing.T) {
	for url, want := range map[string]string{
		"https://127.0.0.1:8443": "127.0.0.1:8443", "https://127.9.9.9": "127.9.9.9:443", "https://[::1]:8443": "[::1]:8443", "https://[::ffff:127.0.0.1]": "[::ffff:127.0.0.1]:443",
		"https://localhost": "localhost:443", "https://LocalHost.:1": "LocalHost.:1", "https://a.localhost": "a.localhost:443",
		"https://cloud.example": "", "https://192.0.2.1": "", "https://localhost.example": "", "": "",
	} {
		f := File{Endpoint: url}
		if got := f.Loopback(); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
	f := File{Endpoint: "https://cloud.example", Token: tokenOf("https://cloud.example", "localhost:8883")}
	if got := f.Loopback(); got != "localhost:8883" {
		t.Errorf("the broker: %q", got)
	}
	f.Token = secret.Text{}
	if got := strings.Join(f.Clouds(), " "); got != "cloud.example:443" {
		t.Errorf("clouds: %q", got)
	}
}
