package apitest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"time"

	"lwc/cloud/edp"
	"lwc/cloud/fleet"
	"lwc/cloud/shelf/shelftest"
	"lwc/image/release"
	"lwc/junos"
	"lwc/transport/secret"
	"lwc/transport/wire"
)

// Collector is the collector of Fill.
const Collector = "site-berlin-01"

// Canary stands in every secret that Fill stores. No answer may hold it.
const Canary = "c4nary-5ecret"

// hostKey is a well-formed key that nobody has.
const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJVZqXvF3cHfdE3bq0fD0G8R6n4d6n5T1qz1B1b6cT0k"

// Fleet is the fleet of Fill, secrets included: three devices, one behind a
// bastion.
func Fleet() fleet.Spec {
	text := secret.FromString
	return fleet.Spec{
		Schedules: []wire.Schedule{{Name: "daily", Start: "02:00", Window: "2h", Timezone: "Europe/Berlin"}},
		Profiles:  map[string][]string{"tiny": {"show-version", "show-chassis-alarms"}},
		Credentials: []fleet.Credential{
			{ID: "lab", Username: "lwc", Password: text("lab-" + Canary)},
			{ID: "jump", Username: "jump", Password: text("jump-" + Canary)},
		},
		Bastions: []fleet.Bastion{{ID: "jump-1", Bastion: wire.Bastion{Address: "198.51.100.1", Credential: "jump", HostKeys: []string{hostKey}}}},
		Devices: []fleet.Device{
			{Device: wire.Device{ID: "edge-1", Address: "192.0.2.1", Credential: "lab", HostKeys: []string{hostKey}, Profile: "tiny"}, Groups: []string{"core"}},
			{Device: wire.Device{ID: "edge-2", Address: "192.0.2.2", Port: 22, Credential: "lab", Bastions: []string{"jump-1"}, HostKeys: []string{hostKey}, Profile: "tiny"}, Groups: []string{"core", "west"}},
			{Device: wire.Device{ID: "edge-3", Address: "192.0.2.3", Credential: "lab", TrustFirst: true, Profile: "tiny"}},
		},
	}
}

// Reply is what edge-1 answers to show version. It holds markup that a page
// must not take for its own.
const Reply = "<rpc-reply xmlns=\"urn:ietf:params:xml:ns:netconf:base:1.0\">\n<software-information>\n<host-name>edge-1</host-name><product-model>mx240</product-model><junos-version>23.4R1.9</junos-version>\n<comment>&lt;script&gt;alert(1)&lt;/script&gt;</comment>\n</software-information>\n</rpc-reply>\n"

// Fill brings in a collector that is online, its fleet, and one complete run in
// which edge-3 failed. It returns the run's job.
func (c *Cloud) Fill() edp.Job {
	c.tb.Helper()
	c.Enrol(Collector)
	_, err := c.Keeper.Apply(c.ctx(), Collector, "test", Fleet(), false)
	c.check(err)
	job, err := c.Store.CreateJob(c.ctx(), edp.NewJob{Collector: Collector, Kind: wire.JobCollect, By: "test"})
	c.check(err)
	c.Work(job)
	test, err := c.Store.CreateJob(c.ctx(), edp.NewJob{Collector: Collector, Kind: wire.JobProbe, Devices: []string{"edge-1", "edge-3"}, By: "test"})
	c.check(err)
	c.Probe(test)
	c.check(c.Store.AddEvent(c.ctx(), wire.Event{V: wire.Version, Collector: Collector, Boot: Boot, Time: time.Now(),
		Kind: wire.EventHostKeyFirst, Device: "edge-3", Text: "the host key of edge-3 was trusted on first use"}))
	return job
}

// access is how the devices are reached; the bastion is an old one.
func access() *wire.Access {
	return &wire.Access{Mode: "netconf", Port: 830, Hops: []wire.Hop{
		{Name: "jump-1", KeyExchange: "diffie-hellman-group1-sha1", HostKey: "ssh-rsa", Cipher: "aes128-cbc", MAC: "hmac-sha2-256"},
		{Name: "edge", KeyExchange: "mlkem768x25519-sha256", HostKey: "ssh-ed25519", Cipher: "aes128-gcm@openssh.com"},
	}}
}

