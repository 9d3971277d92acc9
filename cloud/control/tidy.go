package control

import "lwc/transport/wire"

// Bounds of what a collector tells of one device.
const (
	maxName  = 255
	maxHops  = 32
	maxSteps = 64 + 16*maxHops // of a probe
	maxLists = 256             // permissions
)

// tidyProbe shortens the texts of a diagnosis to what operators can read.
func tidyProbe(p *wire.Probe) {
	p.Device, p.Class = cut(p.Device, maxName), cut(p.Class, maxName)
	p.Steps = p.Steps[:min(len(p.Steps), maxSteps)]
	for i := range p.Steps {
		s := &p.Steps[i]
		s.Stage, s.Hop, s.Kind, s.Detail = cut(s.Stage, maxName), cut(s.Hop, maxName), cut(s.Kind, maxName), cut(s.Detail, maxText)
	}
	p.Permissions, p.Excess = tidyList(p.Permissions), tidyList(p.Excess)
	p.Access = tidyAccess(p.Access)
}

func tidyList(list []string) []string {
	list = list[:min(len(list), maxLists)]
	for i := range list {
		list[i] = cut(list[i], maxText)
	}
	return list
}

func tidyAccess(a *wire.Access) *wire.Access {
	if a == nil {
		return nil
	}
	a.Mode = cut(a.Mode, maxName)
	a.Hops = a.Hops[:min(len(a.Hops), maxHops)]
	for i := range a.Hops {
		h := &a.Hops[i]
		h.Name, h.KeyExchange, h.HostKey = cut(h.Name, maxName), cut(h.KeyExchange, maxName), cut(h.HostKey, maxName)
		h.Cipher, h.MAC = cut(h.Cipher, maxName), cut(h.MAC, maxName)
	}
	return a
}
