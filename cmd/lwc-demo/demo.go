package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"lwc/cmd/lwc-demo/site"
)

// Time limits of the demo's steps; each is many times what it takes.
const (
	startTime   = 60 * time.Second
	collectTime = 2 * time.Minute
)

// demo is one run of the main job.
type demo struct {
	out    io.Writer
	portal net.Listener
	once   bool
	cfg    site.Config
	site   *site.Site

	summarized bool
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format+"\n", args...) }

func (d *demo) run(ctx context.Context) (err error) {
	if d.site, err = site.New(d.cfg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.site.Close()) }()
	forwarding, stop := context.WithCancel(ctx)
	forwarded := make(chan error, 1)
	go func() { forwarded <- d.site.Forward(forwarding, d.portal) }()
	defer func() { stop(); err = errors.Join(err, <-forwarded) }()

	err = d.mainJob(ctx)
	if d.once || ctx.Err() != nil {
		return err
	}
	if err != nil {
		d.say("\nNot all went well: %v", err)
	}
	return errors.Join(err, d.stay(ctx))
}

// stay tells how to look around, and waits for the end.
func (d *demo) stay(ctx context.Context) error {
	token, err := d.site.TokenFile(ctx)
	if err != nil {
		return err
	}
	d.say("\nPortal: %s\n  (its certificate is of the demo's own authority: the browser will ask)", d.adminLink())
	d.say("Command line, in another terminal:\n  export LWC_API_TOKEN=$(cat %s)\n  %s devices", token, filepath.Join(d.cfg.Bin, "lwc-cloud"))
	d.say("Press Ctrl-C to end.")
	<-ctx.Done()
	return nil
}

// adminLink is the one-time link, at the address that the host reaches.
func (d *demo) adminLink() string {
	return strings.Replace(d.site.AdminLink(), site.CloudURL, d.cfg.Portal, 1)
}

// mainJob goes from nothing to stored facts and the summary.
func (d *demo) mainJob(ctx context.Context) error {
	if err := d.start(ctx); err != nil {
		return err
	}
	collecting, cancel := context.WithTimeout(ctx, collectTime)
	defer cancel()
	d.say("\n$ lwc-cloud collect --collector %s --wait", site.Collector)
	err := d.site.CloudTo(collecting, d.out, "collect", "--collector", site.Collector, "--wait")
	var exit *site.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.Code == exitSomeFailed) {
		return err
	}
	if err := d.summary(ctx); err != nil {
		return err
	}
	if err := d.probe(ctx); err != nil {
		return err
	}
	return d.ports(ctx)
}

// Exit codes of lwc-cloud: a complete run with failed devices, or a test that
// one of the devices did not pass.
const exitSomeFailed = 3

// probe tests the connection to a device that is well, through the bastion where
// there is one, and to one that is not.
func (d *demo) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, collectTime)
	defer cancel()
	good, bad, err := d.site.Expected()
	if err != nil {
		return err
	}
	names := []string{good[len(good)-1]}
	for name, kind := range bad {
		if kind == "subsystem" {
			names = append(names, name)
		}
	}
	d.say("\n$ lwc-cloud probe --collector %s --wait %s", site.Collector, strings.Join(names, " "))
	var said strings.Builder
	err = d.site.CloudTo(ctx, io.MultiWriter(d.out, &said), append([]string{"probe", "--collector", site.Collector, "--wait"}, names...)...)
	var exit *site.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.Code == exitSomeFailed && len(names) > 1) {
		return err
	}
	return probed(said.String(), names)
}

// probed compares what a test said with what is true of its devices: the first
// can be collected, the others refuse NETCONF.
func probed(said string, names []string) error {
	for i, name := range names {
		want := name + ": fails at subsystem\n"
		if i == 0 {
			want = name + ": can be collected\n"
		}
		if !strings.Contains(said, want) {
			return fmt.Errorf("testing the connection to %s: it does not say %q", name, strings.TrimSpace(want))
		}
	}
	return nil
}