// Probe does a probe job as a collector would. edge-1 can be collected, and its
// account can do too much; edge-3 refuses the log-in.
func (c *Cloud) Probe(job edp.Job) {
	c.tb.Helper()
	for i, id := range job.Devices {
		p := wire.Probe{Device: id, OK: id != "edge-3", Steps: []wire.ProbeStep{
			{Stage: "connect", OK: true, Seconds: 0.0012, Detail: "192.0.2.1:830"},
		}}
		if p.OK {
			p.Access, p.Class, p.Permissions, p.Excess = access(), "super-user", []string{"all"}, []string{"change the configuration (configure)"}
			p.Steps = append(p.Steps, wire.ProbeStep{Stage: "auth", OK: true, Seconds: 0.05},
				wire.ProbeStep{Stage: "privilege", Kind: "over-privileged", Detail: "The account can do more than collecting needs."},
				wire.ProbeStep{Stage: "parse", OK: true, Seconds: 0.1, Detail: "the reply to show version was read, and names a release"})
		} else {
			p.Steps = append(p.Steps, wire.ProbeStep{Stage: "auth", Seconds: 0.07, Kind: "auth", Detail: "The device refused the log-in of lwc: check the credential lab."})
		}
		c.check(c.Store.SawJobStatus(c.ctx(), wire.JobStatus{V: wire.Version, ID: job.ID, Collector: job.Collector, Boot: Boot,
			State: wire.JobRunning, Done: i + 1, Total: len(job.Devices), Probe: &p}))
	}
	c.check(c.Store.SawJobStatus(c.ctx(), wire.JobStatus{V: wire.Version, ID: job.ID, Collector: job.Collector, Boot: Boot,
		State: wire.JobDone, Done: len(job.Devices), Total: len(job.Devices)}))
}

// Boot is the boot of the collectors.
const Boot = "01JD0000000000000000000000"

// Enrol enters a collector in the registry and lets it say hello.
func (c *Cloud) Enrol(id string) {
	c.tb.Helper()
	c.check(c.Store.Enrolled(c.ctx(), edp.Enrolment{Collector: id, SPKI: base64.StdEncoding.EncodeToString(c.der()), Serial: "01", NotAfter: time.Now().Add(90 * 24 * time.Hour)}))
	c.check(c.Store.SawHello(c.ctx(), wire.Hello{V: wire.Version, Collector: id, Boot: Boot, Conn: 1, Firmware: "1.0.0", Clock: time.Now(),
		Ports: wire.PortState{Mode: "enforce", State: "open", Internal: "lwcint0", External: "lwcext0"}}))
}

// Box says hello for a collector whose box runs a release of the appliance.
func (c *Cloud) Box(id, image string) {
	c.tb.Helper()
	c.boots++
	c.check(c.Store.SawHello(c.ctx(), wire.Hello{V: wire.Version, Collector: id, Boot: fmt.Sprintf("%s-%d", Boot, c.boots), Conn: 1, Firmware: image, Clock: time.Now(),
		Ports: wire.PortState{Mode: "enforce", State: "open", Internal: "lwcint0", External: "lwcext0"},
		Box:   wire.Box{Image: image, Identity: "tpm", SecureBoot: "on", CommandLine: "as-built", Hardware: "Example Works Box 2"}}))
}

// Publish publishes a release with a key that the cloud trusts from then on. change
// may alter the manifest before it is signed.
func (c *Cloud) Publish(version string, change func(*release.Manifest)) {
	c.tb.Helper()
	shelftest.Trust(c.tb, c.ReleaseKeys, shelftest.Key(1))
	_, err := c.Shelf.Add(c.ctx(), bytes.NewReader(shelftest.Bundle(c.tb, version, shelftest.Key(1), change)), "test")
	c.check(err)
}

