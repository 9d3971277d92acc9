package collector

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"

	"lwc/transport/wire"
)

const taggedError = `<rpc-error><error-type>protocol</error-type><error-tag>operation-not-supported</error-tag>` +
	`<error-severity>error</error-severity><error-message>no%s</error-message></rpc-error>`

const rpcWarning = `<output/><xnm:warning xmlns:xnm="http://xml.juniper.net/xnm/1.1/xnm"><message>%s</message></xnm:warning>`

// Only what a release cannot do is remembered: what is not in use today may be
// configured tomorrow, and what did not answer may be back.
func TestWhatIsNotInUseIsAskedAgain(t *testing.T) {
	const later = `<multi-routing-engine-results><multi-routing-engine-item><re-name>re0</re-name>` + rpcWarning +
		`</multi-routing-engine-item></multi-routing-engine-results>`
	for _, c := range []struct {
		form, text string
		again      bool
	}{
		{rpcError, "syntax error", false},
		{rpcError, "syntax error, expecting &lt;command&gt;", false},
		{rpcError, "unknown command", false},
		{rpcError, "command is not valid on the mx204", false},
		{rpcWarning, "Unrecognized command (chassis-control)", false},
		{rpcError, "this command is not supported on this platform", false},
		{taggedError, "", false},
		{rpcWarning, "ipsec-key-management subsystem not running - not needed by configuration.", true},
		{rpcError, "error: Chassis cluster is not enabled", true},
		{rpcWarning, "BGP is not running", true},
		{rpcWarning, "OSPF instance is not running", true},
		{rpcWarning, "Protocol is not configured", true},
		{rpcError, "could not connect to re1 : No route to host", true},
		{rpcError, "Couldn't initiate connection", true},
		{later, "syntax error in answer; could not connect to re1 : No route to host", true},
		{later, "bgp: syntax error in answer; BGP is not running", true},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.site.behave["edge-01"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
				if rpc == "get-system-uptime-information" {
					return fmt.Sprintf(c.form, c.text), false
				}
				return versionReply("22.4R3"), false
			}}
			r.apply(r.desired(1, 2))
			_, m := r.collect()
			if e := entryOf(t, m, "edge-01", "show-system-uptime"); e.Outcome != "unsupported" {
				t.Fatalf("%s: %+v", c.text, e)
			}
			r.site.questions()
			_, m = r.collect()
			asked := slices.Contains(r.site.questions(), "edge-01 get-system-uptime-information")
			if e := entryOf(t, m, "edge-01", "show-system-uptime"); asked != c.again || (e.Status == wire.EntryStored) != c.again {
				t.Errorf("%s: asked %v: %+v", c.text, asked, e)
			}
		})
	}
}

// A command line calls unknown what the account may not use: with another account
// the device is asked again.
func TestAnotherAccountIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
			if rpc == "get-system-uptime-information" {
				return fmt.Sprintf(rpcError, "unknown command"), false
			}
			return versionReply("22.4R3"), false
		}}
		d := r.desired(1, 2)
		for _, c := range []struct {
			version    uint64
			credential string
			asked      bool
		}{{1, "1", true}, {2, "1", false}, {3, "2", true}, {4, "2", false}} {
			d.Version, d.Credentials = c.version, map[string]wire.Credential{"lab": r.seal("lab", c.credential, "right")}
			r.apply(d)
			r.collect()
			if got := slices.Contains(r.site.questions(), "edge-01 get-system-uptime-information"); got != c.asked {
				t.Errorf("%d: asked %v", c.version, got)
			}
		}
	})
}

func entryOf(t *testing.T, m wire.Manifest, device, item string) wire.ManifestEntry {
	t.Helper()
	es := slices.DeleteFunc(entriesOf(m, device), func(e wire.ManifestEntry) bool { return e.Item != item })
	if len(es) != 1 {
		t.Fatalf("%d entries of %s: %+v", len(es), item, es)
	}
	return es[0]
}

// An operation that releases spell in two ways is asked by the second where the
// first is not known, and told once; where neither is known it is remembered.
func TestOlderSpelling(t *testing.T) {
	for older, status := range map[string]wire.EntryStatus{"<output>4080/510/4590 mbufs in use</output>": wire.EntryStored,
		fmt.Sprintf(rpcError, "syntax error"): wire.EntrySkipped} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, nil)
			r.site.behave["edge-01"] = behaviour{reply: func(rpc string, _ int) (string, bool) {
				switch rpc {
				case "get-buffer-informations":
					return fmt.Sprintf(rpcError, "syntax error"), false
				case "get-buffer-informaton":
					return older, false
				}
				return versionReply("15.1R7"), false
			}}
			d := r.desired(1, 1)
			d.Profiles["two"] = []string{"show-version", "show-system-buffers", "show-system-alarms"}
			r.apply(d)
			r.site.questions()
			_, m := r.collect()
			asked := r.site.questions()
			if e := entryOf(t, m, "edge-01", "show-system-buffers"); e.Status != wire.EntryStored || len(entriesOf(m, "edge-01")) != 3 {
				t.Errorf("%+v", entriesOf(m, "edge-01"))
			}
			if !slices.Contains(asked, "edge-01 get-buffer-informations") || !slices.Contains(asked, "edge-01 get-buffer-informaton") {
				t.Errorf("asked %q", asked)
			}
			_, m = r.collect()
			if e := entryOf(t, m, "edge-01", "show-system-buffers"); e.Status != status {
				t.Errorf("the next time: %+v", e)
			}
		})
	}
}
