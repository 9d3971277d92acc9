package site

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"

	"lwc/netguard"
	"lwc/transport/wire"
)

// The addresses of the site; documentation and benchmark ranges (RFC 5737, RFC
// 2544), so that they clash with nobody.
const (
	cloudAddr    = "192.0.2.1"
	hiddenAddr   = "192.0.2.3" // of the cloud end behind a bad line
	cloudPort    = "8443"
	brokerPort   = "8883"
	collectorExt = "192.0.2.2/24"
	siteAddr     = "198.18.0.1"
	collectorInt = "198.18.0.2/16"
	devicePrefix = "198.18.128.0/17" // all addresses of it are the simulator's
	nobody       = "198.18.2.1"      // no device has it
)

// CloudURL is where the cloud end answers inside the site.
const CloudURL = "https://" + cloudAddr + ":" + cloudPort

// Collector is the id of the site's collector.
const Collector = "lwc-demo-0001"

// Config describes a site.
type Config struct {
	Bin string // folder of lwcd, lwc-cloud and junosim
	Dir string // work folder; made if absent
	// Portal is a second URL that the cloud's certificate is good for, where a
	// forwarder outside leads to it; empty: none.
	Portal string
	// Devices is the size of the fleet, Behind how many of it stand behind the
	// bastion.
	Devices, Behind int
	// Faulty spoils three of the devices: wrong password, unreachable, no
	// NETCONF.
	Faulty bool
	// Mosquitto runs mosquitto in place of the cloud's own broker.
	Mosquitto string // path of the program; empty: the embedded broker
	// Canary is put into facts and credentials, to be looked for afterwards.
	Canary string
	// FaultShare deals faults out to the devices, as junosim --faulty takes them:
	// "0.2=stall,silent". The inventory tells which device has which; empty: none.
	FaultShare string
	// Limits of the collection; zero values are the collector's own.
	Limits wire.CollectLimits
	// Latency is how long a device takes for each reply; a Go duration, empty:
	// no time.
	Latency string
	// Timeouts are lines of lwcd's table [timeouts]; empty: its defaults.
	Timeouts string
	// Dedicated tells lwcd that its machine is its own: any other interface is a
	// violation.
	Dedicated bool
	// Schedules of the fleet; none: one that is half a day away. Profiles are given
	// to the devices in turn; none: the default. Budget and the like are in Limits.
	Schedules []wire.Schedule
	Profiles  []string
	// SimArgs are more arguments of junosim; First are faults of the first devices.
	SimArgs, First []string
	// Line puts something between the collector and the cloud: the cloud end listens
	// at another address, and who makes the site puts a proxy at CloudURL's.
	Line bool
	// Programs are some in place of Bin's, by name; Env is put into the environments
	// of the programs that run on.
	Programs map[string]string
	Env      map[string][]string
	// Appliance: the collector is a machine of its own, whoever makes the site lays its
	// cables and switches it on.
	Appliance bool
	// External are more lines of lwcd's table [external], CloudArgs more arguments of
	// lwc-cloud serve.
	External  string
	CloudArgs []string
}

// cloudAt is the address that the cloud end listens at.
func (c Config) cloudAt() string {
	if c.Line {
		return hiddenAddr
	}
	return cloudAddr
}

// Site is a running site.
type Site struct {
	cfg              Config
	home, site, cnet *space
	cloud, sim, lwcd *proc
	mosquitto        *proc
	env              []string // LWC_API_TOKEN for the command line
	ready            cloudReady
	started          func(*proc) // is told of every program that was started; nil: nobody is
}

// cloudReady is what lwc-cloud writes when it serves.
type cloudReady struct {
	URL       string `json:"url"`
	AdminLink string `json:"admin_link"`
	CAFile    string `json:"ca_file"`
}

// New makes the namespaces and lays the cables. Call it inside Reexec.
func New(cfg Config) (*Site, error) {
	s := &Site{cfg: cfg}
	if err := s.lay(); err != nil {
		return nil, errors.Join(err, s.leave())
	}
	return s, nil
}