// FailUpdates makes three boxes that a published release fails on, so that it is held back.
func (c *Cloud) FailUpdates(version string) {
	c.tb.Helper()
	for i := range 3 {
		id := fmt.Sprintf("site-bad-%02d", i)
		c.check(c.Store.Enrolled(c.ctx(), edp.Enrolment{Collector: id, SPKI: "key of " + id, Serial: id, NotAfter: time.Now().Add(time.Hour)}))
		c.Box(id, "1.0.0")
		j, err := c.Store.CreateJob(c.ctx(), edp.NewJob{Collector: id, Kind: wire.JobUpdate, Release: version})
		c.check(err)
		c.check(c.Store.SawJobStatus(c.ctx(), wire.JobStatus{ID: j.ID, Collector: id, State: wire.JobFailed, Error: "rolled back to 1.0.0: it did not start"}))
	}
}

// Work does a collect job as a collector would: its documents, the results of
// its devices, its manifest. edge-3 fails.
func (c *Cloud) Work(job edp.Job) {
	c.tb.Helper()
	m := wire.Manifest{V: wire.Version, Collector: job.Collector, Boot: Boot, Run: job.Run, Job: job.ID, Started: job.Created, Finished: time.Now(), Section: 1, Last: true}
	for i, id := range job.Devices {
		r := wire.DeviceResult{Device: id, OK: id != "edge-3", Seconds: 1.25}
		if r.OK {
			r.Access = access()
			docs := documents(job, id)
			_, err := c.Store.PutDocuments(c.ctx(), docs)
			c.check(err)
			for _, d := range docs {
				r.Documents++
				r.Bytes += int64(len(d.Body))
				m.Documents = append(m.Documents, wire.ManifestEntry{ID: d.ID, Device: id, Item: d.Item, Status: wire.EntryStored, Outcome: d.Outcome, SHA256: d.SHA256, Size: d.Size,
					RawSHA256: d.RawSHA256, RawSize: d.RawSize, Masked: masked(d)})
			}
			c.check(c.Store.SetIdentity(c.ctx(), job.Collector, id, junos.Identity{HostName: id, Model: "mx240", Version: "23.4R1.9", Serials: []string{fmt.Sprintf("JN12%04d", i)}}))
		} else {
			r.Phase, r.Kind, r.Error = "auth", "auth", "The device refused the log-in of lwc: check the credential lab."
		}
		m.Devices = append(m.Devices, r)
		c.check(c.Store.SawJobStatus(c.ctx(), wire.JobStatus{V: wire.Version, ID: job.ID, Collector: job.Collector, Boot: Boot,
			State: wire.JobRunning, Done: i + 1, Total: len(job.Devices), Device: &r}))
	}
	c.Account(m)
}

// RawSHA256 is of what edge-1 and edge-2 answered to show chassis alarms, before
// it was masked.
const RawSHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func masked(d edp.Document) map[string]int {
	if d.RawSHA256 == "" {
		return nil
	}
	return map[string]int{"user-names": 3}
}

func documents(job edp.Job, device string) []edp.Document {
	var out []edp.Document
	for item, body := range map[string]string{
		"show-version":        Reply,
		"show-chassis-alarms": "<rpc-reply><alarm-information><alarm-summary><no-active-alarms/></alarm-summary></alarm-information></rpc-reply>\n",
	} {
		d := edp.Document{
			ID: wire.NewID(), Collector: job.Collector, Boot: Boot, Run: job.Run, Device: device, Item: item, Outcome: "ok",
			SHA256: wire.Digest([]byte(body)), Size: int64(len(body)), CollectedAt: time.Now(), Body: []byte(body),
		}
		if item == "show-chassis-alarms" {
			d.Flags, d.RawSHA256, d.RawSize = []string{"masked"}, RawSHA256, d.Size-7
		}
		out = append(out, d)
	}
	return out
}

func (c *Cloud) check(err error) {
	c.tb.Helper()
	if err != nil {
		c.tb.Fatal(err)
	}
}
