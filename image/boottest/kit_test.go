package boottest

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"lwc/netguard/netguardtest"
)

// The kit itself, with a disk that nothing boots from: the firmware says so. Sticks
// come and go, the power is cut, and the variables and the TPM outlive that.
func TestMachine(t *testing.T) {
	Image(t) // only where images are tested
	host, err := netguardtest.NewHost()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(host.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	m := Machine{Disk: MakeVolume(t, "EMPTY", nil), TPM: t.TempDir(), Memory: 256,
		NICs:    []NIC{{MAC: "52:54:00:00:00:01", In: host, Link: "box0"}},
		Volumes: []Volume{{ID: "seed", File: MakeVolume(t, "CIDATA", nil), Virtio: true, ReadOnly: true}}}
	for range 2 {
		vm := Start(t, m)
		vm.WaitFor(ctx, regexp.MustCompile(`BdsDxe: failed to load|No bootable option|Shell>`))
		if l, err := host.Link("box0"); err != nil || l.Attrs().HardwareAddr == nil {
			t.Errorf("the far end of the cable: %v, %v", l, err)
		}
		for range 2 {
			vm.SwapVolume(ctx, Volume{ID: "stick", File: MakeVolume(t, "LWCCONF", map[string][]byte{"lwc.toml": []byte("no")})})
		}
		if p, err := vm.Picture(ctx); err != nil || p.Width < 640 {
			t.Errorf("the display shows %d by %d pixels: %v", p.Width, p.Height, err)
		}
		vm.Mark()
		if err := vm.Reset(ctx); err != nil {
			t.Error(err)
		}
		vm.WaitFor(ctx, regexp.MustCompile(`BdsDxe`))
		vm.Kill()
		if _, err := vm.QMP(ctx, "query-status", nil); err == nil {
			t.Error("a machine that is off answers")
		}
	}
}

func TestVolumeKeepsItsFiles(t *testing.T) {
	Image(t)
	v := MakeVolume(t, "LWCCONF", map[string][]byte{"lwc.toml": []byte("first")})
	PutFile(t, v, 0, "lwc.toml", []byte("second"))
	if got := string(GetFile(t, v, 0, "lwc.toml")); got != "second" {
		t.Errorf("the file holds %q", got)
	}
}

func TestPictureIsRead(t *testing.T) {
	p, err := readPPM(strings.NewReader("P6\n3 1\n255\n\x00\x00\x00\x80\x80\x80\x00\x00\xff"))
	if err != nil || p.Width != 3 || p.Height != 1 || p.Lit() != 2 {
		t.Errorf("the picture is %+v, %v", p, err)
	}
	for _, bad := range []string{"", "P5\n1 1\n255\n\x00", "P6\n3 1\n255\n\x00", "P6\n99999 1\n255\n"} {
		if _, err := readPPM(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is a picture", bad)
		}
	}
}

func TestConsoleIsPlainText(t *testing.T) {
	c := newConsole()
	for _, said := range []string{"\x1b[2J\x1b[H\x1b[1;32mState\x1b[0m  WAITING\r\n", "\x1b[?25l\x1b[2J", "\x1b[HState  READY\x1b]0;title\x07\r\n"} {
		if _, err := c.Write([]byte(said)); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.TrimSpace(c.screen()); got != "State  READY" {
		t.Errorf("the screen is %q", got)
	}
	if got := c.text(0); got != "State  WAITING\nState  READY\n" {
		t.Errorf("the console said %q", got)
	}
	c.mark()
	if text, _, ended := c.since(); text != "" || ended {
		t.Errorf("after the mark it said %q, ended %t", text, ended)
	}
	if _, err := c.Write([]byte("more")); err != nil {
		t.Fatal(err)
	}
	if text, _, _ := c.since(); text != "more" {
		t.Errorf("after the mark it said %q", text)
	}
}
