package portal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"lwc/cloud/api/apitype"
	"lwc/cloud/api/view"
	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/cloud/fleet/keeper"
	"lwc/transport/wire"
)

// filter chooses devices.
type filter struct{ Query, Collector, Group, State string }

func readFilter(r *http.Request) filter {
	return filter{strings.TrimSpace(r.FormValue("q")), r.FormValue("collector"), r.FormValue("group"), r.FormValue("state")}
}

func (f filter) keeps(d apitype.Device) bool {
	if (f.State != "" && d.State != f.State) || (f.Group != "" && !slices.Contains(d.Groups, f.Group)) {
		return false
	}
	text := strings.ToLower(strings.Join([]string{d.ID, d.HostName, d.Address, d.Model, d.Serial, d.Version, d.Collector}, "\n"))
	for word := range strings.FieldsSeq(strings.ToLower(f.Query)) {
		if !strings.Contains(text, word) {
			return false
		}
	}
	return true
}

// chosen returns the devices that a filter keeps.
func (v *visit) chosen(f filter) ([]apitype.Device, error) {
	rows, err := v.cfg.Store.Devices(v.r.Context(), f.Collector)
	list := view.Each(rows, view.Device)
	return slices.DeleteFunc(list, func(d apitype.Device) bool { return !f.keeps(d) }), err
}

// devicesData is the data of the page "devices".
type devicesData struct {
	Filter     filter
	Collectors []string
	Groups     []string // of all devices of these collectors
	States     []string
	Devices    []apitype.Device
}

func (p *Portal) devices(v *visit) error {
	d := devicesData{Filter: readFilter(v.r), States: []string{"ok", "failed", "new"}}
	var err error
	if d.Collectors, err = v.collectorIDs(); err != nil {
		return err
	}
	all, err := v.chosen(filter{Collector: d.Filter.Collector})
	if err != nil {
		return err
	}
	d.Groups = groupsOf(all)
	d.Devices = slices.DeleteFunc(all, func(x apitype.Device) bool { return !d.Filter.keeps(x) })
	return v.render("devices", "devices", d)
}

// groupsOf lists the groups that devices are in.
func groupsOf(devices []apitype.Device) []string {
	var out []string
	for _, d := range devices {
		out = append(out, d.Groups...)
	}
	return slices.Compact(slices.Sorted(slices.Values(out)))
}

// deviceData is the data of the page "device".
type deviceData struct {
	D         apitype.Device
	HostKey   string
	Documents []apitype.Document
	Probe     *apitype.Probe // the newest; nil: none yet
	Events    []apitype.Event
	Excess    bool // the account can do more than collecting needs
	Profile   string
}

// excessive tells whether the newest word on the account's rights is that they
// are too many: a test that came so far says how it is, an event of a collection
// only that.
func (d deviceData) excessive() bool {
	tested := d.Probe != nil && slices.ContainsFunc(d.Probe.Steps, func(s wire.ProbeStep) bool { return s.Stage == "privilege" })
	for _, e := range d.Events {
		if e.Kind == wire.EventOverPrivileged && (!tested || e.Time.After(d.Probe.At)) {
			return true
		}
	}
	return tested && len(d.Probe.Excess) > 0
}

func (p *Portal) device(v *visit) error {
	collector, id := v.r.PathValue("collector"), v.r.PathValue("device")
	d, err := v.oneDevice(collector, id)
	if err != nil {
		return err
	}
	docs, err := p.cfg.Store.Documents(v.r.Context(), edp.DocumentFilter{Collector: collector, Device: id, Latest: true})
	if err != nil {
		return err
	}
	slices.SortFunc(docs, func(a, b edp.Document) int { return strings.Compare(a.Item, b.Item) })
	data := deviceData{D: d, HostKey: d.HostKey, Documents: view.Each(docs, view.Document), Profile: cmp.Or(d.Profile, wire.DefaultProfile)}
	if data.Probe, err = v.lastProbe(collector, id); err != nil {
		return err
	}
	events, err := p.cfg.Store.DeviceEvents(v.r.Context(), collector, id, latestRuns)
	if err != nil {
		return err
	}
	data.Events = view.Each(events, view.Event)
	data.Excess = data.excessive()
	return v.render("device", "devices", data)
}

func (v *visit) oneDevice(collector, id string) (apitype.Device, error) {
	row, err := v.cfg.Store.Device(v.r.Context(), collector, id)
	return view.Device(row), err
}

// importData is the data of the page "import".
type importData struct {
	Collector, Text string
	Replace         bool
	Columns         []string
}

func (p *Portal) showImport(v *visit) error {
	return v.render("import", "devices", importData{Collector: v.r.PathValue("collector"), Columns: fleet.CSVColumns()})
}

func (p *Portal) importDevices(v *visit) error {
	d := importData{Collector: v.r.PathValue("collector"), Columns: fleet.CSVColumns()}
	text, name, err := uploaded(v.r)
	if err != nil {
		return err
	}
	d.Replace = v.r.PostFormValue("replace") == "true"
	if name == "pasted" {
		d.Text = string(text)
	}
	s, err := p.cfg.Keeper.Spec(v.r.Context(), d.Collector)
	if err != nil {
		return err
	}
	devices, err := fleet.ParseCSV(name, text, s)
	var r keeper.Result
	if err == nil {
		r, err = p.cfg.Keeper.AddDevices(v.r.Context(), d.Collector, devices, d.Replace)
	}
	if err != nil {
		return v.wrong("import", "devices", d, err)
	}
	return v.done("/devices?collector="+d.Collector, fmt.Sprintf("%d devices were read, %d changed.", len(devices), len(r.Changes)))
}

// uploaded returns the file of a form, or the text that was pasted.
func uploaded(r *http.Request) (text []byte, name string, err error) {
	f, head, err := r.FormFile("file")
	if errors.Is(err, http.ErrMissingFile) || errors.Is(err, http.ErrNotMultipart) {
		return []byte(r.PostFormValue("text")), "pasted", nil
	}
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	if head.Size == 0 && head.Filename == "" {
		return []byte(r.PostFormValue("text")), "pasted", nil
	}
	text, err = io.ReadAll(f)
	return text, head.Filename, err
}

// deleteData is the data of the page "delete".
type deleteData struct{ Collector, Device string }

func (p *Portal) showDelete(v *visit) error {
	d := deleteData{v.r.PathValue("collector"), v.r.PathValue("device")}
	if _, err := v.oneDevice(d.Collector, d.Device); err != nil {
		return err
	}
	return v.render("delete", "devices", d)
}

func (p *Portal) deleteDevice(v *visit) error {
	collector, id := v.r.PathValue("collector"), v.r.PathValue("device")
	if _, err := p.cfg.Keeper.DeleteDevice(v.r.Context(), collector, id); err != nil {
		return err
	}
	return v.done("/devices?collector="+collector, id+" was deleted. Its facts stay.")
}