func (d *demo) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	d.say("Starting the cloud end (lwc-cloud) in a network namespace of its own.")
	if err := d.site.StartCloud(ctx); err != nil {
		return err
	}
	d.say("Starting %d simulated devices (junosim), %d of them behind a bastion.", d.cfg.Devices, d.cfg.Behind)
	if err := d.site.StartDevices(ctx); err != nil {
		return err
	}
	d.say("Enrolling collector %s (lwcd): Internal Port to the devices, External Port to the cloud.", site.Collector)
	if err := d.site.StartCollector(ctx); err != nil {
		return err
	}
	if err := d.site.WaitOnline(ctx); err != nil {
		return err
	}
	file, err := d.site.FleetFile()
	if err != nil {
		return err
	}
	d.say("\n$ lwc-cloud apply -f fleet.yaml")
	if err := d.site.CloudTo(ctx, d.out, "apply", "-f", file); err != nil {
		return err
	}
	return d.site.WaitApplied(ctx)
}

// row is what lwc-cloud devices --json says of one device.
type row struct {
	Device    string  `json:"id"`
	Model     string  `json:"model"`
	Version   string  `json:"version"`
	Serial    string  `json:"serial"`
	State     string  `json:"state"`
	Kind      string  `json:"kind"`
	Error     string  `json:"error"`
	Documents int     `json:"documents"`
	Bytes     int64   `json:"bytes"`
	Seconds   float64 `json:"seconds"`
}

func (d *demo) summary(ctx context.Context) error {
	out, err := d.site.Cloud(ctx, "devices", "--collector", site.Collector, "--json")
	if err != nil {
		return err
	}
	var rows []row
	if err := json.Unmarshal([]byte(out), &rows); err != nil {
		return fmt.Errorf("reading the list of devices: %w", err)
	}
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.Device, b.Device) })
	d.table(rows)
	d.summarized = true
	return d.judge(rows)
}

// state is one word, and for a failed device the kind of failure; the reason in
// words stands below the table.
func (r row) state() string {
	if r.Kind == "" {
		return r.State
	}
	return r.State + ": " + r.Kind
}

func (d *demo) table(rows []row) {
	d.say("")
	w := tabwriter.NewWriter(d.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "DEVICE\tMODEL\tVERSION\tSERIAL\tDOCUMENTS\tBYTES\tSECONDS\tSTATE")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%.2f\t%s\n",
			r.Device, r.Model, r.Version, r.Serial, r.Documents, r.Bytes, r.Seconds, r.state())
	}
	// A terminal that went away is no reason to fail.
	_ = w.Flush()
	for _, r := range rows {
		if r.Error != "" {
			d.say("\n%s: %s", r.Device, r.Error)
		}
	}
}

// judge compares what is stored with what was expected, and says so when it is
// the same.
func (d *demo) judge(rows []row) error {
	good, bad, err := d.site.Expected()
	if err != nil {
		return err
	}
	if err := missing(rows, good, bad, len(site.Items())); err != nil {
		return err
	}
	documents := 0
	for _, r := range rows {
		documents += r.Documents
	}
	d.say("\n%d documents of %d devices are stored, and %d devices are named with the reason why not.", documents, len(good), len(bad))
	return nil
}

// missing names every good device without all its items, and every bad one
// without its true reason (device to kind of failure).
func missing(rows []row, good []string, bad map[string]string, items int) error {
	byName := map[string]row{}
	for _, r := range rows {
		byName[r.Device] = r
	}
	var wrong []error
	for _, name := range good {
		if r := byName[name]; r.Documents != items || r.Kind != "" {
			wrong = append(wrong, fmt.Errorf("%s: %d documents are stored where %d are expected (%s)", name, r.Documents, items, r.state()))
		}
	}
	for name, kind := range bad {
		if r := byName[name]; r.Kind != kind || r.Error == "" {
			wrong = append(wrong, fmt.Errorf("%s: the reason given is %q (%s) where it is %q", name, r.Kind, r.Error, kind))
		}
	}
	return errors.Join(wrong...)
}
