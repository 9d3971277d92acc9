package collector

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"

	"lwc/transport/wire"
)

const secretReply = `<x><user-entry><user>jdoe</user></user-entry><encrypted-password>$6$abcdefgh$IjklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuv</encrypted-password><town>Trondheim</town></x>`

// sealMaskKey seals a masking key as the cloud does.
func (r *rig) sealMaskKey(version string, key []byte) []byte {
	r.t.Helper()
	sealed, err := wire.SealTo(r.key.Public(), wire.MaskingInfo(testCollector, testBoot, version), key)
	if err != nil {
		r.t.Fatal(err)
	}
	return sealed
}

// masked collects one document under a masking and returns it with its entry.
func (r *rig) masked(d wire.Desired, m wire.Masking) (string, wire.Header, wire.ManifestEntry) {
	r.t.Helper()
	d.Masking = m
	r.apply2(d)
	_, run := r.collect()
	e := entriesOf(run, "edge-01")[0]
	r.up.mu.Lock()
	defer r.up.mu.Unlock()
	for _, h := range r.up.docs {
		if h.ID == e.ID {
			return string(r.up.bodies[e.ID]), h, e
		}
	}
	r.t.Fatal("no document")
	return "", wire.Header{}, e
}

// Names and secrets never leave unless somebody says so, and the accounts tell
// both what left and what the device sent.
func TestMaskingIsOnByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{reply: func(string, int) (string, bool) { return secretReply, false }}
		d := r.desired(1, 1)
		d.Profiles["two"] = []string{"show-system-users"}
		body, h, e := r.masked(d, wire.Masking{})
		if strings.Contains(body, "jdoe") || strings.Contains(body, "$6$") || !strings.Contains(body, "Trondheim") {
			t.Errorf("document %s", body)
		}
		raw := replyOf("1", secretReply)
		if e.SHA256 != wire.Digest([]byte(body)) || e.Size != int64(len(body)) || e.RawSHA256 != wire.Digest([]byte(raw)) || e.RawSize != int64(len(raw)) {
			t.Errorf("entry %+v", e)
		}
		if h.RawSHA256 != e.RawSHA256 || h.RawSize != e.RawSize || e.Masked["user-names"] != 1 || e.Masked["secrets"] != 1 {
			t.Errorf("header %+v, masked %v", h, e.Masked)
		}
		if !strings.Contains(strings.Join(h.Flags, " "), wire.FlagMasked) {
			t.Errorf("flags %v", h.Flags)
		}
	})
}

// One key makes one pseudonym, over configurations; a bad rule is told and the
// others hold.
func TestMaskingAsConfigured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		r.site.behave["edge-01"] = behaviour{reply: func(string, int) (string, bool) { return secretReply, false }}
		key := bytes.Repeat([]byte{7}, 32)
		with := func(version uint64, m wire.Masking) string {
			d := r.desired(version, 1)
			d.Profiles["two"] = []string{"show-system-users"}
			body, _, _ := r.masked(d, m)
			return body
		}
		one := with(1, wire.Masking{Key: r.sealMaskKey("1", key), Version: "1"})
		two := with(2, wire.Masking{Key: r.sealMaskKey("1", key), Version: "1"})
		boot := with(3, wire.Masking{})
		if one != two || one == boot || strings.Contains(boot, "jdoe") {
			t.Errorf("one key, two masks:\n%s\n%s\n%s", one, two, boot)
		}
		if other := with(4, wire.Masking{Key: r.sealMaskKey("2", bytes.Repeat([]byte{8}, 32)), Version: "2"}); other == one {
			t.Errorf("two keys, one mask: %s", other)
		}
		open := with(5, wire.Masking{Classes: map[string]bool{"user-names": false, "shoe-sizes": true},
			Key:   r.sealMaskKey("other", key),
			Rules: []wire.MaskRule{{Class: "Not A Word", Path: "town"}, {Class: "town", Path: "town"}, {Class: "x", Item: "show-moon-phase", Path: "y"}}})
		if !strings.Contains(open, "jdoe") || strings.Contains(open, "$6$") || strings.Contains(open, "Trondheim") {
			t.Errorf("classes and rules: %s", open)
		}
		var paths []string
		for _, item := range r.up.lastState().Items {
			paths = append(paths, item.Path)
		}
		if got := strings.Join(paths, " "); got != "masking/key masking/classes/shoe-sizes masking/rules/#1 masking/rules/#3" {
			t.Errorf("told of %s", got)
		}
	})
}
