package portal

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/transport/wire"
)

// deviceFormData is the data of the page "deviceform", which adds a device or
// changes one.
type deviceFormData struct {
	Collector             string
	Edit                  bool
	Form                  fleet.Device
	Credentials, Bastions []string
	Profiles              []profileData
}

func (v *visit) deviceFormData(form fleet.Device) (deviceFormData, error) {
	d := deviceFormData{Collector: v.r.PathValue("collector"), Edit: v.r.PathValue("device") != "", Form: form}
	s, err := v.cfg.Keeper.Spec(v.r.Context(), d.Collector)
	if err != nil {
		return d, err
	}
	d.Credentials = view.Each(s.Credentials, func(c fleet.Credential) string { return c.ID })
	d.Bastions = view.Each(s.Bastions, func(b fleet.Bastion) string { return b.ID })
	for _, name := range fleet.ProfileNames(s.Profiles) {
		d.Profiles = append(d.Profiles, profileData{name, fleet.ProfileItems(name, s.Profiles)})
	}
	return d, nil
}

// deviceForm reads the fields of the form. The error is of its numbers.
func (v *visit) deviceForm() (fleet.Device, error) {
	port, err := readPort(v.form("port"))
	pipeline, wrong := readNumber("pipeline", v.form("pipeline"))
	err = errors.Join(err, wrong)
	var both fleet.Problems
	if errors.As(err, &both) {
		err = both
	}
	return fleet.Device{Groups: strings.Fields(v.form("groups")), Device: wire.Device{
		ID: v.form("id"), Address: v.form("address"), Port: port, Credential: v.form("credential"),
		Bastions: strings.Fields(v.form("bastions")), HostKeys: lines(v.form("host_keys")),
		TrustFirst: v.form("trust_first") == "true", Profile: v.form("profile"),
		Legacy: v.form("legacy_algorithms") == "true", Pipeline: pipeline,
	}}, err
}

func (v *visit) showDeviceForm(form fleet.Device) error {
	form.Profile = cmp.Or(form.Profile, wire.DefaultProfile)
	d, err := v.deviceFormData(form)
	if err != nil {
		return err
	}
	return v.render("deviceform", "devices", d)
}

func (p *Portal) showNewDevice(v *visit) error {
	return v.showDeviceForm(fleet.Device{})
}

func (p *Portal) newDevice(v *visit) error {
	dev, wrong := v.deviceForm()
	d, err := v.deviceFormData(dev)
	if err != nil {
		return err
	}
	if wrong == nil {
		_, wrong = p.cfg.Keeper.AddDevices(v.r.Context(), d.Collector, []fleet.Device{dev}, false)
	}
	if wrong != nil {
		return v.wrong("deviceform", "devices", d, wrong)
	}
	return v.done(deviceURL(d.Collector, dev.ID), dev.ID+" was added. The collector is told at once.")
}

func (p *Portal) showEditDevice(v *visit) error {
	d, err := v.oneDevice(v.r.PathValue("collector"), v.r.PathValue("device"))
	if err != nil {
		return err
	}
	return v.showDeviceForm(d.Device)
}

func (p *Portal) editDevice(v *visit) error {
	dev, wrong := v.deviceForm()
	dev.ID = v.r.PathValue("device")
	d, err := v.deviceFormData(dev)
	if err != nil {
		return err
	}
	if wrong == nil {
		wrong = v.reviseDevice(func(old *fleet.Device) { *old = dev })
	}
	if wrong != nil {
		return v.wrong("deviceform", "devices", d, wrong)
	}
	return v.done(deviceURL(d.Collector, dev.ID), dev.ID+" was saved. The collector is told at once.")
}

// pinDevice makes the key that was trusted on first use one of the device's
// host keys. From then on no other is trusted.
func (p *Portal) pinDevice(v *visit) error {
	collector, id, key := v.r.PathValue("collector"), v.r.PathValue("device"), v.form("host_key")
	d, err := v.oneDevice(collector, id)
	if err != nil {
		return err
	}
	if key == "" || key != d.HostKey {
		return fmt.Errorf("the device has shown another host key since: look at its page again: %w", edp.ErrConflict)
	}
	err = v.reviseDevice(func(old *fleet.Device) {
		if !slices.Contains(old.HostKeys, key) {
			old.HostKeys = append(slices.Clone(old.HostKeys), key)
		}
		old.TrustFirst = false
	})
	if err != nil {
		return v.wrong("device", "devices", deviceData{D: d, HostKey: d.HostKey}, err)
	}
	return v.done(deviceURL(collector, id), "The host key is pinned: "+id+" is only talked to when it shows this one.")
}

// reviseDevice changes the device that the path names.
func (v *visit) reviseDevice(change func(*fleet.Device)) error {
	collector, id := v.r.PathValue("collector"), v.r.PathValue("device")
	_, err := v.cfg.Keeper.Revise(v.r.Context(), collector, v.user.Name, func(s *fleet.Spec) error {
		at := slices.IndexFunc(s.Devices, func(d fleet.Device) bool { return d.ID == id })
		if at < 0 {
			return fmt.Errorf("device %q of %s: %w", id, collector, edp.ErrNotFound)
		}
		change(&s.Devices[at])
		return nil
	})
	return err
}

func readPort(s string) (uint16, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0, fleet.Problems{{Path: "port", Text: fmt.Sprintf("%.20q is not a port: give a number from 1 to 65535, or nothing", s)}}
	}
	return uint16(n), nil
}

// readNumber reads a field that may be empty, for 0.
func readNumber(field, s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0, fleet.Problems{{Path: field, Text: fmt.Sprintf("%.20q is not a whole number: give one, or nothing", s)}}
	}
	return int(n), nil
}

// lines splits a text area.
func lines(s string) (out []string) {
	for l := range strings.SplitSeq(s, "\n") {
		if l = strings.TrimSpace(l); l != "" {
			out = append(out, l)
		}
	}
	return out
}