// lay makes the folder, the namespaces and the cables.
func (s *Site) lay() error {
	cfg := s.cfg
	if err := os.MkdirAll(filepath.Join(cfg.Dir, "log"), 0o700); err != nil {
		return fmt.Errorf("making the site's folder: %w", err)
	}
	// The collector half, which is another user, has its state folder in it.
	if err := os.Chmod(cfg.Dir, 0o711); err != nil {
		return fmt.Errorf("making the site's folder passable: %w", err)
	}
	for _, sp := range []struct {
		to   **space
		name string
	}{{&s.home, ""}, {&s.site, "site"}, {&s.cnet, "cloud"}} {
		var err error
		if *sp.to, err = newSpace(sp.name); err != nil {
			return err
		}
	}
	if err := s.site.do(func() error { return ownPrefix(devicePrefix) }); err != nil || cfg.Appliance {
		return err
	}
	return errors.Join(
		cable(s.home, s.site, internalLink, deviceLink, siteAddr+"/16"),
		cable(s.home, s.cnet, externalLink, cloudLink, cloudAddr+"/24", hiddenAddr+"/24"))
}

// ownPrefix makes every address of a prefix local to the namespace, without
// adding each one.
func ownPrefix(prefix string) error {
	dst, err := netlink.ParseIPNet(netip.MustParsePrefix(prefix).String())
	if err != nil {
		return err
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	const tableLocal, typeLocal = 255, 2 // rtnetlink(7): RT_TABLE_LOCAL, RTN_LOCAL
	return netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: dst, Table: tableLocal,
		Type: typeLocal, Scope: netlink.SCOPE_HOST})
}

// Close stops everything in the order in which a site would, and returns what
// did not end well.
func (s *Site) Close() error {
	err := errors.Join(s.lwcd.stop(), s.cloud.stop(), s.sim.stop(), s.mosquitto.stop())
	return errors.Join(err, s.leave())
}

// leave ends the namespaces.
func (s *Site) leave() error {
	for _, sp := range []*space{s.home, s.site, s.cnet} {
		if sp != nil {
			sp.close()
		}
	}
	return forgetSpaces()
}

// path is a file of the site's folder.
func (s *Site) path(name ...string) string {
	return filepath.Join(append([]string{s.cfg.Dir}, name...)...)
}

// StartCloud starts lwc-cloud and waits until it serves. Started again after
// KillCloud it finds its data.
func (s *Site) StartCloud(ctx context.Context) error {
	ready := s.path("cloud-ready.json")
	if err := os.Remove(ready); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	args := []string{"serve", "--data", s.CloudData(), "--listen", s.cfg.cloudAt() + ":" + cloudPort,
		"--public-url", CloudURL, "--ready-file", ready}
	if s.cfg.Line {
		args = append(args, "--public-url", s.directURL())
	}
	args = append(args, s.cfg.CloudArgs...)
	if s.cfg.Portal != "" {
		args = append(args, "--public-url", s.cfg.Portal)
	}
	if s.cfg.Mosquitto != "" {
		if err := s.startMosquitto(ctx); err != nil {
			return err
		}
		args = append(args, "--broker", "mqtts://"+s.cfg.cloudAt()+":"+brokerPort)
	}
	var err error
	if s.cloud, err = s.start(s.cnet, io.Discard, "lwc-cloud", args...); err != nil {
		return err
	}
	err = s.cloud.waitFor(ctx, "lwc-cloud to serve", func() bool {
		b, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(b, &s.ready) == nil
	})
	if err != nil || s.env != nil {
		return err
	}
	token, err := s.Cloud(ctx, "api-token", "--data", s.CloudData(), "--name", "demo", "--role", "admin", "--url", s.directURL())
	s.env = []string{"LWC_API_TOKEN=" + strings.TrimSpace(token)}
	return err
}

// directURL leads to the cloud end whatever is between it and the collector.
func (s *Site) directURL() string { return "https://" + s.cfg.cloudAt() + ":" + cloudPort }

// TokenFile writes an API token for the command line outside, and returns the
// file's path.
func (s *Site) TokenFile(ctx context.Context) (string, error) {
	token, err := s.Cloud(ctx, "api-token", "--data", s.CloudData(), "--name", "terminal", "--role", "admin", "--url", s.cfg.Portal)
	if err != nil {
		return "", err
	}
	path := s.path("api.token")
	return path, os.WriteFile(path, []byte(token), 0o600)
}

