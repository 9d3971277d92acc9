package site

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"lwc/netguard"
	"lwc/netguard/netguardtest"
)

// What root does to the kernel at a running site is put right at once, and is
// told: in the list of events, with what, where, when and that it was put right,
// and on the page of the collector. The ports stay open for it.
func TestViolationIsPutRightAndTold(t *testing.T) {
	ctx, s := running(t, Config{Devices: 6})
	before, err := s.collector(ctx)
	must(t, err)
	for namespace, port := range map[string]string{netguard.InternalNamespace: "internal", netguard.ExternalNamespace: "external"} {
		began := time.Now()
		stood, err := s.SwitchForwardingOn(ctx, namespace)
		must(t, err)
		e, err := s.WaitViolation(ctx, began, "sysctl", port, true)
		must(t, err)
		t.Logf("%s: on for %s, told at %s: %s", namespace, stood, e.Time, e.Text)
		if e.Kind != "port-violation" || !strings.Contains(e.Text, "forward") || e.Advice == "" || e.Violation.At.After(time.Now()) {
			t.Errorf("%s: %+v %+v", namespace, e, e.Violation)
		}
	}
	must(t, s.WaitHealed(ctx))
	after, err := s.collector(ctx)
	must(t, err)
	if after.Ports.State != "open" || after.Boot != before.Boot || !after.Ports.Since.Equal(before.Ports.Since) {
		t.Errorf("the ports were %+v and are %+v", before, after)
	}
	page := s.portalPage(ctx, t, "/collectors/"+Collector)
	for _, want := range []string{"separated by network namespaces", "open since", `id="violations"`, "forward", "internal port", "external port", `badge good">yes`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page of the collector lacks %q", want)
		}
	}
	collect(ctx, t, s)
	checkStored(ctx, t, s)
	s.checkRooms(ctx, t)
}

// checkRooms proves that the ports are alone, that nothing is reached past them,
// and that the demo would notice if it were not so.
func (s *Site) checkRooms(ctx context.Context, t *testing.T) {
	t.Helper()
	rooms, err := s.Rooms()
	if err != nil || len(rooms) != 4 || len(rooms[0].Links)+len(rooms[1].Links) != 0 || len(rooms[2].Links) != 1 || len(rooms[3].Links) != 1 {
		t.Errorf("%+v, %v", rooms, err)
	}
	dials, err := s.PlainDials(ctx)
	must(t, err)
	for _, d := range dials {
		if d.Error == nil {
			t.Errorf("%s answers a plain connection", d.To)
		}
	}
	must(t, s.home.do(func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "usb0"}, PeerName: "usb1"})
	}))
	if _, err := s.Rooms(); err == nil || !strings.Contains(err.Error(), "holds usb0") {
		t.Errorf("a card beside the ports: %v", err)
	}
	must(t, s.home.do(removeCard))
}

// removeCard takes usb0 away again; all sites of the tests share that namespace.
func removeCard() error {
	l, err := netlink.LinkByName("usb0")
	if err != nil {
		return err
	}
	return netlink.LinkDel(l)
}

// portalPage gets a page of the portal as its first user.
func (s *Site) portalPage(ctx context.Context, t *testing.T, path string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	must(t, err)
	browser := &http.Client{Jar: jar, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // the site's own authority
		DialContext:     func(ctx context.Context, _, addr string) (net.Conn, error) { return s.cnet.dial(ctx, addr) }}}
	const password = "Correct-Horse-7-Battery"
	form := url.Values{"name": {"ada"}, "password": {password}, "again": {password}}
	post, err := http.NewRequestWithContext(ctx, http.MethodPost, s.AdminLink(), strings.NewReader(form.Encode()))
	must(t, err)
	post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	post.Header.Set("Sec-Fetch-Site", "same-origin")
	resp, err := browser.Do(post)
	must(t, err)
	must(t, resp.Body.Close())
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, CloudURL+path, nil)
	must(t, err)
	resp, err = browser.Do(get)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, resp.Status)
	}
	return string(body)
}

