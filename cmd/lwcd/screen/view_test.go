package screen

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lwc/cmd/lwcd/report"
	"lwc/image/provision"
	"lwc/image/sitefile"
)

var cards = []Card{{"enp0s2", "52:54:00:12:34:56", "virtio_net"}, {"enp0s3", "52:54:00:12:34:57", "r8169"}}

// theView is a box as it is before its settings came.
func theView() View {
	return View{Image: "1.2.0", Hardware: "QEMU Standard PC (Q35 + ICH9, 2009)", SecureBoot: "on", Cards: cards,
		Provision: provision.Status{V: 1, State: provision.Waiting},
		Report:    &report.Report{Ports: report.Down, Cause: report.NoConfiguration, Detail: "open /run/lwc/lwcd.toml: no such file or directory"}}
}

func open(v View) View {
	v.Provision.State, v.Provision.Source = provision.Ready, "lwc.toml on LWCCONF (sda2)"
	v.Cards = nil
	v.Report = &report.Report{Ports: report.Open, Since: time.Unix(1e9, 0), Internal: report.Port{Link: "enp0s2", MAC: cards[0].MAC, Address: "10.1.0.2/24"},
		External: report.Port{Link: "enp0s3", MAC: cards[1].MAC, Address: "192.0.2.2/24", DHCP: true}, Work: "enrolling at https://cloud.example"}
	return v
}

// views are the boxes of the field guide.
func views() map[string]View {
	refusedOne, blocked, connected := theView(), open(theView()), open(theView())
	refusedOne.Provision.State, refusedOne.Provision.Source = provision.Refused, "lwc.toml on LWCCONF (sda2)"
	refusedOne.Provision.Problems = []sitefile.Problem{
		{Line: 3, Column: 9, Key: "internal.mac", Text: `"52:54:00:zz" is not a hardware address`, Do: "write six pairs of digits, like 52:54:00:12:34:56"},
		{Line: 7, Key: "external.addresses", Text: "is missing", Do: "give an address with its prefix length, or dhcp = true"}}
	blocked.Report.Ports, blocked.Report.Cause, blocked.Report.Detail = report.Blocked, "same-segment", "a frame sent from the Internal Port came back at the External Port"
	blocked.Report.Problem = "2026-11-22 14:02 UTC both ports hear each other"
	connected.Provision.State = provision.Enrolled
	connected.Report.Collector, connected.Report.Identity, connected.Report.Connected = "site-0001", "tpm", true
	connected.Report.Cloud, connected.Report.Work = "welcomed by the cloud at 02:14 UTC", "configuration 3 with 24 devices; 1 run under way"
	connected.Report.Problem = "2026-11-22 14:02 UTC collecting; device: edge-7; error: connecting to the device took too long"
	connected.Trial = true
	return map[string]View{"waiting": theView(), "refused": refusedOne, "blocked": blocked, "enrolling": open(theView()), "connected": connected}
}

// The screens stand in testdata as they look: LWC_WRITE_SCREENS writes them anew.
func TestScreens(t *testing.T) {
	for name, v := range views() {
		got := strings.Join(v.Lines(), "\n") + "\n"
		path := filepath.Join("testdata", name+".txt")
		if os.Getenv("LWC_WRITE_SCREENS") != "" {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil || got != string(want) {
			t.Errorf("%s: %v:\n%s", name, err, got)
		}
	}
}

// Whatever others said, a screen is text of its size.
func TestScreenHoldsAnything(t *testing.T) {
	for name, v := range views() {
		evil := strings.Repeat("\x1b[2J\r\nä\u202e…x", 2000)
		v.Hardware, v.Provision.Source, v.Image = evil, evil, evil
		v.Cards = slices.Repeat([]Card{{evil, evil, evil}}, 40)
		v.Provision.Problems = slices.Repeat([]sitefile.Problem{{Line: 1, Text: evil, Do: evil}}, 30)
		for _, s := range []*string{&v.Report.Detail, &v.Report.Cloud, &v.Report.Work, &v.Report.Problem, &v.Report.Collector, &v.Report.Internal.Link} {
			*s = evil
		}
		lines := v.Lines()
		if len(lines) > Rows {
			t.Errorf("%s has %d lines", name, len(lines))
		}
		for _, line := range lines {
			if len(line) > Columns || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Errorf("%s: %q", name, line)
			}
		}
	}
}

// A text that is too long keeps its beginning and its end.
func TestLongErrorKeepsItsCause(t *testing.T) {
	v := open(theView())
	v.Report.Work = "not enrolled yet: fetching" + strings.Repeat(" and dialing something", 40) + ": no name servers"
	got := strings.Join(v.Lines(), "\n")
	for _, words := range []string{"Work        not enrolled yet: fetching", "...\n", "something: no name"} {
		if !strings.Contains(got, words) {
			t.Errorf("%q is missing:\n%s", words, got)
		}
	}
	v.Report.Ports, v.Report.Cause = report.Down, report.NoConfiguration
	if k := v.Kind(); k.Name != raising {
		t.Errorf("settings that lwcd takes in a moment are told as %s", k.Name)
	}
}

// Each kind has a state, and one word of its own; each state is reached.
func TestKinds(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range Kinds() {
		if seen[k.Name] || k.State == "" || len(k.State) > Columns-labelWidth || (k.Do == "") != (k.Name == ready) {
			t.Errorf("%+v", k)
		}
		seen[k.Name] = true
	}
	with := func(change func(*View)) View {
		v := open(theView())
		change(&v)
		return v
	}
	for want, v := range map[string]View{
		starting:       {},
		silent:         with(func(v *View) { v.Silent = true }),
		waiting:        theView(),
		refused:        views()["refused"],
		raising:        with(func(v *View) { v.Report.Ports = report.Down }),
		notEnrolled:    open(theView()),
		noToken:        with(func(v *View) { v.Provision.Problems = []sitefile.Problem{{Kind: provision.KindNoToken}} }),
		noIdentity:     with(func(v *View) { v.Report.Withheld = true }),
		noCloud:        with(func(v *View) { v.Report.Collector = "site-0001" }),
		ready:          views()["connected"],
		"overlap":      with(func(v *View) { v.Report.Ports, v.Report.Cause = report.Blocked, "overlap" }),
		"same-segment": views()["blocked"],
		"other":        with(func(v *View) { v.Report.Ports, v.Report.Cause = report.Down, "never heard of" }),
	} {
		if got := v.Kind().Name; got != want {
			t.Errorf("%s is told as %s", want, got)
		}
	}
}
