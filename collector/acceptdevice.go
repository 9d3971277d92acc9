package collector

import (
	"errors"
	"fmt"

	"lwc/transport/wire"
)

// devices fills the fleet with those that can be used.
func (a *accepting) devices() {
	count := map[string]int{}
	for _, d := range a.d.Devices {
		count[d.ID]++
	}
	for i, d := range a.d.Devices {
		path := "devices/" + d.ID
		if d.ID == "" {
			path = fmt.Sprintf("devices/#%d", i+1)
		}
		dev, err := a.device(d, count[d.ID])
		if err != nil {
			a.faults.add(path, "%v", err)
			a.setBad(d, err)
			continue
		}
		a.fleet.devices[d.ID] = dev
		a.fleet.order = append(a.fleet.order, d.ID)
	}
}

// setBad remembers an unusable device, so that a run can account for its items.
func (a *accepting) setBad(d wire.Device, err error) {
	if d.ID == "" {
		return
	}
	if _, seen := a.fleet.bad[d.ID]; !seen {
		a.fleet.order = append(a.fleet.order, d.ID)
	}
	p, _ := a.profile(d.Profile)
	dev := device{items: p.items, refused: p.refused}
	a.fleet.bad[d.ID] = badDevice{why: err.Error(), items: dev.itemNames()}
}

// maxID is that of the header of a frame.
const maxID = 255

// maxPipeline is where more requests under way gain nothing on any device.
const maxPipeline = 64

func (a *accepting) device(d wire.Device, sameID int) (*device, error) {
	switch {
	case d.ID == "":
		return nil, errors.New("it has no id")
	case len(d.ID) > maxID:
		return nil, fmt.Errorf("its id has %d bytes, more than %d", len(d.ID), maxID)
	case sameID > 1:
		return nil, fmt.Errorf("%d entries have this id, and none of them is used: give each its own", sameID)
	}
	if err := checkAddress(d.Address); err != nil {
		return nil, err
	}
	if err := checkHostKeys(d.HostKeys, d.TrustFirst); err != nil {
		return nil, err
	}
	if err := a.checkCredential(d.Credential); err != nil {
		return nil, err
	}
	if d.Pipeline < 0 || d.Pipeline > maxPipeline {
		return nil, fmt.Errorf("its pipeline %d is not between 0 and %d requests at once", d.Pipeline, maxPipeline)
	}
	via, err := a.chain(d.Bastions)
	if err != nil {
		return nil, err
	}
	p, err := a.profile(d.Profile)
	if err != nil {
		return nil, err
	}
	out := &device{Device: d, via: via, items: p.items, refused: p.refused,
		login: login{d.Credential, a.d.Credentials[d.Credential].Version, realm(via)}}
	return out, nil
}