// A card that is plugged into a box which is the collector's alone closes both
// ports: the External Port goes down, what was under way ends with a reason that
// blames no device. When the card is gone the ports open by themselves, the
// session with the cloud comes back, tells what happened, and collecting goes on.
func TestBlockedPortsOpenAgain(t *testing.T) {
	ctx, s := running(t, Config{Devices: 12, Latency: "400ms", Dedicated: true})
	before, err := s.collector(ctx)
	must(t, err)
	_, err = s.Cloud(ctx, "collect", "--collector", Collector)
	must(t, err)
	must(t, s.lwcd.waitFor(ctx, "the run to begin", func() bool { return len(stored(ctx, t, s)) > 0 }))

	began := time.Now()
	must(t, s.home.do(func() error {
		return netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "usb0"}, PeerName: "usb1"})
	}))
	must(t, s.lwcd.waitFor(ctx, "the External Port to go down", func() bool { return !linkIsUp(t, netguard.ExternalNamespace, externalLink) }))
	t.Logf("the External Port was down %s after the card came", time.Since(began))
	must(t, s.lwcd.waitFor(ctx, "a device to be given up", func() bool {
		b, err := os.ReadFile(s.Log("lwcd"))
		return err == nil && strings.Contains(string(b), `"ok":false,"phase":"connect"`)
	}))
	must(t, s.home.do(removeCard))
	gone := time.Now()

	must(t, s.waitCollector(ctx, "the session to be there again, with open ports", func(c collectorState) bool {
		return c.Online && c.Ports.State == "open" && c.Ports.Since.After(gone)
	}))
	after, err := s.collector(ctx)
	must(t, err)
	t.Logf("open again %s after the card was gone, told after %s", after.Ports.Since.Sub(gone), time.Since(gone))
	if after.Boot != before.Boot || after.Ports.Violations == 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	s.checkTold(ctx, t, began)
	s.checkReasons(ctx, t)
	collect(ctx, t, s)
	s.checkNewest(ctx, t)
}

func linkIsUp(t *testing.T, namespace, link string) bool {
	t.Helper()
	h, err := netguardtest.OpenHost(filepath.Join(namespaceDir, namespace))
	must(t, err)
	defer h.Close()
	l, err := h.Link(link)
	must(t, err)
	return l.Attrs().Flags&net.FlagUp != 0
}

// checkTold proves that the cloud was told of the card, by its name.
func (s *Site) checkTold(ctx context.Context, t *testing.T, began time.Time) {
	t.Helper()
	var told []PortEvent
	must(t, s.lwcd.waitFor(ctx, "the cloud to be told of the card", func() bool {
		all, err := s.Events(ctx)
		must(t, err)
		told = told[:0]
		for _, e := range all {
			if v := e.Violation; v != nil && v.Kind == "extra-interface" && strings.Contains(v.Detail, "usb") {
				told = append(told, e)
			}
		}
		return len(told) > 0
	}))
	for _, e := range told {
		if e.Violation.At.Before(began) || !strings.Contains(e.Advice, "Unplug") {
			t.Errorf("%+v %+v", e, e.Violation)
		}
	}
}

// checkReasons proves that the run has ended, and that whatever is missing of it
// is not blamed on a device.
func (s *Site) checkReasons(ctx context.Context, t *testing.T) {
	t.Helper()
	must(t, s.lwcd.waitFor(ctx, "the run to be complete", func() bool {
		all := runs(ctx, t, s)
		return len(all) == 1 && all[0].State == "complete"
	}))
	out, err := s.Cloud(ctx, "devices", "--collector", Collector, "--json")
	must(t, err)
	var rows []struct{ ID, State, Error string }
	must(t, json.Unmarshal([]byte(out), &rows))
	blocked := 0
	for _, r := range rows {
		if strings.Contains(r.Error, "ports of the collector are blocked") {
			blocked++
		} else if r.State == "failed" {
			t.Errorf("%s: %s", r.ID, r.Error)
		}
	}
	if blocked == 0 {
		t.Error("no device was given up with the reason")
	}
}

// checkNewest proves that the newest run lacks nothing.
func (s *Site) checkNewest(ctx context.Context, t *testing.T) {
	t.Helper()
	all := runs(ctx, t, s)
	if len(all) != 2 || all[0].State != "complete" || all[0].Stored+all[0].Skipped != all[0].Expected {
		t.Errorf("runs %+v", all)
	}
}