// CloudData is the data folder of lwc-cloud.
func (s *Site) CloudData() string { return s.path("cloud") }

// AdminLink is the one-time link that lwc-cloud printed.
func (s *Site) AdminLink() string { return s.ready.AdminLink }

// KillCloud ends lwc-cloud as a power cut does.
func (s *Site) KillCloud() { s.cloud.kill() }

// StartCollector starts lwcd. The first time it enrols with a token made for it.
func (s *Site) StartCollector(ctx context.Context) error {
	conf := s.path("lwcd.toml")
	if _, err := os.Stat(conf); err != nil {
		if err := s.provision(ctx, conf); err != nil {
			return err
		}
	}
	var err error
	s.lwcd, err = s.start(s.home, io.Discard, "lwcd", "--config", conf)
	return err
}

// provision writes what a field engineer would: the configuration and a token.
func (s *Site) provision(ctx context.Context, conf string) error {
	token, err := s.Cloud(ctx, "enrol-token", "--collector", Collector)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.StateDir(), 0o700); err != nil {
		return err
	}
	tokenFile := s.path("enrol.token")
	if err := os.WriteFile(tokenFile, []byte(token), 0o600); err != nil {
		return err
	}
	return os.WriteFile(conf, fmt.Appendf(nil, `# made by the demo
state_dir = %q
enrolment_token_file = %q

[guard]
mode = %q
dedicated = %t
%s
[internal]
interface = %q
addresses = [%q]
# The devices are behind a router, as a thousand are: the kernel keeps no more
# than 1,024 neighbours.
routes = ["%s via %s"]

[external]
interface = %q
addresses = [%q]
%s
[timeouts]
%s
`, s.StateDir(), tokenFile, mode(), s.cfg.Dedicated, halfUser(), internalLink, collectorInt, devicePrefix, siteAddr, externalLink, collectorExt, s.cfg.External, s.cfg.Timeouts), 0o600)
}

// mode is how lwcd is told to keep the ports apart: without root it does so in
// the user namespace that Reexec made.
func mode() netguard.Mode {
	if ordinaryUser() {
		return netguard.Userns
	}
	return netguard.Enforce
}

// halfUser names who the collector half becomes. A user namespace has only one
// user, whom it stays.
func halfUser() string {
	if ordinaryUser() {
		return ""
	}
	return `user = "nobody"`
}

// StateDir is the one folder that lwcd may write to.
func (s *Site) StateDir() string { return s.path("lwcd-state") }

// KillCollector ends lwcd as a power cut does.
func (s *Site) KillCollector() { s.lwcd.kill() }

// StopCollector ends lwcd politely.
func (s *Site) StopCollector() error { return s.lwcd.stop() }

// Cloud runs lwc-cloud as a command-line client and returns its standard output.
func (s *Site) Cloud(ctx context.Context, args ...string) (string, error) {
	var out bytes.Buffer
	err := s.CloudTo(ctx, &out, args...)
	return out.String(), err
}

// ExitError says with which code a command of the client ended.
type ExitError struct {
	Code int
	Text string // its standard error
}

// Error implements error.
func (e *ExitError) Error() string {
	return fmt.Sprintf("exit code %d: %s", e.Code, strings.TrimSpace(e.Text))
}

// CloudTo is Cloud with the standard output going to a writer as it comes.
func (s *Site) CloudTo(ctx context.Context, stdout io.Writer, args ...string) error {
	p, err := s.client(stdout, args...)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.kill()
		return fmt.Errorf("running lwc-cloud %s: %w", args[0], ctx.Err())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("running lwc-cloud %s: %w", args[0], &ExitError{code, p.cmd.Stderr.(*bytes.Buffer).String()})
	}
	return nil
}

func (s *Site) client(stdout io.Writer, args ...string) (*proc, error) {
	p := &proc{name: "lwc-cloud " + args[0], done: make(chan struct{})}
	p.cmd = newCommand(s.binary("lwc-cloud"), args, append(os.Environ(), s.env...))
	p.cmd.Stdout, p.cmd.Stderr = stdout, &bytes.Buffer{}
	if err := s.cnet.do(p.cmd.Start); err != nil {
		return nil, fmt.Errorf("starting lwc-cloud %s: %w", args[0], err)
	}
	go func() {
		defer close(p.done)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}
