package collector

import (
	"crypto/rand"
	"maps"
	"slices"
	"strconv"

	"lwc/junos"
	"lwc/transport/wire"
)

// maskKeySize is that of HMAC-SHA-256's output: more adds nothing.
const maskKeySize = 32

// newMaskKey makes the key of the pseudonyms of this boot.
func newMaskKey() []byte {
	key := make([]byte, maskKeySize)
	rand.Read(key)
	return key
}

// masking makes the mask of the configuration. What cannot be used of it is told
// and left out; a class of the defaults stays on unless it is switched off.
func (a *accepting) masking(bootKey []byte) {
	key, opened := bootKey, a.openMaskKey()
	if opened != nil {
		key = opened
		defer clear(opened)
	}
	conf := junos.MaskConfig{Key: key, Classes: a.maskClasses()}
	for i, r := range a.d.Masking.Rules {
		rule := junos.MaskRule{Class: r.Class, Item: r.Item, Path: r.Path, Pattern: r.Pattern}
		path := "masking/rules/#" + strconv.Itoa(i+1)
		if _, ok := junos.Lookup(r.Item); !ok && r.Item != "" {
			a.faults.add(path, "this version does not know the item %.80q, so the rule has no effect", r.Item)
			continue
		}
		if _, err := junos.NewMask(junos.MaskConfig{Key: bootKey, Classes: conf.Classes, Rules: []junos.MaskRule{rule}}); err != nil {
			a.faults.add(path, "%v; what it should mask is NOT masked", err)
			continue
		}
		conf.Rules = append(conf.Rules, rule)
	}
	mask, err := junos.NewMask(conf)
	if err != nil {
		a.faults.add("masking", "%v; the defaults are used", err)
		// The key of the boot is long enough, and nothing else can be wrong.
		mask, _ = junos.NewMask(junos.MaskConfig{Key: bootKey})
	}
	a.fleet.mask = mask
}

// openMaskKey returns the key of the configuration, nil where it has none that
// can be used.
func (a *accepting) openMaskKey() []byte {
	m := a.d.Masking
	if len(m.Key) == 0 {
		return nil
	}
	key, err := a.key.Open(wire.MaskingInfo(a.d.Collector, a.d.Boot, m.Version), m.Key)
	if err != nil {
		a.faults.add("masking/key", "it cannot be opened: it was not sealed to this boot of the collector; until it can be, the pseudonyms are those of this boot alone")
		return nil
	}
	if _, err := junos.NewMask(junos.MaskConfig{Key: key}); err != nil {
		clear(key)
		a.faults.add("masking/key", "%v; the pseudonyms are those of this boot alone", err)
		return nil
	}
	return key
}

// maskClasses returns the classes that are on. The result is never nil.
func (a *accepting) maskClasses() []junos.MaskClass {
	on := map[junos.MaskClass]bool{}
	for _, c := range junos.DefaultMaskClasses() {
		on[c] = true
	}
	for _, name := range slices.Sorted(maps.Keys(a.d.Masking.Classes)) {
		switch c := junos.MaskClass(name); c {
		case junos.MaskUserNames, junos.MaskCommunities, junos.MaskSecrets, junos.MaskMACs, junos.MaskIPs, junos.MaskDescriptions:
			on[c] = a.d.Masking.Classes[name]
		default:
			a.faults.add("masking/classes/"+name, "this version does not know this class, so it masks nothing by it")
		}
	}
	maps.DeleteFunc(on, func(_ junos.MaskClass, on bool) bool { return !on })
	return slices.AppendSeq([]junos.MaskClass{}, maps.Keys(on))
}
